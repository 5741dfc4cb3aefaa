"""``/uploads``: files in one body or in parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from hub.api.base import (
    Endpoint,
    PageQuery,
    RawEndpoint,
    page_of,
    paged,
    paging,
    serialized,
)
from hub.api.bodies import raw_body
from hub.api.uploads.serializers import (
    LinksIn,
    LinksOut,
    PartOut,
    UploadIn,
    UploadListed,
    UploadOut,
)
from hub.upload_progress import checked_bytes
from registry.models import Upload
from registry.uploads import parts, receive
from registry.uploads import selectors as upload_selectors
from registry.uploads import services as uploads

RAW = {"application/octet-stream": OpenApiTypes.BINARY}


class UploadListQuery(PageQuery):
    """Filter and page of the caller's uploads."""

    unfinished = serializers.BooleanField(
        default=False, help_text="Only uploads that are `receiving` or `checking`."
    )


class _Answering(Endpoint):
    """Mixin of views that answer with uploads."""

    def upload_answer(self, upload: Upload, *, status: int = 200) -> Response:
        """Return the current state of an upload."""
        return self.answer(UploadOut, upload, status=status, **self.serializer_context([upload]))

    def serializer_context(self, rows: Sequence[Upload]) -> dict[str, Any]:
        """Return progress, versions and adapters of uploads, in a fixed number of queries."""
        versions, adapters = upload_selectors.holders(self.signed_in(), rows)
        return {"progress": checked_bytes(rows), "versions": versions, "adapters": adapters}


class Uploads(_Answering):
    """The caller's uploads."""

    @extend_schema(
        operation_id="uploads_list",
        tags=["uploads"],
        parameters=[UploadListQuery],
        responses=paging("Upload", UploadListed),
    )
    def get(self, request: Request) -> Response:
        """List uploads, newest first; a single upload also has its parts."""
        query = self.query(UploadListQuery)
        uploads_of = upload_selectors.overview(
            self.signed_in(), is_unfinished=query.pop("unfinished")
        ).select_related("blob", "blob__anatomy")
        rows, cursor = page_of(uploads_of, **query)
        context = {"request": request, **self.serializer_context(rows)}
        return paged(self, serialized(UploadListed, rows, context), cursor)

    @extend_schema(
        operation_id="uploads_create",
        tags=["uploads"],
        request=UploadIn,
        responses={201: UploadOut},
        examples=[
            OpenApiExample(
                "Weights",
                value={"path": "noir.safetensors", "size": 151_060_480, "sha256": None},
                request_only=True,
            )
        ],
    )
    def post(self, _request: Request) -> Response:
        """Announce a file. It is accepted at once if the caller may read a file with its digest."""
        data = self.body(UploadIn)
        upload = uploads.create(
            actor=self.actor,
            path=data["path"],
            size_bytes=data["size"],
            sha256=data["sha256"],
        )
        answer = self.upload_answer(upload, status=201)
        answer["Location"] = answer.data["urls"]["self"]
        return answer


class UploadView(_Answering):
    """One upload."""

    @extend_schema(operation_id="uploads_get", tags=["uploads"], responses=UploadOut)
    def get(self, _request: Request, upload_id: UUID) -> Response:
        """Return received bytes and findings."""
        return self.upload_answer(upload_selectors.get(self.signed_in(), upload_id))

    @extend_schema(operation_id="uploads_cancel", tags=["uploads"], responses={204: None})
    def delete(self, _request: Request, upload_id: UUID) -> Response:
        """Cancel an upload and delete its bytes."""
        uploads.cancel(
            actor=self.actor, upload=upload_selectors.without_parts(self.signed_in(), upload_id)
        )
        return Response(status=204)


class Content(_Answering, RawEndpoint):
    """The whole file as one body."""

    @extend_schema(
        operation_id="uploads_content", tags=["uploads"], request=RAW, responses=UploadOut
    )
    def put(self, request: Request, upload_id: UUID) -> Response:
        """Send the whole file, with Content-Length; the last byte completes the upload."""
        upload = upload_selectors.without_parts(self.signed_in(), upload_id)
        stream = raw_body(request, expected=upload.size_bytes)
        uploads.receive(actor=self.actor, upload=upload, stream=stream)
        return self.upload_answer(upload_selectors.get(self.actor, upload_id))


class Part(RawEndpoint):
    """A part of the file."""

    @extend_schema(
        operation_id="uploads_part",
        tags=["uploads"],
        parameters=[
            OpenApiParameter(
                "X-Part-SHA256",
                str,
                OpenApiParameter.HEADER,
                description="Digest of the part; other bytes are refused.",
            )
        ],
        request=RAW,
        responses=PartOut,
    )
    def put(self, request: Request, upload_id: UUID, number: int) -> Response:
        """Send part `number` (from 1 on), in any order, as often as needed."""
        upload = upload_selectors.without_parts(self.signed_in(), upload_id)
        expected = parts.part_of(upload, number).size
        sha256 = receive.digest_of(request.headers.get("X-Part-SHA256"), field="X-Part-SHA256")
        part = parts.receive_part(
            actor=self.actor,
            upload=upload,
            number=number,
            stream=raw_body(request, expected=expected),
            sha256=sha256,
        )
        return self.answer(PartOut, part)


class Parts(_Answering):
    """The received parts."""

    @extend_schema(
        operation_id="uploads_parts", tags=["uploads"], request=None, responses=UploadOut
    )
    def post(self, _request: Request, upload_id: UUID) -> Response:
        """Let the hub look for parts sent through links; complete ones count as received."""
        upload = upload_selectors.without_parts(self.signed_in(), upload_id)
        parts.record_sent(actor=self.actor, upload=upload)
        return self.upload_answer(upload_selectors.get(self.actor, upload_id))


class Links(Endpoint):
    """Links to send parts directly to the bucket."""

    @extend_schema(
        operation_id="uploads_links", tags=["uploads"], request=LinksIn, responses=LinksOut
    )
    def post(self, _request: Request, upload_id: UUID) -> Response:
        """Get links to send parts directly to the bucket, if the hub has one."""
        upload = upload_selectors.without_parts(self.signed_in(), upload_id)
        numbers = self.body(LinksIn)["numbers"]
        links = parts.links(actor=self.actor, upload=upload, numbers=numbers)
        listed = [{"number": number, "url": url} for number, url in links.items()]
        return self.answer(LinksOut, {"links": listed})


class Complete(_Answering):
    """Completion of an upload in parts."""

    @extend_schema(
        operation_id="uploads_complete", tags=["uploads"], request=None, responses=UploadOut
    )
    def post(self, _request: Request, upload_id: UUID) -> Response:
        """Complete an upload that was sent in parts. The checks follow and compute the digest."""
        upload = upload_selectors.without_parts(self.signed_in(), upload_id)
        uploads.complete(actor=self.actor, upload=upload)
        return self.upload_answer(upload_selectors.get(self.actor, upload_id))

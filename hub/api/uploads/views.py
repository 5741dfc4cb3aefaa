"""``/uploads``: bytes on their way in, as one body or by parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    extend_schema,
    extend_schema_field,
)
from rest_framework import serializers
from rest_framework.response import Response

from hub.api.base import (
    PAGING,
    Endpoint,
    FindingOut,
    Input,
    PageQuery,
    ProgressOut,
    RawEndpoint,
    absolute,
    page_of,
    paged,
    paging,
    shown,
)
from hub.api.bodies import raw_body
from hub.api.versions.anatomy import AnatomyOut, named
from hub.api.versions.serializers import VersionPlaceOut
from hub.upload_progress import checked_bytes
from registry import storage
from registry.blobs import selectors as blob_selectors
from registry.models import Upload, UploadPart, UploadState
from registry.names import MAX_PATH
from registry.uploads import parts, receive
from registry.uploads import selectors as upload_selectors
from registry.uploads import services as uploads

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from rest_framework.request import Request

RAW = {"application/octet-stream": OpenApiTypes.BINARY}
#: States in which every byte has arrived.
HERE = {UploadState.CHECKING, UploadState.ACCEPTED}


class UploadIn(Input):
    """An announced file."""

    path = serializers.CharField(max_length=MAX_PATH, trim_whitespace=False)
    size = serializers.IntegerField(min_value=0, max_value=2**62)
    sha256 = serializers.CharField(
        default=None, allow_null=True, max_length=64, help_text="64 hex digits, when known."
    )


class PartOut(serializers.Serializer[UploadPart]):
    """A part that is safe on disk."""

    number = serializers.IntegerField()
    size = serializers.IntegerField(source="size_bytes")
    sha256 = serializers.CharField(
        allow_blank=True, help_text="Empty when it is not known, as of a part sent by a link."
    )


class LinksIn(Input):
    """Which parts are to go straight to where they are kept."""

    numbers = serializers.ListField(
        child=serializers.IntegerField(min_value=1), min_length=1, max_length=parts.LINKS_AT_ONCE
    )


class LinkOut(serializers.Serializer[Any]):
    """Where to PUT a part: exactly its bytes, without any token."""

    number = serializers.IntegerField()
    url = serializers.URLField()


class LinksOut(serializers.Serializer[Any]):
    """Links that are good for an hour; none where parts go through the hub."""

    links = LinkOut(many=True)


class UploadUrls(serializers.Serializer[Any]):
    """Where to go on."""

    self = serializers.URLField()
    content = serializers.URLField()
    part = serializers.CharField(help_text="Put the number of the part for `{number}`.")
    complete = serializers.URLField()
    parts = serializers.URLField(help_text="Where the hub looks which parts came by links.")
    links = serializers.URLField(
        allow_null=True, help_text="Where to ask for links; null where parts go through the hub."
    )


class UploadOut(serializers.Serializer[Upload]):
    """A file being received and checked."""

    id = serializers.UUIDField(source="public_id")
    path = serializers.CharField()
    size = serializers.IntegerField(source="size_bytes")
    sha256 = serializers.SerializerMethodField(
        help_text="As announced, then as computed: while a whole body comes, or by the checks of a "
        "file that came by parts. Null until then."
    )
    state = serializers.ChoiceField(choices=UploadState.choices, source="state_now")
    received = serializers.SerializerMethodField(help_text="Bytes that are here.")
    part_size = serializers.IntegerField(source="part_bytes")
    parts = PartOut(many=True)
    findings = FindingOut(many=True)
    anatomy = serializers.SerializerMethodField()
    progress = serializers.SerializerMethodField(help_text="Of the checks, in bytes.")
    version = serializers.SerializerMethodField(
        help_text="Which of your versions has these bytes: the first since the upload was "
        "announced, else the first of all; null while none has."
    )
    urls = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()

    def get_sha256(self, upload: Upload) -> str | None:
        """Return the digest of what arrived, else the declared one."""
        return upload.digest or None

    def get_received(self, upload: Upload) -> int:
        """Return the bytes that need not be sent again."""
        return upload.size_bytes if upload.state in HERE else self.arrived(upload)

    def arrived(self, upload: Upload) -> int:
        """Return the bytes of the parts that are here."""
        return sum(part.size_bytes for part in upload.parts.all())

    @extend_schema_field(AnatomyOut(allow_null=True))
    def get_anatomy(self, upload: Upload) -> dict[str, Any] | None:
        """Return the anatomy of accepted weights."""
        return named(blob_selectors.document_of(upload.blob), upload.path)

    @extend_schema_field(ProgressOut)
    def get_progress(self, upload: Upload) -> dict[str, int]:
        """Return how much of the file the checks have read."""
        done = upload.size_bytes if upload.state == UploadState.ACCEPTED else 0
        if upload.state == UploadState.CHECKING:
            done = self.context["progress"].get(upload.pk, 0)
        return {"done": done, "total": upload.size_bytes}

    @extend_schema_field(VersionPlaceOut(allow_null=True))
    def get_version(self, upload: Upload) -> dict[str, Any] | None:
        """Return where the bytes went."""
        version = self.context["versions"].get(upload.pk)
        return (
            None if version is None else dict(VersionPlaceOut(version, context=self.context).data)
        )

    @extend_schema_field(UploadUrls)
    def get_urls(self, upload: Upload) -> dict[str, str | None]:
        """Return the addresses of this upload."""
        place = absolute(self.context, reverse("api-upload", args=[upload.public_id]))
        return {
            "self": place,
            "content": f"{place}/content",
            "part": f"{place}/parts/{{number}}",
            "complete": f"{place}/complete",
            "parts": f"{place}/parts",
            "links": f"{place}/links" if storage.has_links() else None,
        }


class UploadListed(UploadOut):
    """An upload in a list: its parts, of which there may be ten thousand, are only counted."""

    parts = None  # type: ignore[assignment]  # how a serializer drops what it inherits
    part_count = serializers.IntegerField(help_text="Parts that the file is sent in.")
    parts_received = serializers.IntegerField(
        source="parts_here", help_text="Parts that are here, until the upload is decided."
    )

    def arrived(self, upload: Upload) -> int:
        """Return the bytes of the parts that are here, as they were counted for the list."""
        return int(getattr(upload, "arrived", 0))


class _Answering(Endpoint):
    """Answers with uploads."""

    def upload_answer(self, upload: Upload, *, status: int = 200) -> Response:
        """Return the upload as it is now."""
        return self.answer(UploadOut, upload, status=status, **self.serializer_context([upload]))

    def serializer_context(self, rows: Sequence[Upload]) -> dict[str, Any]:
        """Return what else there is to tell of uploads, in a fixed number of queries."""
        return {
            "progress": checked_bytes(rows),
            "versions": upload_selectors.holding(self.signed_in(), rows),
        }


class Uploads(_Answering):
    """The caller's uploads."""

    @extend_schema(
        operation_id="uploads_list",
        tags=["uploads"],
        parameters=PAGING,
        responses=paging("Upload", UploadListed),
    )
    def get(self, request: Request) -> Response:
        """List uploads, newest first; each by itself tells its parts."""
        uploads_of = upload_selectors.overview(self.signed_in()).select_related(
            "blob", "blob__anatomy"
        )
        rows, cursor = page_of(uploads_of, **self.asked(PageQuery))
        context = {"request": request, **self.serializer_context(rows)}
        return paged(self, shown(UploadListed, rows, context), cursor)

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
        """Announce a file. A digest that the caller may read anyway is accepted at once."""
        asked = self.said(UploadIn)
        upload = uploads.create(
            actor=self.actor,
            path=asked["path"],
            size_bytes=asked["size"],
            sha256=asked["sha256"],
        )
        answer = self.upload_answer(upload, status=201)
        answer["Location"] = answer.data["urls"]["self"]
        return answer


class UploadView(_Answering):
    """One upload."""

    @extend_schema(operation_id="uploads_get", tags=["uploads"], responses=UploadOut)
    def get(self, _request: Request, upload_id: UUID) -> Response:
        """Say what has arrived and what the checks found."""
        return self.upload_answer(upload_selectors.get(self.signed_in(), upload_id))

    @extend_schema(operation_id="uploads_cancel", tags=["uploads"], responses={204: None})
    def delete(self, _request: Request, upload_id: UUID) -> Response:
        """Drop an upload and its bytes."""
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
        """Send the whole file; needs Content-Length. It is complete with its last byte."""
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
    """The parts that are here."""

    @extend_schema(
        operation_id="uploads_parts", tags=["uploads"], request=None, responses=UploadOut
    )
    def post(self, _request: Request, upload_id: UUID) -> Response:
        """Have the hub look which parts were sent by links; it counts those in full length."""
        upload = upload_selectors.without_parts(self.signed_in(), upload_id)
        parts.record_sent(actor=self.actor, upload=upload)
        return self.upload_answer(upload_selectors.get(self.actor, upload_id))


class Links(Endpoint):
    """Ways for parts around the hub."""

    @extend_schema(
        operation_id="uploads_links", tags=["uploads"], request=LinksIn, responses=LinksOut
    )
    def post(self, _request: Request, upload_id: UUID) -> Response:
        """Ask for links to send parts straight to the bucket, where the hub has one."""
        upload = upload_selectors.without_parts(self.signed_in(), upload_id)
        numbers = self.said(LinksIn)["numbers"]
        links = parts.links(actor=self.actor, upload=upload, numbers=numbers)
        listed = [{"number": number, "url": url} for number, url in links.items()]
        return self.answer(LinksOut, {"links": listed})


class Complete(_Answering):
    """The end of an upload by parts."""

    @extend_schema(
        operation_id="uploads_complete", tags=["uploads"], request=None, responses=UploadOut
    )
    def post(self, _request: Request, upload_id: UUID) -> Response:
        """Say that every part is there. The checks follow, and tell the digest; ask the upload."""
        upload = upload_selectors.without_parts(self.signed_in(), upload_id)
        uploads.complete(actor=self.actor, upload=upload)
        return self.upload_answer(upload_selectors.get(self.actor, upload_id))

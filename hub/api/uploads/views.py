"""``/uploads``: files as one body or by parts; ``/inspect``: a file by its first bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.urls import reverse
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    PolymorphicProxySerializer,
    extend_schema,
    extend_schema_field,
)
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from hub.api.base import (
    PAGING,
    Endpoint,
    FindingOut,
    Input,
    PageQuery,
    ProgressOut,
    Query,
    RawEndpoint,
    absolute,
    page_of,
    paged,
    paging,
    serialized,
)
from hub.api.bodies import raw_body
from hub.api.versions.anatomy import AnatomyOut, InspectionOut, RefusalOut, named
from hub.api.versions.serializers import VersionPlaceOut
from hub.http import limits
from hub.upload_progress import checked_bytes
from registry import storage
from registry.blobs import selectors as blob_selectors
from registry.errors import Invalid, SizeMismatch, TooLarge
from registry.models import Upload, UploadPart, UploadState
from registry.names import MAX_PATH
from registry.scan import checks
from registry.uploads import parts, receive
from registry.uploads import selectors as upload_selectors
from registry.uploads import services as uploads


class InspectQuery(Query):
    """Name and size of the file that the bytes are from."""

    name = serializers.CharField(default="", allow_blank=True, max_length=MAX_PATH)
    size = serializers.IntegerField(min_value=0, max_value=2**62)


#: Either document; both have `schema` and `file`.
INSPECTED = PolymorphicProxySerializer(
    component_name="InspectOut",
    serializers=[InspectionOut, RefusalOut],
    resource_type_field_name=None,
)


class Inspect(RawEndpoint):
    """Inspection of a file before its upload."""

    is_open = True
    throttle_scope = "inspect"

    @extend_schema(
        operation_id="inspect",
        tags=["inspect"],
        parameters=[
            OpenApiParameter("name", str, description="File name, for messages."),
            OpenApiParameter("size", int, required=True, description="Bytes of the whole file."),
        ],
        request={"application/octet-stream": OpenApiTypes.BINARY},
        responses=INSPECTED,
    )
    def post(self, request: Request) -> Response:
        """Inspect a file by its first bytes (at most 16 MiB; without signing in, 4 MiB).

        For a refused file the document has the reason.
        """
        query = self.query(InspectQuery)
        data = _first_bytes(request, query["size"])
        return Response(limits.inspect_head(data, **query).to_dict())


def _first_bytes(request: Request, size: int) -> bytes:
    """Return the body, at most as long as the longest header."""
    most = limits.max_head_bytes(request.user)
    try:
        data: bytes = raw_body(request, limit=most).read(most)
    except TooLarge as refusal:
        raise limits.head_too_large(request.user) from refusal
    if not data and size:
        raise Invalid(_("Send the first bytes of the file."))
    if data.startswith(b"--") and (request.content_type or "").startswith("multipart/"):
        raise Invalid(_("Send the bytes as a raw body, not in a form (curl: --data-binary @FILE)."))
    if len(data) > size:
        text = _("The request has more bytes than the given size of the file.")
        raise SizeMismatch(text, expected=size, received=len(data))
    _require_header(data, min(size, checks.head_bytes()), request)
    return data


def _require_header(data: bytes, most: int, request: Request) -> None:
    """Require the complete header: inspected as a whole file, the bytes would be damaged."""
    needed = 8 + int.from_bytes(data[:8], "little")
    if limits.max_head_bytes(request.user) < needed <= most:
        raise limits.head_too_large(request.user)
    if 8 <= len(data) < needed <= most:
        text = _(
            "The header needs the first %(needed)d bytes of the file; the request has %(got)d."
        )
        text = text % {"needed": needed, "got": len(data)}
        raise SizeMismatch(text, expected=needed, received=len(data))


RAW = {"application/octet-stream": OpenApiTypes.BINARY}
#: States in which every byte has arrived.
HERE = {UploadState.CHECKING, UploadState.ACCEPTED}


class UploadIn(Input):
    """An announced file."""

    path = serializers.CharField(max_length=MAX_PATH, trim_whitespace=False)
    size = serializers.IntegerField(min_value=0, max_value=2**62)
    sha256 = serializers.CharField(
        default=None, allow_null=True, max_length=64, help_text="64 hex digits, if known."
    )


class PartOut(serializers.Serializer[UploadPart]):
    """A stored part."""

    number = serializers.IntegerField()
    size = serializers.IntegerField(source="size_bytes")
    sha256 = serializers.CharField(
        allow_blank=True, help_text="Empty if unknown, as for a part sent through a link."
    )


class LinksIn(Input):
    """Parts to send directly to the bucket."""

    numbers = serializers.ListField(
        child=serializers.IntegerField(min_value=1), min_length=1, max_length=parts.LINKS_AT_ONCE
    )


class LinkOut(serializers.Serializer[Any]):
    """URL to PUT a part to: exactly its bytes, without a token."""

    number = serializers.IntegerField()
    url = serializers.URLField()


class LinksOut(serializers.Serializer[Any]):
    """Links that are valid for an hour; none if parts go through the hub."""

    links = LinkOut(many=True)


class UploadUrls(serializers.Serializer[Any]):
    """URLs of the next requests."""

    self = serializers.URLField()
    content = serializers.URLField()
    part = serializers.CharField(help_text="Replace `{number}` with the number of the part.")
    complete = serializers.URLField()
    parts = serializers.URLField(
        help_text="POST here to have the hub look for parts that were sent through links."
    )
    links = serializers.URLField(
        allow_null=True, help_text="POST here to get links; null if parts go through the hub."
    )


class UploadOut(serializers.Serializer[Upload]):
    """A file being received and checked."""

    id = serializers.UUIDField(source="public_id")
    path = serializers.CharField()
    size = serializers.IntegerField(source="size_bytes")
    sha256 = serializers.SerializerMethodField(
        help_text="The announced digest, or the computed one once the hub has it: on receipt of a "
        "whole body, or after the checks of a file sent in parts. Otherwise null."
    )
    state = serializers.ChoiceField(choices=UploadState.choices, source="state_now")
    received = serializers.SerializerMethodField(help_text="Received bytes.")
    part_size = serializers.IntegerField(source="part_bytes")
    parts = PartOut(many=True)
    findings = FindingOut(many=True)
    anatomy = serializers.SerializerMethodField()
    progress = serializers.SerializerMethodField(help_text="Progress of the checks, in bytes.")
    version = serializers.SerializerMethodField(
        help_text="Your version that has these bytes: the first one created after the upload was "
        "announced, or else the oldest; null if there is none."
    )
    urls = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()

    def get_sha256(self, upload: Upload) -> str | None:
        """Return the computed digest, else the declared one."""
        return upload.digest or None

    def get_received(self, upload: Upload) -> int:
        """Return the number of received bytes."""
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
        """Return the version with the file."""
        version = self.context["versions"].get(upload.pk)
        return (
            None if version is None else dict(VersionPlaceOut(version, context=self.context).data)
        )

    @extend_schema_field(UploadUrls)
    def get_urls(self, upload: Upload) -> dict[str, str | None]:
        """Return the URLs of this upload."""
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
    """An upload in a list, with the number of its parts instead of the parts."""

    parts = None  # type: ignore[assignment]  # how a serializer drops what it inherits
    part_count = serializers.IntegerField(help_text="Number of parts of the file.")
    parts_received = serializers.IntegerField(
        source="parts_here", help_text="Number of received parts, until the checks end."
    )

    def arrived(self, upload: Upload) -> int:
        """Return the bytes of the parts that are here, as they were counted for the list."""
        return int(getattr(upload, "arrived", 0))


class _Answering(Endpoint):
    """Mixin of views that answer with uploads."""

    def upload_answer(self, upload: Upload, *, status: int = 200) -> Response:
        """Return the current state of an upload."""
        return self.answer(UploadOut, upload, status=status, **self.serializer_context([upload]))

    def serializer_context(self, rows: Sequence[Upload]) -> dict[str, Any]:
        """Return progress and versions of uploads, in a fixed number of queries."""
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
        """List uploads, newest first; a single upload also has its parts."""
        uploads_of = upload_selectors.overview(self.signed_in()).select_related(
            "blob", "blob__anatomy"
        )
        rows, cursor = page_of(uploads_of, **self.query(PageQuery))
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
    """Completion of an upload by parts."""

    @extend_schema(
        operation_id="uploads_complete", tags=["uploads"], request=None, responses=UploadOut
    )
    def post(self, _request: Request, upload_id: UUID) -> Response:
        """Complete an upload that was sent in parts. The checks follow and compute the digest."""
        upload = upload_selectors.without_parts(self.signed_in(), upload_id)
        uploads.complete(actor=self.actor, upload=upload)
        return self.upload_answer(upload_selectors.get(self.actor, upload_id))

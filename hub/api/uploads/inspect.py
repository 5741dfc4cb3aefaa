"""``/inspect``: anatomy and findings of a file by its first bytes, before it is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, PolymorphicProxySerializer, extend_schema
from rest_framework import serializers
from rest_framework.response import Response

from hub.api.base import Input, RawEndpoint
from hub.api.bodies import raw_body
from hub.api.versions.anatomy import InspectionOut, RefusalOut
from hub.http import limits
from registry.errors import Invalid, SizeMismatch, TooLarge
from registry.names import MAX_PATH
from registry.scan import checks

if TYPE_CHECKING:
    from rest_framework.request import Request


class InspectQuery(Input):
    """Which file the bytes begin."""

    name = serializers.CharField(default="", allow_blank=True, max_length=MAX_PATH)
    size = serializers.IntegerField(min_value=0, max_value=2**62)


#: Either document; both have `schema` and `file`.
INSPECTED = PolymorphicProxySerializer(
    component_name="InspectOut",
    serializers=[InspectionOut, RefusalOut],
    resource_type_field_name=None,
)


class Inspect(RawEndpoint):
    """Looking before sending."""

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
        """Read the header of a file from its first bytes (at most 16 MiB; strangers 4 MiB).

        A file that is refused is an answer too: its document says why.
        """
        asked = self.asked(InspectQuery)
        data = _first_bytes(request, asked["size"])
        return Response(limits.inspect_head(data, **asked).to_dict())


def _first_bytes(request: Request, size: int) -> bytes:
    """Return the body, at most what a header can need.

    Raises:
        Invalid: there is none, though the file has bytes, or it is a form.
        SizeMismatch: it is longer than the file, or ends within the header.
        TooLarge: it is longer than what is inspected for this user.
    """
    most = limits.max_head_bytes(request.user)
    try:
        data: bytes = raw_body(request, limit=most).read(most)
    except TooLarge as refusal:
        raise limits.head_too_large(request.user) from refusal
    if not data and size:
        raise Invalid(_("Send the first bytes of the file."))
    if data.startswith(b"--") and (request.content_type or "").startswith("multipart/"):
        raise Invalid(_("Send the bytes as they are, not in a form (curl: --data-binary @FILE)."))
    if len(data) > size:
        text = _("The request has more bytes than the given size of the file.")
        raise SizeMismatch(text, expected=size, received=len(data))
    _require_header(data, min(size, checks.head_bytes()), request)
    return data


def _require_header(data: bytes, most: int, request: Request) -> None:
    """Refuse a beginning that ends too early: of a whole file the same bytes would be damage.

    Raises:
        SizeMismatch: the header goes on where the body ends.
        TooLarge: so much of it is not inspected for this user.
    """
    needed = 8 + int.from_bytes(data[:8], "little")
    if limits.max_head_bytes(request.user) < needed <= most:
        raise limits.head_too_large(request.user)
    if 8 <= len(data) < needed <= most:
        text = _(
            "The header needs the first %(needed)d bytes of the file; the request has %(got)d."
        )
        told = text % {"needed": needed, "got": len(data)}
        raise SizeMismatch(told, expected=needed, received=len(data))

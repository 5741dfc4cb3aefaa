"""``/inspect``: a file by its first bytes, before its upload."""

from __future__ import annotations

from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from hub.api.base import Query, RawEndpoint, TextParameter
from hub.api.bodies import raw_body
from hub.api.versions.anatomy import InspectionOut, RefusalOut
from hub.http import limits
from registry.errors import Invalid, SizeMismatch, TooLarge
from registry.lineages import selectors as lineages
from registry.names import MAX_PATH
from registry.scan import checks


class InspectQuery(Query):
    """Name and size of the file that the bytes are from."""

    name = TextParameter(MAX_PATH, "File name, for messages.")
    size = serializers.IntegerField(
        min_value=0, max_value=2**62, help_text="Bytes of the whole file."
    )


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
        parameters=[InspectQuery],
        request={"application/octet-stream": OpenApiTypes.BINARY},
        responses=INSPECTED,
    )
    def post(self, request: Request) -> Response:
        """Inspect a file by its first bytes (at most 16 MiB; without signing in, 4 MiB).

        For a refused file the document has the reason.
        """
        query = self.query(InspectQuery)
        data = _first_bytes(request, query["size"])
        return Response(lineages.with_known(limits.inspect_head(data, **query).to_dict()))


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

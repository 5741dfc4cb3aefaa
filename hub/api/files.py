"""``…/versions/{v}/files/{path}``: the bytes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema

from hub import delivery
from hub.api.base import Endpoint
from registry.selectors import files
from registry.services import downloads

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase
    from rest_framework.request import Request

    from registry.selectors.files import Served

__all__ = ["FileView", "send"]

BYTES = {
    (200, "application/octet-stream"): OpenApiResponse(OpenApiTypes.BINARY, "The whole file."),
    (206, "application/octet-stream"): OpenApiResponse(OpenApiTypes.BINARY, "The range."),
    304: OpenApiResponse(description="The copy with this ETag is still right."),
}
HEADERS = [
    OpenApiParameter("Range", str, OpenApiParameter.HEADER, description="`bytes=0-1023`"),
    OpenApiParameter(
        "If-Range", str, OpenApiParameter.HEADER, description="ETag for which the range is meant."
    ),
    OpenApiParameter("If-None-Match", str, OpenApiParameter.HEADER, description="ETag you have."),
    OpenApiParameter("If-Match", str, OpenApiParameter.HEADER, description="ETag you insist on."),
]


class FileView(Endpoint):
    """A file of a version; the ETag is its sha256."""

    @extend_schema(
        operation_id="files_download", tags=["files"], parameters=HEADERS, responses=BYTES
    )
    def get(
        self, request: Request, owner: str, name: str, version: str, path: str
    ) -> HttpResponseBase:
        """Download a file, whole or in part; counted when its last byte is sent."""
        return send(request, files.get(self.viewer, owner, name, version, path))


def send(request: HttpRequest | Request, served: Served) -> HttpResponseBase:
    """Answer with a file that may be sent.

    Raises:
        Gone, PreconditionFailed, RangeUnsatisfiable: see ``delivery``.
    """
    delivery.require_match(request, served.blob)
    return delivery.deliver(
        request,
        served.blob,
        filename=served.path.rpartition("/")[2],
        is_private=not served.is_public,
        on_sent=partial(
            downloads.count, version_id=served.version_id, is_primary=served.is_primary
        ),
    )

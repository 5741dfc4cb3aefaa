"""``…/versions/{v}/files/{path}``: the bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema

from hub.api.base import Endpoint
from hub.http import delivery
from registry.versions import files

if TYPE_CHECKING:
    from django.http.response import HttpResponseBase
    from rest_framework.request import Request

__all__ = ["FileView"]

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
        return delivery.send(request, files.get(self.viewer, owner, name, version, path))

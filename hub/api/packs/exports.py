"""``/packs/{owner}/{name}/versions/{version}/export``: a variant as a file for another tool."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request

from hub.api.base import Choice, ChoiceParameter, Query, TextParameter
from hub.api.packs.serializers import PackVersionOut, context_of
from hub.api.packs.versions import PackVersionEndpoint
from hub.http.delivery import content_disposition
from lorary.client import errors
from lorary.client.packs import PackVersion as Document
from lorary.exports import FORMS, TOOLS, export, look_of
from registry.errors import Invalid, NotFound
from registry.models import PackVersion, VersionState
from registry.packs import selectors as pack_selectors


class ExportQuery(Query):
    """Parameters of an export; ``for`` is a word of Python, so it is declared by its name."""

    variant = TextParameter(100, "A variant; may be left out if there is only one.")
    form = ChoiceParameter(FORMS, "For ComfyUI: `api` (the default) for `POST /prompt`, or `ui`.")

    def get_fields(self) -> dict[str, Any]:
        """Return the fields with ``for``."""
        return {
            "for": Choice(choices=list(TOOLS.items()), help_text="The tool."),
            **super().get_fields(),
        }


class PackExport(PackVersionEndpoint):
    """Export of a version."""

    @extend_schema(
        operation_id="pack_versions_export",
        tags=["packs"],
        parameters=[ExportQuery],
        responses={
            (200, "application/json"): OpenApiResponse(
                OpenApiTypes.OBJECT, "A workflow or a preset."
            ),
            (200, "text/plain"): OpenApiResponse(OpenApiTypes.STR, "A prompt with settings."),
            (200, "text/x-python"): OpenApiResponse(OpenApiTypes.STR, "A script for diffusers."),
        },
    )
    def get(self, _request: Request, owner: str, name: str, version: str) -> HttpResponse:
        """Return a variant as a file for another tool.

        Names of files are those that `lorary pull pack:… --variant … --to` writes into an empty
        folder. Parts that cannot be downloaded are left out.
        """
        query = self.query(ExportQuery)
        row = self.version(owner, name, version)
        if row.state == VersionState.WITHDRAWN:
            raise pack_selectors.gone_version(row)
        try:
            look = look_of(self._document(row), query["variant"])
            made = export(look, query["for"], query["form"])
        except errors.NotFound as error:
            raise NotFound(error.detail, pack=row.pack.full_name) from error
        except errors.Invalid as error:
            raise Invalid(error.detail) from error
        headers = {
            "Content-Disposition": content_disposition(made.file_name),
            "Cache-Control": "private, no-cache",
        }
        kind = f"{made.media_type}; charset=utf-8"
        return HttpResponse(made.text, content_type=kind, headers=headers)

    def _document(self, row: PackVersion) -> Document:
        """Return a version as clients read it."""
        context = context_of(self.request, [], row)
        return Document.read(dict(PackVersionOut(row, context=context).data))

"""``/renders/{id}`` and ``…/versions/{v}/renders``: previews on their way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers

from hub.api.base import Endpoint
from hub.api.previews.serializers import PlaceOut, PreviewsOut
from previews.models import OPEN_STATES
from previews.selectors import renders as selectors
from previews.selectors.queue_position import place_of
from previews.services import renders as services
from registry.adapters import selectors as adapter_selectors
from registry.versions import selectors as version_selectors

if TYPE_CHECKING:
    from rest_framework.request import Request
    from rest_framework.response import Response

    from previews.models import Render
    from previews.selectors.renders import Previews

__all__ = ["RenderOut", "RenderView", "VersionRenders"]


class RenderOut(PreviewsOut):
    """One render: a recipe applied to a version."""

    id = serializers.IntegerField(source="render_id")
    adapter = serializers.SerializerMethodField()
    version = serializers.SerializerMethodField()
    recipe = serializers.DictField(help_text="Everything that makes the pictures reproducible.")
    queue = serializers.SerializerMethodField(help_text="Null once it is over.")

    @extend_schema_field(OpenApiTypes.STR)
    def get_adapter(self, _previews: Previews) -> str:
        """Return ``owner/name``."""
        return str(self.context["render"].version.adapter.full_name)

    @extend_schema_field(PlaceOut(allow_null=True))
    def get_queue(self, previews: Previews) -> dict[str, Any] | None:
        """Return its place."""
        is_open = previews.state in OPEN_STATES
        return dict(PlaceOut(place_of(self.context["render"])).data) if is_open else None

    @extend_schema_field(OpenApiTypes.STR)
    def get_version(self, _previews: Previews) -> str:
        """Return ``v3``."""
        return str(self.context["render"].version.name)


class _Answering(Endpoint):
    """Answers with a render."""

    def render_answer(self, render: Render, *, status: int = 200) -> Response:
        """Return a render with its pictures so far."""
        shown = selectors.of_render(render)
        return self.answer(RenderOut, shown, status=status, render=render)


class RenderView(_Answering):
    """One render."""

    @extend_schema(operation_id="renders_get", tags=["renders"], responses=RenderOut)
    def get(self, _request: Request, render_id: int) -> Response:
        """Say how far a render is, with the pictures that are there."""
        return self.render_answer(selectors.render(self.viewer, render_id))


class VersionRenders(_Answering):
    """Renders of a version."""

    @extend_schema(
        operation_id="renders_request", tags=["renders"], request=None, responses={202: RenderOut}
    )
    def post(self, _request: Request, owner: str, name: str, version: str) -> Response:
        """Ask for previews again; one under way, or ready by the same recipe, is returned."""
        adapter = adapter_selectors.get(self.viewer, owner, name)
        row = version_selectors.get(self.viewer, adapter, version)
        render = services.request(actor=self.actor, version=row)
        return self.render_answer(selectors.render(self.viewer, render.pk), status=202)

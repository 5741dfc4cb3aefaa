"""``…/cover``: the picture that stands for an adapter, and its owner's choice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from hub.api.base import Endpoint, Input, absolute
from hub.api.previews.serializers import SourceOut
from previews.covers import drawing, services
from previews.covers.selectors import covers_of
from previews.pictures.selectors import Picture
from registry.adapters import selectors as adapter_selectors
from registry.models import Adapter, Maturity

RENDERED, UPLOADED, DRAWN = "rendered", "uploaded", "drawn"
_MAX_ID = 2**62


class CoverOut(serializers.Serializer[Any]):
    """The cover of an adapter."""

    source = serializers.ChoiceField(  # type: ignore[assignment]  # of the document, not the field
        choices=[RENDERED, UPLOADED, DRAWN],
        help_text="`uploaded`: by the author, not rendered here; `drawn`: from the weights.",
    )
    id = serializers.IntegerField(
        allow_null=True, help_text="Of the preview or gallery image; null for a drawn cover."
    )
    url = serializers.URLField(help_text="PNG, WebP or SVG; for a video, a still.")
    width = serializers.IntegerField()
    height = serializers.IntegerField()
    placeholder = serializers.CharField(help_text="Blurred placeholder as `data:` URL.")
    sources = SourceOut(many=True)
    maturity = serializers.ChoiceField(
        choices=Maturity.choices, allow_null=True, help_text="Content rating; null if drawn."
    )


class CoverIn(Input):
    """The picture to choose: either `image` or `sample`."""

    image = serializers.IntegerField(
        required=False, min_value=1, max_value=_MAX_ID, help_text="Id of a preview."
    )
    sample = serializers.IntegerField(
        required=False, min_value=1, max_value=_MAX_ID, help_text="Id of a gallery image."
    )


def cover_document(
    adapter: Adapter, picture: Picture | None, context: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Return the document of a cover, None for an adapter without a published version."""
    if picture is None and adapter.latest_version_id is None:
        return None
    shown: dict[str, Any]
    if picture is None:
        path = f"/media/covers/{adapter.latest_version_id}.svg"
        size = {"width": drawing.WIDTH, "height": drawing.HEIGHT}
        shown = {"source": DRAWN, "id": None, "placeholder": "", "sources": (), "maturity": None}
        shown |= size
    else:
        path = picture.url
        names = ("id", "width", "height", "placeholder", "sources", "maturity")
        shown = {name: getattr(picture, name) for name in names}
        shown["source"] = UPLOADED if picture.is_uploaded else RENDERED
    shown["url"] = absolute(context, path)
    return dict(CoverOut(shown, context=dict(context)).data)


class CoverView(Endpoint):
    """The cover of an adapter; its document is part of the adapter's."""

    @extend_schema(
        operation_id="cover_choose",
        tags=["adapters"],
        request=CoverIn,
        responses=CoverOut,
        examples=[OpenApiExample("A gallery image", value={"sample": 12}, request_only=True)],
    )
    def put(self, request: Request, owner: str, name: str) -> Response:
        """Make a preview or a gallery image of a published version the cover."""
        adapter = adapter_selectors.get(self.viewer, owner, name)
        services.choose(actor=self.actor, adapter=adapter, **self.body(CoverIn))
        picture = covers_of([adapter])[adapter.pk]
        return Response(cover_document(adapter, picture, {"request": request}))

    @extend_schema(operation_id="cover_automatic", tags=["adapters"], responses={204: None})
    def delete(self, _request: Request, owner: str, name: str) -> Response:
        """Have the hub choose again: the newest preview, else the first gallery image."""
        adapter = adapter_selectors.get(self.viewer, owner, name)
        services.choose_automatically(actor=self.actor, adapter=adapter)
        return Response(status=204)

"""How previews are written: state, reason, progress, pictures."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from hub.api.base import absolute
from hub.api.shapes import ProgressOut
from previews.models import RenderState
from previews.selectors.renders import Picture, Previews

__all__ = ["PREVIEW_STATES", "PictureOut", "PreviewsOut"]

#: States of a version's previews; ``none``: nobody asked for them.
PREVIEW_STATES = [*RenderState.values, "none"]


class PictureOut(serializers.Serializer[Picture]):
    """One preview; its PNG carries the whole recipe."""

    id = serializers.IntegerField()
    url = serializers.SerializerMethodField()
    prompt = serializers.CharField()
    seed = serializers.IntegerField()
    strength = serializers.FloatField()
    width = serializers.IntegerField()
    height = serializers.IntegerField()

    @extend_schema_field(OpenApiTypes.URI)
    def get_url(self, picture: Picture) -> str:
        """Return where the PNG is."""
        return absolute(self.context, picture.url)


class PreviewsOut(serializers.Serializer[Previews]):
    """Pictures of a version, and how far they are."""

    state = serializers.ChoiceField(choices=PREVIEW_STATES)
    reason = serializers.CharField(help_text="Why it waits or failed.")
    progress = serializers.SerializerMethodField(help_text="In pictures.")
    images = PictureOut(many=True)
    render_id = serializers.IntegerField(allow_null=True, help_text="See `/renders/{id}`.")

    @extend_schema_field(ProgressOut)
    def get_progress(self, previews: Previews) -> dict[str, Any]:
        """Return pictures done and in all."""
        return previews.progress

"""Serializers of previews: state, reason, progress, pictures."""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from hub.api.base import Link, ProgressOut, absolute
from previews.models import RenderState
from previews.pictures.selectors import Picture, Source
from previews.renders.queue_position import QueuePosition
from previews.renders.selectors import Previews
from registry.models import Maturity, Output

#: States of a version's previews; ``none``: not requested.
PREVIEW_STATES = [*RenderState.values, "none"]


class SourceOut(serializers.Serializer[Source]):
    """A thumbnail of a picture."""

    type = serializers.CharField(help_text="`image/avif` or `image/webp`.")
    width = serializers.IntegerField()
    url = Link(attrgetter("url"))


class PictureOut(serializers.Serializer[Picture]):
    """One preview, a picture or a video; its PNG contains the whole recipe."""

    id = serializers.IntegerField()
    url = Link(attrgetter("url"), help_text="PNG; for a video, its first frame.")
    media_type = serializers.CharField(
        help_text="`image/png`, `video/mp4`, or `image/webp` for a video of an older release."
    )
    prompt = serializers.CharField()
    seed = serializers.IntegerField()
    strength = serializers.FloatField()
    width = serializers.IntegerField()
    height = serializers.IntegerField()
    sources = SourceOut(many=True)
    placeholder = serializers.CharField(
        help_text="Blurred placeholder as `data:` URL; empty until made."
    )
    animation = Link(
        attrgetter("animation"), allow_null=True, help_text="The video; null for pictures."
    )
    frames = serializers.IntegerField(help_text="Number of frames; 1 for pictures.")
    fps = serializers.IntegerField(help_text="Frames per second; 0 for pictures.")
    duration_s = serializers.FloatField(allow_null=True, help_text="Null for pictures.")
    maturity = serializers.ChoiceField(
        choices=Maturity.choices,
        allow_blank=True,
        help_text="Content rating: its own, else that of the adapter; empty in a try-out.",
    )


class SheetsOut(serializers.Serializer[dict[str, str]]):
    """The contact sheet with all pictures."""

    png = serializers.URLField()


class SideOut(serializers.Serializer[dict[str, Any]]):
    """Advice for strengths above or below 0; null: the sweep does not show it."""

    begins = serializers.FloatField(allow_null=True, help_text="From here on a change is visible.")
    saturates = serializers.FloatField(allow_null=True, help_text="From here on more adds little.")
    breaks = serializers.FloatField(allow_null=True, help_text="From here on pictures degrade.")
    suggested = serializers.ListField(
        child=serializers.FloatField(),
        min_length=2,
        max_length=2,
        allow_null=True,
        help_text="Lowest and highest useful strength; null: hardly anything changes.",
    )
    ends = serializers.FloatField(help_text="Outermost strength of the sweep.")


class AdviceOut(serializers.Serializer[dict[str, Any]]):
    """Strength advice, measured on the pictures."""

    positive = SideOut(allow_null=True, help_text="Strengths above 0.")
    negative = SideOut(allow_null=True, help_text="Strengths below 0, if the sweep has any.")
    distances = serializers.ListField(
        child=serializers.ListField(child=serializers.FloatField(), min_length=2, max_length=2),
        help_text="Pairs of strength and mean difference to strength 0, on a scale of 255.",
    )
    seed_distance = serializers.FloatField(
        help_text="Mean difference between seeds without the adapter, on a scale of 255."
    )
    method = serializers.IntegerField(help_text="Version of the measuring method.")


class PlaceOut(serializers.Serializer[QueuePosition]):
    """Position in the queue."""

    ahead = serializers.IntegerField(help_text="Jobs before it.")
    workers = serializers.IntegerField(help_text="Active workers with its base model; 0: it waits.")
    seconds_left = serializers.IntegerField(
        source="left_s", allow_null=True, help_text="An estimate; null if there is none."
    )


class BasePreviewsOut(serializers.Serializer[Previews]):
    """Previews of a version with one base model, and their progress."""

    base = serializers.CharField(help_text="Id of the base model; empty until there is one.")
    output = serializers.ChoiceField(choices=Output.choices)

    state = serializers.ChoiceField(choices=PREVIEW_STATES)
    reason = serializers.CharField(help_text="Why it waits or failed.")
    progress = ProgressOut(read_only=True, help_text="In pictures.")
    images = PictureOut(many=True)
    render_id = serializers.IntegerField(allow_null=True, help_text="See `/renders/{id}`.")
    advice = serializers.SerializerMethodField(help_text="Null while the sweep has no result.")

    sheets = serializers.SerializerMethodField(help_text="Null until a worker has made it.")

    @extend_schema_field(SheetsOut(allow_null=True))
    def get_sheets(self, previews: Previews) -> dict[str, str] | None:
        """Return the URL of the contact sheet."""
        sheets = {kind: absolute(self.context, path) for kind, path in previews.sheets.items()}
        return sheets or None

    @extend_schema_field(AdviceOut(allow_null=True))
    def get_advice(self, previews: Previews) -> Mapping[str, Any] | None:
        """Return the strength advice of the sweep."""
        return AdviceOut(previews.advice).data if previews.advice else None


class PreviewsOut(BasePreviewsOut):
    """Previews of a version with the first base model of its family."""

    others = BasePreviewsOut(
        many=True, help_text="With other base models of the family, such as those for videos."
    )

"""``…/versions/{v}/report``: the look report of a version."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from hub.api.base import Link, ProgressOut, VersionEndpoint
from hub.api.previews.serializers import SideOut
from previews.models import Report, ReportPart, ReportState
from previews.reports import selectors
from previews.reports.selectors import Measured
from registry.errors import NotFound


class FigureOut(serializers.Serializer[dict[str, Any]]):
    """A measured value."""

    value = serializers.FloatField()
    error = serializers.FloatField(
        allow_null=True, help_text="Standard error over prompts; null if there are too few."
    )


class FiguresOut(serializers.Serializer[dict[str, Any]]):
    """Figures of a look, from 0 to 1 except `effect`; null where the pictures do not show it."""

    effect = FigureOut(
        allow_null=True,
        help_text="How much the adapter changes; 1 is as much as a different prompt would change.",
    )
    consistency = FigureOut(
        allow_null=True, help_text="How alike the change is over subjects; 1: the same."
    )
    leak = FigureOut(
        allow_null=True,
        help_text="Share of the change without trigger words; null: there are none.",
    )
    drift = FigureOut(
        allow_null=True,
        help_text="How much pictures of unrelated prompts change; 1 is as much as a different "
        "prompt would change.",
    )
    subject_kept = FigureOut(
        allow_null=True, help_text="Whether pictures show what their prompts ask for; 1: they do."
    )
    method = serializers.IntegerField(help_text="Version of the measures.")


class ReportPictureOut(serializers.Serializer[Measured]):
    """A picture that the figures are measured from; at strength 0 it is without the adapter."""

    id = serializers.IntegerField()
    url = Link(lambda one: one.path, help_text="PNG with its recipe.")
    part = serializers.ChoiceField(
        choices=ReportPart.choices,
        help_text="`look`: with trigger words; `plain`: without them; `unrelated`: other prompts.",
    )
    prompt = serializers.CharField()
    seed = serializers.IntegerField()
    strength = serializers.FloatField()
    width = serializers.IntegerField()
    height = serializers.IntegerField()


class ReportOut(serializers.Serializer[Report]):
    """The look report of a version for a base model.

    Reports can be compared if `base`, `recipe_digest`, `encoder_digest` and `method` are the same.
    """

    state = serializers.ChoiceField(choices=ReportState.choices)
    reason = serializers.CharField(help_text="Why it failed.")
    progress = serializers.SerializerMethodField(help_text="In pictures.")
    base = serializers.CharField(help_text="Name of the base model.")
    recipe_version = serializers.IntegerField(source="recipe.version")
    recipe_digest = serializers.CharField(help_text="Digest of the recipe, without the strength.")
    encoder = serializers.CharField(help_text="Empty until it is ready.")
    encoder_digest = serializers.CharField(help_text="sha256; empty until it is ready.")
    strength = serializers.FloatField(help_text="The recommended one.")
    trigger_words = serializers.ListField(child=serializers.CharField())
    figures = serializers.SerializerMethodField(help_text="Null until it is ready.")
    range = serializers.SerializerMethodField(
        help_text="Strengths above 0, from the previews; null without advice."
    )
    pictures = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)

    @extend_schema_field(ProgressOut)
    def get_progress(self, report: Report) -> dict[str, int]:
        """Return the number of pictures done and in total."""
        return {"done": len(self.context["pictures"]), "total": report.total}

    @extend_schema_field(FiguresOut(allow_null=True))
    def get_figures(self, report: Report) -> dict[str, Any] | None:
        """Return the figures."""
        return dict(FiguresOut(report.figures).data) if report.figures else None

    @extend_schema_field(SideOut(allow_null=True))
    def get_range(self, _report: Report) -> dict[str, Any] | None:
        """Return where the adapter begins, saturates and breaks."""
        side = self.context["range"]
        return dict(SideOut(side).data) if side else None

    @extend_schema_field(ReportPictureOut(many=True))
    def get_pictures(self, _report: Report) -> list[dict[str, Any]]:
        """Return the pictures in their order."""
        return list(
            ReportPictureOut(self.context["pictures"], many=True, context=self.context).data
        )


class VersionReport(VersionEndpoint):
    """The look report of a version."""

    @extend_schema(operation_id="reports_get", tags=["renders"], responses=ReportOut)
    def get(self, _request: Request, owner: str, name: str, version: str) -> Response:
        """Return the look report of a version, with the pictures that exist.

        A worker makes it after the previews, if its base model has an encoder.
        """
        row = self.version(owner, name, version)
        report = selectors.report_of(row)
        if report is None:
            # The adapter tells clients that signing in would not help.
            text = _("This version has no look report yet.")
            raise NotFound(text, adapter=row.adapter.full_name)
        return self.answer(
            ReportOut,
            report,
            pictures=selectors.pictures_of(report),
            range=selectors.range_of(row),
        )

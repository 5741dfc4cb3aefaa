"""Look reports: what an adapter or a pack does to pictures, measured from rendered ones."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from previews.models.render import Render
from previews.render.recipe import picture_count
from registry.models import Blob, Job, Version


class ReportState(models.TextChoices):
    """State of a report."""

    QUEUED = "queued", _("Queued")
    RUNNING = "running", _("Running")
    READY = "ready", _("Ready")
    FAILED = "failed", _("Failed")


#: Recipes in the document of a report.
_RECIPES = ("look", "others")
#: States of reports that are not over.
OPEN_REPORTS = (ReportState.QUEUED, ReportState.RUNNING)


class Report(models.Model):
    """The look report of a version for a base model, or that of a pack's cover sheet.

    A cover sheet (``render``) is measured from its own pictures; ``recipe`` has its recipe as
    ``look``, and its strength is 1.

    ``recipe`` is a document of ``previews.render.look.recipes``, ``figures`` one of
    ``previews.render.look.measures``, empty until it is measured. Reports are comparable if base,
    ``recipe_digest`` and ``encoder_digest`` are the same; ``strength`` and ``trigger_words`` are
    those of the version when it was begun.
    """

    version = models.ForeignKey(
        Version, on_delete=models.CASCADE, related_name="reports", null=True, blank=True
    )
    render = models.OneToOneField(
        Render, on_delete=models.CASCADE, related_name="report", null=True, blank=True
    )
    job = models.ForeignKey(Job, on_delete=models.SET_NULL, related_name="+", null=True, blank=True)
    state = models.CharField(max_length=16, choices=ReportState, default=ReportState.QUEUED)
    reason = models.TextField(blank=True)
    base = models.CharField(max_length=48)
    recipe = models.JSONField()
    recipe_digest = models.CharField(max_length=64)
    strength = models.FloatField()
    trigger_words = models.JSONField(default=list, blank=True)
    encoder = models.CharField(max_length=255, blank=True)
    encoder_digest = models.CharField(max_length=64, blank=True)
    figures = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        """A version has at most one open report, and one that is ready; a cover sheet has one."""

        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["version"],
                condition=Q(state__in=[ReportState.QUEUED, ReportState.RUNNING]),
                name="report_one_open_per_version",
            ),
            models.UniqueConstraint(
                fields=["version"],
                condition=Q(state=ReportState.READY),
                name="report_one_ready_per_version",
            ),
            models.CheckConstraint(
                name="report_is_of_one_thing",
                condition=Q(version__isnull=False, render__isnull=True)
                | Q(version__isnull=True, render__isnull=False),
            ),
            models.CheckConstraint(
                name="report_recipe_digest_is_hex",
                condition=Q(recipe_digest__regex=r"^[0-9a-f]{64}$"),
            ),
            models.CheckConstraint(
                name="report_ready_says_encoder",
                condition=~Q(state=ReportState.READY) | Q(encoder_digest__regex=r"^[0-9a-f]{64}$"),
            ),
            models.CheckConstraint(
                name="report_says_why", condition=~Q(state=ReportState.FAILED) | ~Q(reason="")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.version_id or self.render_id}: {self.state}"

    @property
    def total(self) -> int:
        """Number of pictures."""
        return sum(picture_count(self.recipe[name]) for name in _RECIPES if name in self.recipe)


class ReportPart(models.TextChoices):
    """What a picture of a report is for; ``previews.render.look.recipes.Part``."""

    LOOK = "look", _("With trigger words")
    PLAIN = "plain", _("Without trigger words")
    UNRELATED = "unrelated", _("Unrelated prompt")


class ReportPicture(models.Model):
    """A picture that a report is measured from, with the adapter or (strength 0) without it.

    ``position`` is its index among all pictures of the report.
    """

    report = models.ForeignKey(Report, on_delete=models.CASCADE, related_name="pictures")
    blob = models.ForeignKey(Blob, on_delete=models.PROTECT, related_name="report_pictures")
    part = models.CharField(max_length=16, choices=ReportPart)
    position = models.PositiveSmallIntegerField()
    prompt_index = models.PositiveSmallIntegerField()
    prompt = models.TextField()
    seed = models.PositiveBigIntegerField()
    strength = models.FloatField()
    width = models.PositiveIntegerField()
    height = models.PositiveIntegerField()

    class Meta:
        """A report has each of its pictures once."""

        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(
                fields=["report", "part", "prompt_index", "seed", "strength"],
                name="report_picture_once",
            ),
            models.CheckConstraint(
                name="report_picture_has_a_size", condition=Q(width__gt=0, height__gt=0)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.report_id} {self.part} #{self.position}"

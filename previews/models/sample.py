"""Samples: pictures and videos in a version's gallery."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from registry.models import Blob, Job, Maturity, Version


class SampleKind(models.TextChoices):
    """Picture or video."""

    PICTURE = "picture", _("Picture")
    VIDEO = "video", _("Video")


class SampleState(models.TextChoices):
    """State of a sample; a worker reads the file before it is shown."""

    QUEUED = "queued", _("Queued")
    READY = "ready", _("Ready")
    REFUSED = "refused", _("Refused")


class Sample(models.Model):
    """A picture or short video that was uploaded as made with a version.

    ``source`` is the original, deleted once it is read; ``blob`` is the re-encoded file without
    metadata, ``poster`` the first frame of a video. ``facts`` is what the metadata claims: prompt,
    negative prompt, seed, steps, sampler, resources by hash. ``maturity`` is its own rating, empty
    if that of the adapter applies.
    """

    version = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="samples")
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="samples"
    )
    kind = models.CharField(max_length=16, choices=SampleKind, default=SampleKind.PICTURE)
    state = models.CharField(max_length=16, choices=SampleState, default=SampleState.QUEUED)
    reason = models.TextField(blank=True)
    job = models.ForeignKey(Job, on_delete=models.SET_NULL, related_name="+", null=True, blank=True)
    source = models.ForeignKey(
        Blob, on_delete=models.PROTECT, related_name="sample_sources", null=True, blank=True
    )
    blob = models.ForeignKey(
        Blob, on_delete=models.PROTECT, related_name="samples", null=True, blank=True
    )
    poster = models.ForeignKey(
        Blob, on_delete=models.PROTECT, related_name="sample_posters", null=True, blank=True
    )
    width = models.PositiveIntegerField(default=0)
    height = models.PositiveIntegerField(default=0)
    caption = models.CharField(max_length=280, blank=True)
    facts = models.JSONField(default=dict, blank=True)
    placeholder = models.TextField(blank=True)
    maturity = models.CharField(
        max_length=16, choices=Maturity, blank=True, default="", db_default=""
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        """A ready sample has bytes and a size; a refused one has a reason."""

        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                name="sample_shown_has_bytes",
                condition=~Q(state=SampleState.READY)
                | Q(blob__isnull=False, width__gt=0, height__gt=0),
            ),
            models.CheckConstraint(
                name="sample_says_why",
                condition=~Q(state=SampleState.REFUSED) | ~Q(reason=""),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.version_id}: {self.state}"

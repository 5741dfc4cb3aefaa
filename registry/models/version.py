"""Numbered, published states of an adapter."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from registry.models.adapter import Adapter
from registry.models.blob import SCHEMA
from registry.models.choices import VersionState
from registry.models.revision import File, Revision


class Version(models.Model):
    """``v1``, ``v2``, …: names a revision whose weights differ from its parent's.

    A draft gets its number, which is never reused; strengths are multipliers at use. Previews use
    ``trigger_words``; the effect is there without the ``optional_trigger_words``. Published
    versions do not change (``registry.database.guards`` enforces that in the database).
    ``is_takedown``: withdrawn by an administrator, so that only administrators can publish its
    weights here again.
    """

    #: Whether the current call created or published it; not stored.
    is_new = False

    adapter = models.ForeignKey(Adapter, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    label = models.CharField(max_length=48, blank=True)
    revision = models.ForeignKey(Revision, on_delete=models.PROTECT, related_name="versions")
    state = models.CharField(max_length=16, choices=VersionState, default=VersionState.DRAFT)
    notes = models.TextField(blank=True)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="versions"
    )
    declared_family = models.CharField(max_length=48, blank=True)
    lineage = models.CharField(max_length=64, blank=True)
    trigger_words = models.JSONField(default=list, blank=True)
    optional_trigger_words = models.JSONField(default=list, db_default=[], blank=True)
    strength = models.FloatField(null=True, blank=True)
    strength_min = models.FloatField(null=True, blank=True)
    strength_max = models.FloatField(null=True, blank=True)
    family = models.CharField(max_length=48, blank=True)
    algorithm = models.CharField(max_length=32, blank=True)
    rank = models.PositiveIntegerField(null=True, blank=True)
    # During an update, processes of the previous release write rows without these columns.
    parts = models.CharField(max_length=32, blank=True, default="", db_default="")
    trainer = models.CharField(max_length=64, blank=True, default="", db_default="")
    size_bytes = models.PositiveBigIntegerField(default=0)
    downloads = models.PositiveBigIntegerField(default=0)
    yanked_reason = models.CharField(max_length=280, blank=True)
    withdrawn_reason = models.CharField(max_length=280, blank=True)
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    withdrawn_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    is_takedown = models.BooleanField(default=False, db_default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    published_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        """Numbers are unique; published versions have a date, withdrawn ones a reason."""

        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["adapter", "number"], name="version_number_once"),
            models.CheckConstraint(name="version_number_from_one", condition=Q(number__gte=1)),
            models.CheckConstraint(
                name="version_dated_when_published",
                condition=Q(state=VersionState.DRAFT, published_at__isnull=True)
                | (~Q(state=VersionState.DRAFT) & Q(published_at__isnull=False)),
            ),
            models.CheckConstraint(
                name="version_says_why_withdrawn",
                condition=~Q(state=VersionState.WITHDRAWN) | ~Q(withdrawn_reason=""),
            ),
            models.CheckConstraint(
                name="version_strength_range",
                condition=Q(strength_min__isnull=True)
                | Q(strength_max__isnull=True)
                | Q(strength_min__lte=F("strength_max")),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.adapter_id}@{self.name}"

    @property
    def name(self) -> str:
        """``v3``."""
        return f"v{self.number}"

    @property
    def dial(self) -> float:
        """The recommended strength, or 1 if there is none."""
        return 1.0 if self.strength is None else self.strength

    @property
    def files(self) -> models.QuerySet[File]:
        """The manifest with blobs: the primary weights first, then by path."""
        rows = self.revision.files.select_related("blob", "blob__anatomy")
        return rows.order_by("-is_primary", "path")

    @property
    def primary_file(self) -> File | None:
        """The weights file that previews and snippets use."""
        return self.files.filter(is_primary=True).first()


class VersionAnatomy(models.Model):
    """Anatomy of weights together with the ``adapter_config.json`` beside them.

    Only versions with both have one; others use the blob's anatomy. The document includes its
    findings, which are about the pair and not about the weights alone.
    """

    version = models.OneToOneField(Version, on_delete=models.CASCADE, related_name="anatomy")
    document = models.JSONField()

    class Meta:
        """Its plural in the admin."""

        verbose_name_plural = "version anatomies"

    def __str__(self) -> str:
        return f"of {self.version_id}"

    @property
    def is_current(self) -> bool:
        """Whether the document has the current schema; ``manage.py reinspect`` updates others."""
        return bool(self.document.get("schema") == SCHEMA)


class DailyDownloads(models.Model):
    """Finished transfers of a version on a day (UTC)."""

    id = models.BigAutoField(primary_key=True)
    version = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="daily_downloads")
    day = models.DateField()
    count = models.PositiveIntegerField(default=0)

    class Meta:
        """One row per version and day."""

        verbose_name_plural = "daily downloads"
        constraints = [
            models.UniqueConstraint(fields=["version", "day"], name="daily_downloads_once"),
        ]

    def __str__(self) -> str:
        return f"{self.version_id} {self.day}: {self.count}"

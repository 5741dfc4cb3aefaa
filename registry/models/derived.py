"""What is computed from weights on demand: files in another form, comparisons of two versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self

from django.db import models
from django.utils.translation import gettext_lazy as _

from registry.models.adapter import Adapter
from registry.models.blob import Blob
from registry.models.choices import OPEN_JOB_STATES, HashKind
from registry.models.job import Job
from registry.models.version import Version

if TYPE_CHECKING:
    from django.db.models import QuerySet


class DerivedState(models.TextChoices):
    """State of a derived file."""

    QUEUED = "queued", _("Queued")
    READY = "ready", _("Ready")
    REFUSED = "refused", _("Refused")
    FAILED = "failed", _("Failed")


class OnDemand(models.Model):
    """A row whose result the job ``task`` computes; its id is the job's ``argument``.

    ``refusal`` is the code of the reason in ``reason``. The result can be computed again, so the
    sweeper deletes the row when nobody has used it for a while.
    """

    task: ClassVar[str]
    argument: ClassVar[str]

    state = models.CharField(max_length=8, choices=DerivedState, default=DerivedState.QUEUED)
    refusal = models.CharField(max_length=48, blank=True)
    reason = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    used_at = models.DateTimeField(db_index=True)

    objects: ClassVar[models.Manager[Self]] = models.Manager()

    class Meta:
        """Each kind has its own table."""

        abstract = True

    @property
    def job_key(self) -> str:
        """Key of its job."""
        return f"{self.task}:{self.pk}"

    @classmethod
    def open_jobs(cls) -> QuerySet[Job]:
        """Return the jobs of this kind that wait or run."""
        return Job.objects.filter(task=cls.task, state__in=OPEN_JOB_STATES)

    def stored(self) -> QuerySet[Self]:
        """Return this row in the database, for updates with a condition."""
        return type(self).objects.filter(pk=self.pk)


class DerivedFile(OnDemand):
    """A file that the hub makes from a weights file on demand.

    It belongs to the bytes of its source in an adapter, and is never a file of a version: who may
    have it is decided by the file of the version that it is requested for. Another adapter with the
    same bytes has rows of its own, because a file that is there already would show that the bytes
    are known. ``blob`` has its bytes, and the source's if nothing had to be changed.

    ``config_sha256`` is the digest of PEFT's configuration beside the source, ``family`` the base
    model's family where only a person has said which it is: both change the result.
    ``config`` is the ``adapter_config.json`` that belongs to a file for PEFT.
    """

    task = "make_derived_file"
    argument = "derived_id"

    adapter = models.ForeignKey(Adapter, on_delete=models.CASCADE, related_name="derived_files")
    source = models.ForeignKey(Blob, on_delete=models.CASCADE, related_name="derived_files")
    config_sha256 = models.CharField(max_length=64, blank=True)
    family = models.CharField(max_length=48, blank=True)
    naming = models.CharField(max_length=16, blank=True)
    max_rank = models.PositiveSmallIntegerField(default=0)
    is_stripped = models.BooleanField(default=False)
    state = models.CharField(
        max_length=8, choices=DerivedState, default=DerivedState.QUEUED, db_index=True
    )
    blob = models.ForeignKey(
        Blob, on_delete=models.PROTECT, related_name="made_as", null=True, blank=True
    )
    certificate = models.JSONField(default=dict, blank=True)
    config = models.TextField(blank=True)

    class Meta:
        """One row for each way to make a file of a source; a ready one has bytes."""

        constraints = [
            models.UniqueConstraint(
                fields=[
                    "adapter",
                    "source",
                    "naming",
                    "max_rank",
                    "is_stripped",
                    "config_sha256",
                    "family",
                ],
                name="derived_file_once",
            ),
            models.CheckConstraint(
                name="derived_file_ready_has_bytes",
                condition=~models.Q(state=DerivedState.READY) | models.Q(blob__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.naming or 'same names'}, rank {self.max_rank or 'kept'}, of {self.source_id}"


class DerivedHash(models.Model):
    """A hash of a file that the hub once made, so that the file is recognised after its removal.

    A later release may make other bytes from the same source; the hashes of all of them are kept.
    Like the file, it belongs to the bytes of its source in an adapter.
    """

    adapter = models.ForeignKey(Adapter, on_delete=models.CASCADE, related_name="derived_hashes")
    source = models.ForeignKey(Blob, on_delete=models.CASCADE, related_name="derived_hashes")
    naming = models.CharField(max_length=16, blank=True)
    max_rank = models.PositiveSmallIntegerField(default=0)
    is_stripped = models.BooleanField(default=False)
    kind = models.CharField(max_length=16, choices=HashKind)
    value = models.CharField(max_length=64)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        """A hash belongs to one form of a source: the first one if two have the same bytes."""

        verbose_name_plural = "derived hashes"
        constraints = [
            models.UniqueConstraint(
                fields=["value", "kind", "adapter", "source"], name="derived_hash_once"
            ),
            models.CheckConstraint(
                name="derived_hash_is_hex",
                condition=models.Q(value__regex=r"^[0-9a-f]{8,64}$"),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.value} of a file made of {self.source_id}"


class VersionComparison(OnDemand):
    """What ``lorary compare`` says of the primary files of two versions, computed on demand.

    ``first`` is the version with the smaller id; ``Compared.result`` swaps the sides if needed. It
    belongs to versions, not to their bytes, because a comparison that is there already would show
    that the bytes are known. Who may read it is decided by both versions at each request.
    """

    task = "compare_versions"
    argument = "comparison_id"

    first = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="+")
    second = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="+")
    result = models.JSONField(default=dict, blank=True)

    class Meta:
        """The database enforces one row for two different versions."""

        constraints = [
            models.UniqueConstraint(fields=["first", "second"], name="version_comparison_once"),
            models.CheckConstraint(
                name="version_comparison_is_ordered",
                condition=models.Q(first__lt=models.F("second")),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.first_id} with {self.second_id}"

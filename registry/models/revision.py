"""Immutable states of an adapter and the files in them."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from registry.models.adapter import Adapter
from registry.models.blob import Blob
from registry.models.choices import FileRole
from registry.names import MAX_PATH

_COMMIT = r"^[0-9a-f]{40}$"


class Revision(models.Model):
    """One immutable manifest: ``commit`` is 40 hex digits over parent, manifest and message."""

    adapter = models.ForeignKey(Adapter, on_delete=models.PROTECT, related_name="revisions")
    commit = models.CharField(max_length=40)
    parent = models.ForeignKey(
        "self", on_delete=models.PROTECT, related_name="children", null=True, blank=True
    )
    manifest_sha256 = models.CharField(max_length=64)
    message = models.CharField(max_length=500, blank=True)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="revisions"
    )
    created_at = models.DateTimeField()

    class Meta:
        """A commit id is unique within an adapter."""

        constraints = [
            models.UniqueConstraint(fields=["adapter", "commit"], name="revision_commit_once"),
            models.CheckConstraint(
                name="revision_commit_is_hex", condition=Q(commit__regex=_COMMIT)
            ),
        ]

    def __str__(self) -> str:
        return self.commit[:12]


class File(models.Model):
    """A path in a manifest: one blob with a role."""

    revision = models.ForeignKey(Revision, on_delete=models.CASCADE, related_name="files")
    path = models.CharField(max_length=MAX_PATH)
    role = models.CharField(max_length=16, choices=FileRole, default=FileRole.OTHER)
    variant = models.CharField(max_length=48, blank=True)
    is_primary = models.BooleanField(default=False)
    blob = models.ForeignKey(Blob, on_delete=models.PROTECT, related_name="files")

    class Meta:
        """A revision has at most one primary file, which must be weights."""

        ordering = ["path"]
        constraints = [
            models.UniqueConstraint(fields=["revision", "path"], name="file_path_once"),
            models.UniqueConstraint(
                fields=["revision"], condition=Q(is_primary=True), name="file_one_primary"
            ),
            models.CheckConstraint(
                name="file_primary_is_weights",
                condition=Q(is_primary=False) | Q(role=FileRole.WEIGHTS),
            ),
        ]

    def __str__(self) -> str:
        return self.path

    @property
    def size_bytes(self) -> int:
        """Length of the blob in bytes."""
        return self.blob.size_bytes

    @property
    def sha256(self) -> str:
        """Digest of the blob, 64 hex digits."""
        return self.blob.sha256


class Alias(models.Model):
    """A movable ref (branch or tag) to a revision; ``main`` is one of them.

    A removed alias keeps its row, for its history, with a null revision.
    """

    adapter = models.ForeignKey(Adapter, on_delete=models.CASCADE, related_name="aliases")
    name = models.CharField(max_length=96)
    is_branch = models.BooleanField(default=False)
    revision = models.ForeignKey(
        Revision, on_delete=models.PROTECT, related_name="aliases", null=True, blank=True
    )
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        """A name is unique within an adapter."""

        verbose_name_plural = "aliases"
        constraints = [models.UniqueConstraint(fields=["adapter", "name"], name="alias_once")]

    def __str__(self) -> str:
        return self.name


class AliasMove(models.Model):
    """History of an alias, append-only: from where to where, when, by whom.

    ``before`` is null if the alias was new or removed before, and in rows of older releases.
    ``revision`` is null for a removal.
    """

    alias = models.ForeignKey(Alias, on_delete=models.CASCADE, related_name="moves")
    before = models.ForeignKey(
        Revision, on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    revision = models.ForeignKey(
        Revision, on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        """Newest first."""

        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.alias_id} → {self.revision_id}"

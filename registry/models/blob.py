"""Bytes, and what is known of them."""

from __future__ import annotations

from django.db import models

from registry.models.choices import HashKind, Severity

#: Shape of the anatomy documents that everything here understands (``docs/anatomy.md``).
SCHEMA = 2

#: Form of a digest as stored: 64 lower-case hex digits.
SHA256 = r"^[0-9a-f]{64}$"


class Blob(models.Model):
    """Bytes identified by sha256, stored once, never changed.

    ``hashes`` are computed of weights, by kind (``HashKind``); ``claimed_hashes`` are those that
    the metadata names, by its keys, and prove nothing. ``unreferenced_since`` is set by the
    sweeper; bytes go after the grace period. ``arriving_since`` and ``leaving_since`` say that a
    process is at the bytes (``registry.blobs.promote``). ``created_at`` is when the bytes came;
    of those that went and came again, the last time.
    """

    sha256 = models.CharField(max_length=64, unique=True)
    size_bytes = models.PositiveBigIntegerField()
    hashes = models.JSONField(default=dict, blank=True)
    # Processes of the release before, which know no such column, write rows during an update.
    claimed_hashes = models.JSONField(default=dict, blank=True, db_default={})
    is_stored = models.BooleanField(default=True)
    unreferenced_since = models.DateTimeField(null=True, blank=True)
    arriving_since = models.DateTimeField(null=True, blank=True)
    leaving_since = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        """The digest is a digest, whoever writes the row."""

        constraints = [
            models.CheckConstraint(
                name="blob_sha256_is_hex", condition=models.Q(sha256__regex=SHA256)
            ),
        ]

    def __str__(self) -> str:
        return self.sha256[:12]


class BlobHash(models.Model):
    """``Blob.hashes`` as rows, so that a hash finds its file."""

    blob = models.ForeignKey(Blob, on_delete=models.CASCADE, related_name="hash_rows")
    kind = models.CharField(max_length=16, choices=HashKind)
    value = models.CharField(max_length=64)

    class Meta:
        """One of each kind; written in lower-case hex digits, whoever writes the row."""

        constraints = [
            models.UniqueConstraint(fields=["kind", "blob"], name="blob_hash_once"),
            models.CheckConstraint(
                name="blob_hash_is_hex", condition=models.Q(value__regex=r"^[0-9a-f]{8,64}$")
            ),
        ]
        indexes = [models.Index(fields=["value", "kind"], name="blob_hash_by_value")]

    def __str__(self) -> str:
        return f"{self.kind} {self.value}"


class BlobAnatomy(models.Model):
    """What the header of a blob proves and claims (``lorary.anatomy``).

    ``rank`` is the most frequent one. The document names no file: the same bytes may have been
    sent by several people under names that are theirs.
    """

    blob = models.OneToOneField(Blob, on_delete=models.CASCADE, related_name="anatomy")
    kind = models.CharField(max_length=32)
    family = models.CharField(max_length=48, blank=True)
    algorithm = models.CharField(max_length=32, blank=True)
    rank = models.PositiveIntegerField(null=True, blank=True)
    document = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.kind} of {self.blob_id}"

    @property
    def is_current(self) -> bool:
        """Whether the document has the present shape; ``manage.py reinspect`` renews others."""
        return bool(self.document.get("schema") == SCHEMA)


class Finding(models.Model):
    """One result of a check, tied to an upload, and to its blob once there is one."""

    upload = models.ForeignKey(
        "registry.Upload", on_delete=models.CASCADE, related_name="findings", null=True, blank=True
    )
    blob = models.ForeignKey(
        Blob, on_delete=models.CASCADE, related_name="findings", null=True, blank=True
    )
    code = models.SlugField(max_length=64)
    severity = models.CharField(max_length=8, choices=Severity)
    message = models.TextField()
    evidence = models.JSONField(default=dict, blank=True)
    position = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        """A finding is about something."""

        ordering = ["position", "id"]
        constraints = [
            models.CheckConstraint(
                name="finding_has_a_subject",
                condition=models.Q(upload__isnull=False) | models.Q(blob__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.severity}: {self.code}"

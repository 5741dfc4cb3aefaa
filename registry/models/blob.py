"""Blobs, their hashes, anatomies and findings."""

from __future__ import annotations

from django.db import models

from registry.models.choices import HashKind, Severity

#: Current schema of anatomy documents (``docs/anatomy.md``).
SCHEMA = 2

#: Pattern of a stored digest: 64 lower-case hex digits.
SHA256 = r"^[0-9a-f]{64}$"


class Blob(models.Model):
    """Bytes identified by sha256, stored once, never changed.

    ``hashes`` are computed hashes of weights, by kind (``HashKind``); ``claimed_hashes`` are those
    in the metadata, by key, and prove nothing. ``unreferenced_since`` is set by the sweeper, which
    deletes the bytes after the grace period. ``arriving_since`` and ``leaving_since`` mark bytes
    that a process is promoting or deleting (``registry.blobs.promote``). ``created_at`` is when the
    bytes were last stored.
    """

    sha256 = models.CharField(max_length=64, unique=True)
    size_bytes = models.PositiveBigIntegerField()
    hashes = models.JSONField(default=dict, blank=True)
    # During an update, processes of the previous release write rows without this column.
    claimed_hashes = models.JSONField(default=dict, blank=True, db_default={})
    is_stored = models.BooleanField(default=True)
    unreferenced_since = models.DateTimeField(null=True, blank=True)
    arriving_since = models.DateTimeField(null=True, blank=True)
    leaving_since = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        """The database enforces the form of digests; an index serves counts and sums of sizes."""

        indexes = [
            models.Index(
                fields=["is_stored", "unreferenced_since", "size_bytes"], name="blob_sizes"
            ),
        ]
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
        """The database enforces one hash of each kind, in lower-case hex digits."""

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
    """The anatomy of a blob: what its header proves and claims (``lorary.anatomy``).

    ``rank`` is the most frequent one. The document has no file name, because several users may have
    sent the same bytes. ``energies`` has the energy of the update by block: {} if the file has no
    exact one, null until every byte has been read for it.
    """

    blob = models.OneToOneField(Blob, on_delete=models.CASCADE, related_name="anatomy")
    kind = models.CharField(max_length=32)
    family = models.CharField(max_length=48, blank=True)
    algorithm = models.CharField(max_length=32, blank=True)
    rank = models.PositiveIntegerField(null=True, blank=True)
    document = models.JSONField()
    energies = models.JSONField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.kind} of {self.blob_id}"

    @property
    def is_current(self) -> bool:
        """Whether the document has the current schema; ``manage.py reinspect`` updates others."""
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
        """A finding has an upload or a blob."""

        ordering = ["position", "id"]
        constraints = [
            models.CheckConstraint(
                name="finding_has_a_subject",
                condition=models.Q(upload__isnull=False) | models.Q(blob__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.severity}: {self.code}"

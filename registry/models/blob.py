"""Blobs, their hashes, anatomies, findings and sketches, and relations between them."""

from __future__ import annotations

from django.db import models

from registry.models.choices import HashKind, Relation, RelationDirection, Severity

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

        verbose_name_plural = "blob hashes"
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

    class Meta:
        """Its plural in the admin."""

        verbose_name_plural = "blob anatomies"

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


class BlobSketch(models.Model):
    """The sketch of a blob's weights (``lorary.algebra.recognition.sketch``).

    A sketch made again is a new row, so that processes which keep vectors in memory read it.
    ``vector`` has 64 numbers in half precision; it is empty for files that can't be sketched.
    ``dtype``, ``naming`` and ``run`` are facts of the header that tell relations apart.
    ``is_related`` is set when the relations to all sketches before have been written.
    """

    blob = models.OneToOneField(Blob, on_delete=models.CASCADE, related_name="sketch")
    form = models.PositiveSmallIntegerField()
    vector = models.BinaryField(max_length=128)
    dtype = models.CharField(max_length=16, blank=True)
    naming = models.CharField(max_length=64, blank=True)
    run = models.CharField(max_length=64, blank=True)
    is_related = models.BooleanField(default=False)

    class Meta:
        """Few rows have no relations."""

        verbose_name_plural = "blob sketches"
        indexes = [
            models.Index(
                fields=["id"], name="sketch_without_relations", condition=models.Q(is_related=False)
            ),
        ]

    def __str__(self) -> str:
        return f"sketch of {self.blob_id}"


class WeightSketch(models.Model):
    """The sketches of a blob's weights one by one, as bytes.

    In a table of its own, because they take two hundred times the room of the vectors, which are
    read all at once.
    """

    sketch = models.OneToOneField(
        BlobSketch, on_delete=models.CASCADE, primary_key=True, related_name="weights"
    )
    data = models.BinaryField()

    class Meta:
        """Its plural in the admin."""

        verbose_name_plural = "weight sketches"

    def __str__(self) -> str:
        return f"weights of sketch {self.sketch_id}"


class BlobRelation(models.Model):
    """How a blob is related to another one; both directions have a row.

    ``strength`` is the norm of its update divided by that of the other.
    """

    blob = models.ForeignKey(Blob, on_delete=models.CASCADE, related_name="relations")
    other = models.ForeignKey(Blob, on_delete=models.CASCADE, related_name="+")
    kind = models.CharField(max_length=16, choices=Relation)
    direction = models.CharField(max_length=4, choices=RelationDirection, blank=True)
    cosine = models.FloatField()
    strength = models.FloatField()

    class Meta:
        """The database enforces one relation of two different blobs."""

        constraints = [
            models.UniqueConstraint(fields=["blob", "other"], name="blob_relation_once"),
            models.CheckConstraint(
                name="blob_relation_of_two", condition=~models.Q(blob=models.F("other"))
            ),
        ]

    def __str__(self) -> str:
        return f"{self.blob_id} {self.kind} {self.other_id}"

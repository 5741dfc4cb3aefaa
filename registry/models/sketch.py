"""Sketches of blobs and the relations that they show."""

from __future__ import annotations

from django.db import models

from registry.models.blob import Blob
from registry.models.choices import Relation, RelationDirection


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
        """The rows without relations are few."""

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

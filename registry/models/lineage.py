"""Checkpoints that operators know by hash or number (``manage.py lineages``)."""

from __future__ import annotations

from django.db import models


class KnownCheckpoint(models.Model):
    """A hash or number of a checkpoint, and its lineage.

    Attributes:
        kind: What ``value`` is; a SHA-256 is also found by its first ten digits.
        value: Hex digits in lower case, or a number in decimal digits.
        lineage: The checkpoint that it is or descends from, such as “Pony”.
        name: Name of the checkpoint itself; "" if it is the lineage.
        source: Where the operator has it from, such as an address.
    """

    class IdKind(models.TextChoices):
        """Kinds of ids that trainers write into the metadata."""

        SHA256 = "sha256", "SHA-256"
        AUTOV2 = "autov2", "AutoV2"
        AUTOV1 = "autov1", "AutoV1"
        NUMBER = "number", "Number"

    kind = models.CharField(max_length=6, choices=IdKind)
    value = models.CharField(max_length=64)
    lineage = models.CharField(max_length=120)
    name = models.CharField(max_length=200, blank=True)
    source = models.CharField(max_length=300)
    imported_at = models.DateTimeField(auto_now=True)

    class Meta:
        """One lineage for each id."""

        constraints = [
            models.UniqueConstraint(fields=["kind", "value"], name="known_checkpoint_once")
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.value}: {self.lineage}"

"""Measured lineages: which base model fits the author's pictures of an adapter."""

from __future__ import annotations

from django.db import models

from registry.models import Version
from registry.models.blob import SHA256


class MeasuredLineage(models.Model):
    """What a worker measured about the lineage of a version; it never changes a claim.

    ``document`` is one of ``previews.lineages.measuring``: the recipe, the digests of what was
    measured, and the bases with their errors. ``lineage`` is the one that fits best, empty if none
    is identified. ``method`` is the version of the measure. ``inputs_digest`` changes with the
    pictures, weights, strength, family and bases; ``bases_digest`` with the bases alone.
    """

    version = models.OneToOneField(
        Version, on_delete=models.CASCADE, related_name="measured_lineage"
    )
    method = models.PositiveSmallIntegerField()
    lineage = models.CharField(max_length=120, blank=True)
    document = models.JSONField()
    inputs_digest = models.CharField(max_length=64)
    bases_digest = models.CharField(max_length=64)
    measured_at = models.DateTimeField(auto_now=True)

    class Meta:
        """Digests are digests."""

        constraints = [
            models.CheckConstraint(
                name="measured_lineage_digests_are_hex",
                condition=models.Q(inputs_digest__regex=SHA256)
                & models.Q(bases_digest__regex=SHA256),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.version_id}: {self.lineage or 'cannot tell'}"

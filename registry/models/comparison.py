"""Comparisons of the weights of two versions."""

from __future__ import annotations

from django.db import models

from registry.models.derived import DerivedState
from registry.models.version import Version


class VersionComparison(models.Model):
    """What ``lorary compare`` says of the primary files of two versions, computed on demand.

    ``first`` is the version with the smaller id; readers turn the result round. It belongs to
    versions, not to their bytes, because a comparison that is there already would show that the
    bytes are known. Who may read it is decided by both versions at each request. ``refusal`` is the
    code of the reason in ``reason``. It can be computed again, so it is deleted when nobody has
    used it for a while.
    """

    first = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="+")
    second = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="+")
    state = models.CharField(max_length=8, choices=DerivedState, default=DerivedState.QUEUED)
    result = models.JSONField(default=dict, blank=True)
    refusal = models.CharField(max_length=48, blank=True)
    reason = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    used_at = models.DateTimeField(db_index=True)

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

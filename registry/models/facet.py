"""Counters of the values that lists can be filtered by."""

from __future__ import annotations

from django.db import models


class FacetCount(models.Model):
    """How many listed adapters have a value in a field, without the latest changes.

    ``registry.adapters.facets`` explains the fields.
    """

    field = models.CharField(max_length=16)
    value = models.CharField(max_length=96, blank=True)
    count = models.BigIntegerField()

    class Meta:
        """Fields are read from their most frequent value on."""

        constraints = [
            models.UniqueConstraint(fields=["field", "value"], name="facet_count_once"),
        ]
        indexes = [models.Index(fields=["field", "-count", "value"], name="facet_by_count")]

    def __str__(self) -> str:
        return f"{self.field} {self.value}: {self.count}"


class FacetChange(models.Model):
    """A change that is not in ``FacetCount`` yet; triggers of the database write it.

    Rows are only inserted, so that no publication waits for another one.
    """

    id = models.BigAutoField(primary_key=True)
    field = models.CharField(max_length=16)
    value = models.CharField(max_length=96, blank=True)
    delta = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.field} {self.value}: {self.delta:+}"

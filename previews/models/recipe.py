"""Recipes of pictures, and the prompts that owners add."""

from __future__ import annotations

import math

from django.conf import settings
from django.db import models
from django.db.models import Q

from registry.models import Adapter


class Recipe(models.Model):
    """A ``previews.render.Recipe``: everything that makes pictures reproducible."""

    digest = models.CharField(max_length=64, unique=True)
    document = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        """The digest is a digest."""

        constraints = [
            models.CheckConstraint(
                name="recipe_digest_is_hex", condition=Q(digest__regex=r"^[0-9a-f]{64}$")
            ),
        ]

    def __str__(self) -> str:
        return self.digest[:12]

    @property
    def count(self) -> int:
        """Number of pictures."""
        lists = (self.document[key] for key in ("prompts", "seeds", "strengths"))
        return math.prod(map(len, lists))

    @property
    def steps(self) -> int:
        """Steps of each picture."""
        return int(self.document["steps"])


class PromptSet(models.Model):
    """Prompts that an adapter's owner adds to the default ones; the highest number is current.

    A set is never changed. A change adds a set; an empty set goes back to the default prompts.
    """

    adapter = models.ForeignKey(Adapter, on_delete=models.CASCADE, related_name="prompt_sets")
    number = models.PositiveIntegerField()
    prompts = models.JSONField(default=list, blank=True)
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        """A number identifies one set of an adapter."""

        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["adapter", "number"], name="prompt_set_number_once"),
            models.CheckConstraint(name="prompt_set_from_one", condition=Q(number__gte=1)),
        ]

    def __str__(self) -> str:
        return f"{self.adapter_id} #{self.number}"

"""What pictures are made by."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from registry.models import Adapter

__all__ = ["PromptSet", "Recipe"]


class Recipe(models.Model):
    """Everything that makes pictures reproducible (``previews.render.Recipe``), stored once."""

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
        """Pictures that the recipe makes."""
        said = self.document
        return len(said["prompts"]) * len(said["seeds"]) * len(said["strengths"])

    @property
    def steps(self) -> int:
        """Steps of each of them."""
        return int(self.document["steps"])


class PromptSet(models.Model):
    """Prompts that an adapter's owner adds to the default ones; the highest number is in force.

    Never changed: another set is another number, and an empty one goes back to the default.
    """

    adapter = models.ForeignKey(Adapter, on_delete=models.CASCADE, related_name="prompt_sets")
    number = models.PositiveIntegerField()
    prompts = models.JSONField(default=list, blank=True)
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        """A number names one set."""

        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["adapter", "number"], name="prompt_set_number_once"),
            models.CheckConstraint(name="prompt_set_from_one", condition=Q(number__gte=1)),
        ]

    def __str__(self) -> str:
        return f"{self.adapter_id} #{self.number}"

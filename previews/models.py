"""Recipes, renders and their pictures."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from registry.models import Blob, Job, Version

__all__ = ["OPEN_STATES", "Image", "Recipe", "Render", "RenderState"]


class RenderState(models.TextChoices):
    """Life of a render; ``waiting``: nobody here has a base model for it."""

    QUEUED = "queued", _("Queued")
    RUNNING = "running", _("Running")
    READY = "ready", _("Ready")
    WAITING = "waiting", _("Waiting")
    FAILED = "failed", _("Failed")


#: States that something will still come of.
OPEN_STATES = (RenderState.QUEUED, RenderState.RUNNING, RenderState.WAITING)


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


class Render(models.Model):
    """A recipe applied to a version; a waiting one has no recipe yet, for want of a base."""

    version = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="renders")
    recipe = models.ForeignKey(
        Recipe, on_delete=models.PROTECT, related_name="renders", null=True, blank=True
    )
    job = models.ForeignKey(
        Job, on_delete=models.SET_NULL, related_name="renders", null=True, blank=True
    )
    state = models.CharField(max_length=16, choices=RenderState, default=RenderState.QUEUED)
    reason = models.TextField(blank=True)
    trigger_words = models.JSONField(default=list, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        """A version has at most one render that is not over."""

        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["version"],
                condition=Q(
                    state__in=[RenderState.QUEUED, RenderState.RUNNING, RenderState.WAITING]
                ),
                name="render_one_open_per_version",
            ),
            models.CheckConstraint(
                name="render_has_a_recipe",
                condition=Q(recipe__isnull=False)
                | Q(state__in=[RenderState.WAITING, RenderState.FAILED]),
            ),
            models.CheckConstraint(
                name="render_says_why",
                condition=~Q(state__in=[RenderState.WAITING, RenderState.FAILED]) | ~Q(reason=""),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.version_id}: {self.state}"

    @property
    def total(self) -> int:
        """Pictures that will be there in the end; 0 while that is unknown."""
        return self.recipe.count if self.recipe else 0


class Image(models.Model):
    """One picture of a render; its PNG carries the recipe."""

    render = models.ForeignKey(Render, on_delete=models.CASCADE, related_name="images")
    blob = models.ForeignKey(Blob, on_delete=models.PROTECT, related_name="preview_images")
    position = models.PositiveSmallIntegerField()
    prompt_index = models.PositiveSmallIntegerField()
    prompt = models.TextField()
    seed = models.PositiveBigIntegerField()
    strength = models.FloatField()
    width = models.PositiveIntegerField()
    height = models.PositiveIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        """A render has each of its pictures once, whoever writes them."""

        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(
                fields=["render", "prompt_index", "seed", "strength"], name="image_once"
            ),
            models.UniqueConstraint(fields=["render", "position"], name="image_position_once"),
            models.CheckConstraint(name="image_has_a_size", condition=Q(width__gt=0, height__gt=0)),
        ]

    def __str__(self) -> str:
        return f"{self.render_id} #{self.position}"

"""Renders of versions, stacks and packs, and try-outs."""

from __future__ import annotations

from uuid import uuid4

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from previews.render.recipe import picture_count
from registry.models import Adapter, File, Job, Output, PackVersion, Version


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
        return picture_count(self.document)

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


#: Maximum absolute strength of a layer.
MAX_STRENGTH = 2.0


class RenderKind(models.TextChoices):
    """Purpose of a render: previews of a version, a try-out of a stack, a pack's cover sheet."""

    PREVIEW = "preview", _("Preview")
    TRYOUT = "tryout", _("Try-out")
    PACK = "pack", _("Cover sheet")


class RenderState(models.TextChoices):
    """State of a render; ``waiting`` means that no worker has its base model."""

    QUEUED = "queued", _("Queued")
    RUNNING = "running", _("Running")
    READY = "ready", _("Ready")
    WAITING = "waiting", _("Waiting")
    FAILED = "failed", _("Failed")


#: States of renders that are not over.
OPEN_STATES = (RenderState.QUEUED, RenderState.RUNNING, RenderState.WAITING)


class Render(models.Model):
    """A recipe applied to a version (a preview) or to a stack of ``layers``.

    A stack is that of a try-out, or the parts of a ``variant`` of a pack's version (a cover sheet).
    A render that waits for a base model may have no recipe yet. ``advice`` is a document of
    ``previews.render.output.strength_advice``, or only its ``method`` if the sweep is too small; it
    is empty until the sweep was measured. ``base`` is the id of its base model, empty without a
    recipe; ``rank`` is the place of that base among those of the family, or that of the variant
    in its version, from 0 for the first.
    """

    kind = models.CharField(
        max_length=16, choices=RenderKind, default=RenderKind.PREVIEW, db_default=RenderKind.PREVIEW
    )
    version = models.ForeignKey(
        Version, on_delete=models.CASCADE, related_name="renders", null=True, blank=True
    )
    pack_version = models.ForeignKey(
        PackVersion, on_delete=models.CASCADE, related_name="renders", null=True, blank=True
    )
    variant = models.CharField(max_length=48, blank=True, default="", db_default="")
    recipe = models.ForeignKey(
        Recipe, on_delete=models.PROTECT, related_name="renders", null=True, blank=True
    )
    job = models.ForeignKey(
        Job, on_delete=models.SET_NULL, related_name="renders", null=True, blank=True
    )
    base = models.CharField(max_length=48, blank=True, default="", db_default="")
    output = models.CharField(
        max_length=8, choices=Output, default=Output.IMAGE, db_default=Output.IMAGE
    )
    rank = models.PositiveSmallIntegerField(default=0, db_default=0)
    state = models.CharField(max_length=16, choices=RenderState, default=RenderState.QUEUED)
    reason = models.TextField(blank=True)
    trigger_words = models.JSONField(default=list, blank=True)
    advice = models.JSONField(default=dict, db_default={}, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        """At most one render is open of a version with each base model, and of a variant."""

        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["version", "base"],
                condition=Q(
                    state__in=[RenderState.QUEUED, RenderState.RUNNING, RenderState.WAITING]
                ),
                name="render_one_open_per_base",
            ),
            models.UniqueConstraint(
                fields=["pack_version", "variant"],
                condition=Q(
                    state__in=[RenderState.QUEUED, RenderState.RUNNING, RenderState.WAITING]
                ),
                name="render_one_open_per_variant",
            ),
            models.CheckConstraint(
                name="render_is_of_its_kind",
                condition=Q(
                    kind=RenderKind.PREVIEW, version__isnull=False, pack_version__isnull=True
                )
                | Q(kind=RenderKind.TRYOUT, version__isnull=True, pack_version__isnull=True)
                | Q(kind=RenderKind.PACK, version__isnull=True, pack_version__isnull=False)
                & ~Q(variant=""),
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
        return f"{self.kind} {self.version_id or self.pk}: {self.state}"

    @property
    def stack(self) -> list[Layer]:
        """Versions with their strengths, in order."""
        if self.version is not None:
            return [Layer(render=self, position=0, version=self.version)]
        return list(self.layers.select_related("version__adapter__namespace", "file__blob"))

    @property
    def family(self) -> str:
        """Base-model family of its versions, empty if unknown."""
        return next((layer.version.family for layer in self.stack), "")

    @property
    def total(self) -> int:
        """Number of pictures of the recipe, 0 without one."""
        return self.recipe.count if self.recipe else 0


class Layer(models.Model):
    """A version in a stack, with its strength.

    ``file`` are the weights that a part of a pack names. Without it, they are those of previews.
    """

    render = models.ForeignKey(Render, on_delete=models.CASCADE, related_name="layers")
    position = models.PositiveSmallIntegerField()
    version = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="layers")
    file = models.ForeignKey(
        File, on_delete=models.CASCADE, related_name="layers", null=True, blank=True
    )
    strength = models.FloatField(default=1.0)

    class Meta:
        """A version is at most once in a stack, or each of its files."""

        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["render", "position"], name="layer_position_once"),
            models.UniqueConstraint(
                fields=["render", "version"],
                condition=Q(file__isnull=True),
                name="layer_version_once_without_file",
            ),
            models.UniqueConstraint(fields=["render", "file"], name="layer_file_once"),
            models.CheckConstraint(
                name="layer_strength_in_range",
                condition=Q(strength__gte=-MAX_STRENGTH, strength__lte=MAX_STRENGTH),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.version_id} at {self.strength:g}"


class Tryout(models.Model):
    """A render of a stack or a pack, private until shared and deleted when it expires.

    ``key`` is random, so that the address of a shared one cannot be guessed. Without a ``user`` it
    is a visitor's, who had no account, and whoever has the key sees it. One of a pack has the name
    of the ``variant`` and the ``subject`` that was entered. Try-outs that were requested together,
    such as the cells of a grid, are a group: ``first`` is the first of them, which has none itself.
    ``mix`` is the query string of the mixer for the first of a group, empty if it was requested
    elsewhere.
    """

    key = models.UUIDField(default=uuid4, unique=True, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="tryouts",
        null=True,
        blank=True,
    )
    pack_version = models.ForeignKey(
        PackVersion, on_delete=models.CASCADE, related_name="tryouts", null=True, blank=True
    )
    variant = models.CharField(max_length=48, blank=True, default="", db_default="")
    subject = models.TextField(blank=True, default="", db_default="")
    render = models.OneToOneField(Render, on_delete=models.CASCADE, related_name="tryout")
    first = models.ForeignKey(
        "self", on_delete=models.SET_NULL, related_name="others", null=True, blank=True
    )
    mix = models.TextField(blank=True, default="", db_default="")
    is_shared = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        """Newest first; visitors try packs only."""

        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                name="tryout_without_user_is_of_a_pack",
                condition=Q(user__isnull=False) | Q(pack_version__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return str(self.key)

"""Rendered pictures and contact sheets."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from previews.models.render import Render
from previews.models.sample import Sample
from registry.models import Adapter, Blob, Maturity


class Image(models.Model):
    """One picture or video of a render; its PNG contains the recipe.

    For a video ``blob`` is the first frame, and ``animation`` the video, of ``media_type``. Videos
    of older releases are WebP, and ``blob`` is a grid of their frames. ``placeholder`` is a tiny
    picture as a ``data:`` URL, shown while the picture loads. ``maturity`` is its own rating, empty
    if that of the adapter applies.
    """

    render = models.ForeignKey(Render, on_delete=models.CASCADE, related_name="images")
    blob = models.ForeignKey(Blob, on_delete=models.PROTECT, related_name="preview_images")
    animation = models.ForeignKey(
        Blob, on_delete=models.PROTECT, related_name="preview_animations", null=True, blank=True
    )
    media_type = models.CharField(
        max_length=32, default="image/png", db_default="image/png", editable=False
    )
    frames = models.PositiveSmallIntegerField(default=1, db_default=1)
    fps = models.PositiveSmallIntegerField(default=0, db_default=0)
    position = models.PositiveSmallIntegerField()
    prompt_index = models.PositiveSmallIntegerField()
    prompt = models.TextField()
    seed = models.PositiveBigIntegerField()
    strength = models.FloatField()
    width = models.PositiveIntegerField()
    height = models.PositiveIntegerField()
    placeholder = models.TextField(blank=True, default="", db_default="")
    maturity = models.CharField(
        max_length=16, choices=Maturity, blank=True, default="", db_default=""
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        """A render has each of its pictures once."""

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

    @property
    def duration_s(self) -> float | None:
        """Seconds of a video, None for a picture."""
        return self.frames / self.fps if self.fps else None


class Control(models.Model):
    """A picture at strength 0, shared by all adapters for the base model.

    ``key`` is ``previews.render.pictures.control_key``. Columns are those of ``Image``.
    """

    key = models.CharField(max_length=64, unique=True)
    blob = models.ForeignKey(Blob, on_delete=models.PROTECT, related_name="preview_controls")
    animation = models.ForeignKey(
        Blob, on_delete=models.PROTECT, related_name="control_animations", null=True, blank=True
    )
    media_type = models.CharField(
        max_length=32, default="image/png", db_default="image/png", editable=False
    )
    frames = models.PositiveSmallIntegerField(default=1, db_default=1)
    fps = models.PositiveSmallIntegerField(default=0, db_default=0)
    width = models.PositiveIntegerField()
    height = models.PositiveIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        """The key is a digest."""

        constraints = [
            models.CheckConstraint(
                name="control_key_is_hex", condition=Q(key__regex=r"^[0-9a-f]{64}$")
            ),
        ]

    def __str__(self) -> str:
        return self.key[:12]


class SheetKind(models.TextChoices):
    """Format of a contact sheet."""

    PNG = "png", _("Contact sheet, PNG")


class Sheet(models.Model):
    """All pictures of a finished render in one file; sizes are 0 on those of older releases."""

    render = models.ForeignKey(Render, on_delete=models.CASCADE, related_name="sheets")
    kind = models.CharField(max_length=8, choices=SheetKind)
    blob = models.ForeignKey(Blob, on_delete=models.PROTECT, related_name="preview_sheets")
    width = models.PositiveIntegerField(default=0, db_default=0)
    height = models.PositiveIntegerField(default=0, db_default=0)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        """A render has one of each kind."""

        constraints = [
            models.UniqueConstraint(fields=["render", "kind"], name="sheet_once"),
        ]

    def __str__(self) -> str:
        return f"{self.render_id} {self.kind}"


class Cover(models.Model):
    """The picture that an owner chose as the cover of an adapter: rendered, or uploaded.

    Without a row, ``previews.covers.selectors`` chooses. If the picture is deleted, so is the row.
    """

    adapter = models.OneToOneField(Adapter, on_delete=models.CASCADE, related_name="chosen_cover")
    image = models.ForeignKey(
        Image, on_delete=models.CASCADE, related_name="+", null=True, blank=True
    )
    sample = models.ForeignKey(
        Sample, on_delete=models.CASCADE, related_name="+", null=True, blank=True
    )

    class Meta:
        """A cover is one picture."""

        constraints = [
            models.CheckConstraint(
                name="cover_is_one_picture",
                condition=Q(image__isnull=False, sample__isnull=True)
                | Q(image__isnull=True, sample__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.adapter_id}: {'sample' if self.sample_id else 'image'}"

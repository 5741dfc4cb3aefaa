"""Other sizes and forms of pictures, made by a worker and kept."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from previews.models.render import Render
from registry.models import Blob

__all__ = ["Derivative", "DerivativeKind", "Sheet", "SheetKind"]


class DerivativeKind(models.TextChoices):
    """Format of a smaller picture."""

    AVIF = "avif", "AVIF"
    WEBP = "webp", "WebP"


class Derivative(models.Model):
    """A picture at another width. It describes its ``source`` and does not keep it."""

    source = models.ForeignKey(Blob, on_delete=models.CASCADE, related_name="derivatives")
    kind = models.CharField(max_length=8, choices=DerivativeKind)
    width = models.PositiveIntegerField()
    height = models.PositiveIntegerField()
    blob = models.ForeignKey(Blob, on_delete=models.PROTECT, related_name="derived")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        """One of each kind and width."""

        ordering = ["kind", "width"]
        constraints = [
            models.UniqueConstraint(fields=["source", "kind", "width"], name="derivative_once"),
            models.CheckConstraint(
                name="derivative_has_a_size", condition=Q(width__gt=0, height__gt=0)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.source_id} {self.width}.{self.kind}"


class SheetKind(models.TextChoices):
    """What all pictures of a render are put together to."""

    PNG = "png", _("Contact sheet, PNG")


class Sheet(models.Model):
    """All pictures of a finished render on one page."""

    render = models.ForeignKey(Render, on_delete=models.CASCADE, related_name="sheets")
    kind = models.CharField(max_length=8, choices=SheetKind)
    blob = models.ForeignKey(Blob, on_delete=models.PROTECT, related_name="preview_sheets")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        """One of each kind."""

        constraints = [
            models.UniqueConstraint(fields=["render", "kind"], name="sheet_once"),
        ]

    def __str__(self) -> str:
        return f"{self.render_id} {self.kind}"

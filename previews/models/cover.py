"""Covers that owners choose."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from previews.models.image import Image
from previews.models.sample import Sample
from registry.models import Adapter


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

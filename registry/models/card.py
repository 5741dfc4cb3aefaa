"""A card as HTML, stored so that a view costs no formatting."""

from __future__ import annotations

from django.db import models

from registry.models.adapter import Adapter


class CardHtml(models.Model):
    """HTML of an adapter's card; it counts while ``renderer`` and ``sha256`` are the current ones.

    ``sha256`` is the digest of the Markdown. Where ``problem`` is set, ``html`` is empty and pages
    show the Markdown as plain text. It is a ``CardProblem``, whose sentences may change without a
    migration.
    """

    adapter = models.OneToOneField(
        Adapter, on_delete=models.CASCADE, primary_key=True, related_name="+"
    )
    renderer = models.PositiveSmallIntegerField()
    sha256 = models.CharField(max_length=64)
    html = models.TextField(blank=True)
    problem = models.CharField(max_length=16, blank=True)

    def __str__(self) -> str:
        return f"{self.adapter_id} by renderer {self.renderer}"

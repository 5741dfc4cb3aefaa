"""Cards as HTML, stored so that views need not render them."""

from __future__ import annotations

from django.db import models

from registry.models.adapter import Adapter


class CardHtml(models.Model):
    """HTML of an adapter's card; valid while ``renderer`` and ``sha256`` are current.

    ``sha256`` is the digest of the Markdown. If ``problem`` (a ``CardProblem``) is set, ``html`` is
    empty and pages show the Markdown as plain text.
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

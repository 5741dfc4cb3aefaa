"""Attempts at what is limited, such as signing in."""

from __future__ import annotations

from django.db import models

__all__ = ["Attempt"]


class Attempt(models.Model):
    """How often something was tried in a window of time that ends at ``until``.

    ``key`` is a keyed digest of who tried what, so that the rows hold no names and addresses.
    """

    key = models.CharField(max_length=64, primary_key=True)
    count = models.PositiveIntegerField()
    until = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.key[:8]}…: {self.count}"

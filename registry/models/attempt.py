"""Counted attempts at limited actions, such as signing in."""

from __future__ import annotations

from django.db import models


class Attempt(models.Model):
    """Number of attempts in a window of time that ends at ``until``.

    ``key`` is a keyed digest of action and actor, so the rows hold no names or addresses.
    """

    key = models.CharField(max_length=64, primary_key=True)
    count = models.PositiveIntegerField()
    until = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.key[:8]}…: {self.count}"

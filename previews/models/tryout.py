"""Stacks that somebody tries before downloading anything."""

from __future__ import annotations

from uuid import uuid4

from django.conf import settings
from django.db import models

from previews.models.render import Render

__all__ = ["Tryout"]


class Tryout(models.Model):
    """A render of a stack for one user: private to them until shared, gone after it expires.

    ``key`` names it to the outside, so that the address of a shared one cannot be guessed.
    """

    key = models.UUIDField(default=uuid4, unique=True, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="tryouts"
    )
    render = models.OneToOneField(Render, on_delete=models.CASCADE, related_name="tryout")
    is_shared = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        """Newest first."""

        ordering = ["-id"]

    def __str__(self) -> str:
        return str(self.key)

"""The append-only log of changes."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from registry.models.adapter import Adapter


class Event(models.Model):
    """A change, written in its transaction and never updated."""

    verb = models.SlugField(max_length=48)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, related_name="events", null=True
    )
    adapter = models.ForeignKey(
        Adapter, on_delete=models.SET_NULL, related_name="events", null=True, blank=True
    )
    subject = models.CharField(max_length=120, blank=True)
    facts = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        """Feeds are read by adapter and by time."""

        ordering = ["-id"]
        indexes = [models.Index(fields=["adapter", "-id"], name="event_by_adapter")]

    def __str__(self) -> str:
        return f"{self.verb} {self.subject}"

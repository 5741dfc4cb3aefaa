"""The hub itself, and its append-only log of changes."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models

from registry.models.adapter import Adapter
from registry.models.pack import Pack


class Hub(models.Model):
    """This hub: at most one row, created when it is first needed.

    ``identity`` moves with the rows to another database or through a backup, and distinguishes this
    hub from others with the same address, folder or name.
    """

    ONLY = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=ONLY)
    identity = models.UUIDField(default=uuid.uuid4)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        """There is only one row."""

        constraints = [
            models.CheckConstraint(name="hub_is_one", condition=models.Q(id=1)),
        ]

    def __str__(self) -> str:
        return self.identity.hex


class Event(models.Model):
    """A change, written in its transaction and never updated."""

    verb = models.SlugField(max_length=48)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, related_name="events", null=True
    )
    adapter = models.ForeignKey(
        Adapter, on_delete=models.SET_NULL, related_name="events", null=True, blank=True
    )
    pack = models.ForeignKey(
        Pack, on_delete=models.SET_NULL, related_name="events", null=True, blank=True
    )
    subject = models.CharField(max_length=120, blank=True)
    facts = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        """Feeds are read by adapter, by pack and by time."""

        ordering = ["-id"]
        indexes = [models.Index(fields=["adapter", "-id"], name="event_by_adapter")]

    def __str__(self) -> str:
        return f"{self.verb} {self.subject}"

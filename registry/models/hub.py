"""The hub itself, and its append-only audit log."""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

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
    #: Days for which the database refuses to delete events; 0 for ever. A guard reads it.
    audit_days = models.PositiveIntegerField(default=0, db_default=0)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        """There is only one row."""

        constraints = [
            models.CheckConstraint(name="hub_is_one", condition=models.Q(id=1)),
        ]

    def __str__(self) -> str:
        return self.identity.hex


def _unconstrained(to: str | type[models.Model], name: str) -> models.ForeignKey[Any, Any]:
    """Return a reference that keeps its id when the row that it names is deleted.

    Nothing updates events, so the deletion of an account must not set their references to null.
    """
    return models.ForeignKey(
        to,
        on_delete=models.DO_NOTHING,
        related_name=name,
        null=True,
        blank=True,
        db_constraint=False,
        db_index=False,
    )


class Source(models.TextChoices):
    """Where a change came from; empty in events of earlier releases."""

    REQUEST = "request", _("request")
    COMMAND = "command", _("command")
    WORKER = "worker", _("worker")


class Event(models.Model):
    """A change or an access, written in its transaction and never updated.

    ``actor`` is the account that acted, ``token`` the id of the access token that it used. The
    object is an adapter, a pack or an account (``user``); ``subject`` names a part of it, or
    something else. ``source_name`` is the user of the operating system who ran a command, or the
    name of a worker. The address is in ``EventAddress``, which can be deleted.
    """

    id = models.BigAutoField(primary_key=True)
    verb = models.CharField(max_length=48)
    actor = _unconstrained(settings.AUTH_USER_MODEL, "events")
    token = models.IntegerField(null=True, blank=True)
    adapter = _unconstrained(Adapter, "events")
    pack = _unconstrained(Pack, "events")
    user = _unconstrained(settings.AUTH_USER_MODEL, "events_about")
    subject = models.CharField(max_length=120, blank=True)
    facts = models.JSONField(default=dict, blank=True)
    # During an update, processes of the previous release write rows without these columns.
    source = models.CharField(max_length=8, choices=Source, blank=True, default="", db_default="")
    source_name = models.CharField(max_length=120, blank=True, default="", db_default="")
    request_id = models.CharField(max_length=64, blank=True, default="", db_default="")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        """Each filter has an index in the order of ids, which is that of time."""

        ordering = ["-id"]
        indexes = [
            models.Index(fields=["adapter", "-id"], name="event_by_adapter"),
            models.Index(fields=["pack", "-id"], name="event_by_pack"),
            models.Index(fields=["user", "-id"], name="event_by_user"),
            models.Index(fields=["actor", "-id"], name="event_by_actor"),
            models.Index(fields=["verb", "-id"], name="event_by_verb"),
            models.Index(fields=["subject", "-id"], name="event_by_subject"),
            models.Index(fields=["created_at"], name="event_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.verb} {self.subject}"


class EventAddress(models.Model):
    """Network address that an event came from, which can be deleted before the event."""

    event = models.OneToOneField(
        Event, on_delete=models.CASCADE, related_name="origin", primary_key=True
    )
    address = models.CharField(max_length=64)

    class Meta:
        """Addresses are looked up with their latest events."""

        verbose_name_plural = "event addresses"
        indexes = [models.Index(fields=["address", "-event"], name="event_by_address")]

    def __str__(self) -> str:
        return self.address

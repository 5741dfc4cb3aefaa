"""Worker processes, as they register themselves."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class WorkerWish(models.TextChoices):
    """What the operator wants of a worker; it looks before it takes another job."""

    WORK = "work", _("Work")
    PAUSE = "pause", _("Pause")
    DRAIN = "drain", _("End after this job")


class Worker(models.Model):
    """One worker process. A row whose ``seen_at`` is old is of a process that is gone.

    ``queues`` are what it serves; ``facts`` is what its kind of work announces of it: device,
    memory, base models with their seconds a picture.
    """

    name = models.CharField(max_length=120, unique=True)
    queues = models.JSONField(default=list)
    facts = models.JSONField(default=dict, blank=True)
    wish = models.CharField(max_length=8, choices=WorkerWish, default=WorkerWish.WORK)
    jobs_done = models.PositiveIntegerField(default=0)
    started_at = models.DateTimeField(auto_now_add=True)
    seen_at = models.DateTimeField(db_index=True)

    class Meta:
        """By name."""

        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

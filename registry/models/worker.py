"""Worker processes, registered by themselves."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class WorkerWish(models.TextChoices):
    """An operator's instruction to a worker, which reads it before each job."""

    WORK = "work", _("Work")
    PAUSE = "pause", _("Pause")
    DRAIN = "drain", _("End after this job")


class Worker(models.Model):
    """One worker process, which has ended if ``seen_at`` is old.

    ``queues`` are the queues that it serves; ``facts`` describe a renderer: device, memory, base
    models with their seconds per picture.
    """

    name = models.CharField(max_length=120, unique=True)
    queues = models.JSONField(default=list)
    facts = models.JSONField(default=dict, blank=True)
    wish = models.CharField(max_length=8, choices=WorkerWish, default=WorkerWish.WORK)
    jobs_done = models.PositiveIntegerField(default=0)
    started_at = models.DateTimeField(auto_now_add=True)
    seen_at = models.DateTimeField(db_index=True)

    class Meta:
        """Ordered by name."""

        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

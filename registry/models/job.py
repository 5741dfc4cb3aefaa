"""The job queue, and the worker processes that serve it."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from registry.models.choices import JobState


class Job(models.Model):
    """One piece of background work.

    Written in the transaction that makes the work necessary. A worker owns it until
    ``lease_until``; Celery messages only wake workers. Attempts count claims, so a job that kills
    its worker ends as failed and not in a loop.

    Jobs of one priority run by ``turn``, which ``registry.jobs.queue`` assigns so that owners with
    many and with few jobs (``owner``) take turns.
    """

    queue = models.SlugField(max_length=48)
    task = models.SlugField(max_length=64)
    args = models.JSONField(default=dict)
    key = models.CharField(max_length=120)
    state = models.CharField(max_length=16, choices=JobState, default=JobState.QUEUED)
    priority = models.SmallIntegerField(default=0)
    # During an update, processes of the previous release write rows without this column.
    owner = models.CharField(max_length=96, blank=True, default="", db_default="")
    turn = models.PositiveBigIntegerField(default=0, db_default=0)
    attempt = models.PositiveSmallIntegerField(default=0)
    max_attempts = models.PositiveSmallIntegerField(default=5)
    worker = models.CharField(max_length=120, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    run_after = models.DateTimeField(null=True, blank=True)
    done = models.PositiveBigIntegerField(default=0)
    total = models.PositiveBigIntegerField(default=0)
    reason = models.TextField(blank=True)
    # Of the request that enqueued it, as in the log.
    request_id = models.CharField(max_length=64, blank=True, default="", db_default="")
    # Its span, where requests are traced.
    trace_parent = models.CharField(max_length=64, blank=True, default="", db_default="")
    is_cancel_asked = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        """A key belongs to at most one open job; indexes serve the queue and its pruning."""

        indexes = [
            models.Index(
                fields=["queue", "state", "-priority", "turn", "id"], name="job_claim_order"
            ),
            # Not partial: SQLite does not use partial indexes for values that are parameters.
            models.Index(fields=["key", "state"], name="job_by_key"),
            models.Index(fields=["state", "priority", "turn"], name="job_by_state"),
            models.Index(fields=["owner", "state", "priority", "turn"], name="job_by_owner"),
            models.Index(fields=["finished_at"], name="job_by_end"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["key"],
                condition=Q(state__in=[JobState.QUEUED, JobState.RUNNING]),
                name="job_key_once_while_open",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.task} {self.key} ({self.state})"


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


class Lease(models.Model):
    """Something that one process of the hub does at a time: its ``holder``, until then."""

    name = models.CharField(max_length=64, unique=True)
    holder = models.CharField(max_length=120)
    until = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.name} of {self.holder}"

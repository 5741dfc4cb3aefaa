"""The queue of record."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from registry.models.choices import JobState


class Job(models.Model):
    """One piece of background work.

    Written in the transaction that makes the work necessary. A worker owns it while
    ``lease_until`` lies ahead; Celery messages only wake workers. Attempts count claims, so a
    job that kills its worker ends as failed and not in a loop.

    Of one priority, jobs run by ``turn``, which ``registry.jobs.queue`` gives out so that those who
    ask for much and those who ask for little (``owner``) take turns.
    """

    queue = models.SlugField(max_length=48)
    task = models.SlugField(max_length=64)
    args = models.JSONField(default=dict)
    key = models.CharField(max_length=120)
    state = models.CharField(max_length=16, choices=JobState, default=JobState.QUEUED)
    priority = models.SmallIntegerField(default=0)
    # Processes of the release before, which know no such column, write rows during an update.
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
    is_cancel_asked = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        """A key names at most one job that is not over."""

        indexes = [
            models.Index(
                fields=["queue", "state", "-priority", "turn", "id"], name="job_claim_order"
            ),
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

"""Position of a render in the queue, and the time until it is done."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count, F, Q, QuerySet

from previews.models import Recipe, Render, RenderState
from registry.jobs import queue
from registry.jobs.selectors import serving
from registry.models import Job, JobState

#: Number of finished renders from which the speed of a base is computed.
_RECENT = 10
#: Maximum number of renders ahead that the estimate adds up.
_MAX_AHEAD = 200


@dataclass(frozen=True, slots=True)
class QueuePosition:
    """Number of jobs ahead, including running ones, and of workers that serve the queue.

    ``left_s`` is the estimated number of seconds until it is done; None if there is no estimate.
    """

    ahead: int
    workers: int
    left_s: int | None


def steps_of(recipe: Recipe) -> int:
    """Return the number of steps for all pictures of a recipe."""
    return recipe.count * recipe.steps


def position_of(render: Render) -> QueuePosition:
    """Return the position of a queued or running render.

    A worker takes the most urgent job of all its queues, so jobs of other families may come first.
    """
    job, recipe = render.job, render.recipe
    if job is None or recipe is None:
        return QueuePosition(0, 0, None)
    serves = serving(job.queue)
    workers = len(serves)
    first = _before(job, {job.queue, *(name for worker in serves for name in worker.queues)})
    per_step_s = _seconds_per_step(recipe.document["base"])
    left_s = None
    if per_step_s is not None and workers:
        rows = Render.objects.filter(job__in=first).select_related("job", "recipe")
        rows = rows.annotate(there=Count("images"))
        before = sum(_steps_before(job, row, row.there) for row in rows[:_MAX_AHEAD]) / workers
        left_s = round(per_step_s * (before + _steps_left(render, render.images.count())))
    return QueuePosition(first.count(), workers, left_s)


def position_of_id(render_id: int) -> QueuePosition:
    """Return the position of a render by its id."""
    return position_of(Render.objects.select_related("job", "recipe").get(pk=render_id))


def _before(job: Job, queues: set[str]) -> QuerySet[Job]:
    """Return the jobs that run before a queued one starts."""
    if job.state != JobState.QUEUED:
        return Job.objects.none()
    same = Q(priority=job.priority)
    earlier = (
        Q(priority__gt=job.priority)
        | same & Q(turn__lt=job.turn)
        | same & Q(turn=job.turn, pk__lt=job.pk)
    )
    rows = Job.objects.filter(queue__in=queues)
    return rows.filter(Q(state=JobState.RUNNING) | Q(state=JobState.QUEUED) & earlier)


def _steps_before(job: Job, other: Render, there: int) -> int:
    """Return the steps of another render before a job starts: others give way to urgent jobs."""
    left = _steps_left(other, there)
    if other.job is not None and other.recipe is not None:
        gives_way = job.priority >= queue.VISITOR > other.job.priority
        return min(left, other.recipe.steps) if gives_way else left
    return left


def _steps_left(render: Render, there: int) -> int:
    """Return the remaining steps; a queued render may have pictures from an earlier attempt."""
    job, recipe = render.job, render.recipe
    if job is not None and job.state == JobState.RUNNING and job.total:
        return max(0, job.total - job.done)
    return max(0, recipe.count - there) * recipe.steps if recipe else 0


def _seconds_per_step(base: str) -> float | None:
    """Return the seconds per step in the latest renders on a base, including the time to load it.

    Pictures from before the start of a job do not count.
    """
    made = Count("images", filter=Q(images__created_at__gte=F("job__started_at")))
    rows = Render.objects.filter(
        state=RenderState.READY,
        recipe__document__base=base,
        job__started_at__isnull=False,
        job__finished_at__isnull=False,
    ).annotate(made=made)
    seconds, steps = 0.0, 0
    for row in rows.filter(made__gt=0).select_related("job", "recipe")[:_RECENT]:
        job, recipe = row.job, row.recipe
        if job and recipe and job.started_at and job.finished_at:
            seconds += (job.finished_at - job.started_at).total_seconds()
            steps += row.made * recipe.steps
    return seconds / steps if steps else None

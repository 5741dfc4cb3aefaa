"""Where an open render stands: what runs before it, and how long that may take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db.models import Count, F, Q

from previews.models import Render, RenderState
from registry.jobs.selectors import serving
from registry.models import Job, JobState

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from previews.models import Recipe

__all__ = ["Place", "place_of", "place_of_id", "steps_of"]

#: Finished renders that the pace of a base is taken from.
_RECENT = 10
#: Renders ahead that are looked at one by one; beyond them the estimate says less anyway.
_LOOKED_AT = 200


@dataclass(frozen=True, slots=True)
class Place:
    """Jobs that go first, those at work included; workers that take jobs of its queue.

    ``left_s`` are seconds to the end, None while nobody knows.
    """

    ahead: int
    workers: int
    left_s: int | None


def steps_of(recipe: Recipe) -> int:
    """Return the steps that all pictures of a recipe take."""
    return recipe.count * recipe.steps


def place_of(render: Render) -> Place:
    """Return the place of a queued or running render.

    A worker takes what is urgent from all its queues, so jobs of other families may go first.
    """
    job, recipe = render.job, render.recipe
    if job is None or recipe is None:
        return Place(0, 0, None)
    serves = serving(job.queue)
    workers = len(serves)
    first = _before(job, {job.queue, *(name for worker in serves for name in worker.queues)})
    pace = _pace(recipe.document["base"])
    left_s = None
    if pace is not None and workers:
        rows = Render.objects.filter(job__in=first).select_related("job", "recipe")
        rows = rows.annotate(there=Count("images"))
        before = sum(_steps_left(row, row.there) for row in rows[:_LOOKED_AT]) / workers
        left_s = round(pace * (before + _steps_left(render, render.images.count())))
    return Place(first.count(), workers, left_s)


def place_of_id(render_id: int) -> Place:
    """Return the place of a render of this number."""
    return place_of(Render.objects.select_related("job", "recipe").get(pk=render_id))


def _before(job: Job, queues: set[str]) -> QuerySet[Job]:
    """Return the jobs that run, or will, before one is begun."""
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


def _steps_left(render: Render, there: int) -> int:
    """Return the steps to do; one that is queued may have pictures already, of before."""
    job, recipe = render.job, render.recipe
    if job is not None and job.state == JobState.RUNNING and job.total:
        return max(0, job.total - job.done)
    return max(0, recipe.count - there) * recipe.steps if recipe else 0


def _pace(base: str) -> float | None:
    """Return seconds a step of the latest renders on a base, loading it included.

    Pictures that were there before a job began cost it nothing and do not count.
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

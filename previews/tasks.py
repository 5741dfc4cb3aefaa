"""The render job: version in, pictures out. Torch is imported here, when the first job runs."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from celery.signals import worker_ready
from django.conf import settings
from django.utils.translation import gettext as _

from previews import reasons, services, weights
from previews.models import Render
from previews.render import (
    BaseUnavailable,
    Cancelled,
    Layer,
    OutOfMemory,
    RenderError,
    load_bases,
)
from previews.render import Recipe as RecipeValue
from registry import queue
from registry.models import VersionState

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from previews.render.engine import Engine, Picture
    from registry.models import Job, Version

__all__ = ["look_for_waiting", "render_version"]

log = logging.getLogger(__name__)

#: Seconds between two looks at whether somebody cancelled.
LOOK_S = 1.0


@worker_ready.connect
def look_for_waiting(**_: Any) -> None:  # noqa: ANN401 - a signal's extras
    """Queue what waited for a base that this worker has, and what was never asked for."""
    services.begin_missing()
    services.wake_waiting()


def _failed(job: Job) -> None:
    render = Render.objects.filter(pk=job.args["render_id"]).first()
    if render is not None:
        services.fail(render=render, reason=job.reason)


@queue.handler(services.RENDER_TASK, on_failed=_failed)
def render_version(run: queue.JobRun) -> None:
    """Make the pictures of a render that are not there yet; safe to run again at any point."""
    rows = Render.objects.select_related("recipe", "version__adapter__namespace")
    render = rows.filter(pk=run.args["render_id"]).first()
    if render is None or render.recipe is None or not services.start(render=render):
        return
    if render.version.state == VersionState.WITHDRAWN:
        raise queue.Fail(_("This version was withdrawn."))
    try:
        _make(run, render, RecipeValue.from_dict(render.recipe.document))
    except Cancelled:
        raise queue.Cancelled from None
    except BaseUnavailable as error:
        log.warning("render %s waits: %s", render.pk, error)
        services.wait(render=render)
    except OutOfMemory as error:
        raise queue.Retry(reasons.reason(error), after_s=60) from error
    except RenderError as error:
        raise queue.Fail(reasons.reason(error)) from error
    else:
        services.finish(render=render)


def _make(run: queue.JobRun, render: Render, recipe: RecipeValue) -> None:
    from previews.render.engine import Watch  # noqa: PLC0415 - brings torch along

    have = {(row.prompt_index, row.seed, row.strength) for row in render.images.all()}
    count = len(have)
    run.progress(count, render.total)

    def keep(pictures: Sequence[Picture]) -> None:
        services.keep(render=render, pictures=pictures)
        run.progress(render.images.count(), render.total)

    bases = load_bases(settings.LORARY.bases)
    watch = Watch(
        on_pictures=keep,
        is_cancelled=_Canceller(run),
        deadline_s=bases.get(recipe.base).deadline_s,
        have=frozenset(have),
    )
    with _layer(render.version) as layer:
        engine = _engine(settings.LORARY.bases)
        engine.render(recipe, [layer], triggers=render.trigger_words, watch=watch)


class _Canceller:
    """Asks the database now and then whether somebody cancelled."""

    def __init__(self, run: queue.JobRun) -> None:
        self.run = run
        self.asked_at = 0.0

    def __call__(self) -> bool:
        now = time.monotonic()
        if now - self.asked_at < LOOK_S:
            return False
        self.asked_at = now
        try:
            self.run.check_cancelled()
        except queue.Cancelled:
            return True
        return False


@lru_cache(maxsize=1)
def _engine(bases: Path) -> Engine:
    """Return this process's engine; a changed bases file takes a new worker."""
    from previews.render.engine import Engine  # noqa: PLC0415 - brings torch along

    return Engine(load_bases(bases))


@contextmanager
def _layer(version: Version) -> Iterator[Layer]:
    """Give the engine the version's weights as a local file."""
    primary = version.primary_file
    if primary is None:
        raise queue.Fail(_("This version has no weights to render."))
    name = f"{version.adapter.name}-{version.name}"
    with weights.local(primary.sha256) as path:
        config = weights.config_beside(primary)
        yield Layer(path, 1.0, name=name, sha256=primary.sha256, config=config)

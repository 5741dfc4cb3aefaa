"""Job handlers of the previews. The first render imports torch."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celery import current_app
from celery.signals import worker_ready
from django.conf import settings
from django.utils.translation import gettext as _

from previews import local_weights, worker_bases
from previews.lineages import measuring
from previews.lineages import services as lineages
from previews.models import Render, RenderKind, Report, Sample
from previews.packs import services as packs
from previews.pictures.services import StoredControls, bytes_of
from previews.render import (
    Base,
    Bases,
    BaseUnavailable,
    Cancelled,
    OutOfMemory,
    RenderError,
    load_bases,
)
from previews.render import Recipe as RecipeValue
from previews.render.lineage.verdict import FEWEST
from previews.render.look.measures import Pair, measure
from previews.render.look.recipes import Part, ReportRecipe
from previews.render.pictures import Callbacks, Picture
from previews.renders import contact_sheets, strength_advice
from previews.renders import messages as render_messages
from previews.renders import services as renders
from previews.reports import selectors as report_pictures
from previews.reports import services as reports
from previews.sample_files.formats import Interrupted
from previews.samples import messages as sample_messages
from previews.samples import services as samples
from previews.tryouts import services as tryouts
from registry.jobs import queue
from registry.models import OUT_STATES, Job, PackVersion, Version, VersionState

if TYPE_CHECKING:
    from previews.render.engine import Engine
    from previews.render.look.encoder import Encoder


log = logging.getLogger(__name__)

#: Seconds between two checks whether the job was cancelled.
CANCEL_S = 1.0
#: Seconds between two reports of progress.
REPORT_S = 0.5
#: Jobs that start missing and waiting renders, reports and sheets; ``Job.done`` is the last id.
BEGIN_TASK, WAKE_TASK = "begin_missing_renders", "wake_waiting_renders"
BEGIN_REPORTS_TASK, BEGIN_PACKS_TASK = "begin_missing_reports", "begin_missing_packs"
BEGIN_LINEAGES_TASK = "begin_missing_lineages"
_BEGINNINGS = (BEGIN_TASK, WAKE_TASK, BEGIN_REPORTS_TASK, BEGIN_PACKS_TASK, BEGIN_LINEAGES_TASK)
#: Seconds until a job that needs another worker's base model is retried.
ELSEWHERE_S = 15


@worker_ready.connect
def queue_waiting(**_: Any) -> None:  # noqa: ANN401 - a signal's extras
    """Queue work that waited for this worker, or that was never queued, when the worker starts."""
    name = next(iter(current_app.amqp.queues.consume_from))
    for task in _BEGINNINGS:
        key = f"{task}:{name}"
        queue.enqueue(queue=name, task=task, args={}, key=key, priority=queue.RENEWAL)
    tryouts.wake_waiting()
    samples.delete_leftovers()
    contact_sheets.begin_missing()
    strength_advice.begin_missing()


@queue.handler(BEGIN_TASK)
def begin_missing(run: queue.JobRun) -> None:
    """Start renders that were never queued, a batch in each attempt; first, rank the bases."""
    if not run.job.done:
        renders.rank_bases()
    _go_on(run, renders.begin_missing(after=run.job.done))


@queue.handler(WAKE_TASK)
def wake_waiting(run: queue.JobRun) -> None:
    """Queue renders that waited for this worker, a batch in each attempt."""
    _go_on(run, renders.wake_waiting(after=run.job.done))


@queue.handler(BEGIN_REPORTS_TASK)
def begin_missing_reports(run: queue.JobRun) -> None:
    """Begin look reports of versions and cover sheets without one, a batch in each attempt."""
    if not run.job.done:
        reports.begin_missing_of_sheets()
    _go_on(run, reports.begin_missing(after=run.job.done))


@queue.handler(BEGIN_PACKS_TASK)
def begin_missing_packs(run: queue.JobRun) -> None:
    """Begin cover sheets of packs without one, a batch in each attempt."""
    _go_on(run, packs.begin_missing(after=run.job.done))


@queue.handler(BEGIN_LINEAGES_TASK)
def begin_missing_lineages(run: queue.JobRun) -> None:
    """Begin measured lineages of versions without one by this worker's bases, in batches."""
    file = settings.LORARY.bases
    if not _measured_with(load_bases(file)):
        return  # without torch
    engine = _engine(file)
    found = _measured_with(engine.bases.bases)
    digests = [(family, measuring.digest_of_bases(engine, found[family])) for family in found]
    if digests:
        _go_on(run, lineages.begin_missing(digests=digests, after=run.job.done))


def _measured_with(known: Bases) -> dict[str, list[Base]]:
    """Return the families whose lineages can be measured, with their bases."""
    found = {family: measuring.bases_of(known, family) for family in known.families}
    return {family: bases for family, bases in found.items() if bases}


def _go_on(run: queue.JobRun, last: int) -> None:
    """Run a job again from an id, unless it is 0.

    There may be hundreds of thousands of renders; other jobs of the worker run between two batches.
    """
    if last:
        run.progress(last, last)
        raise queue.Retry(_("The next renders follow."), after_s=0, is_attempt=False)


def _failed(job: Job) -> None:
    render = Render.objects.filter(pk=job.args["render_id"]).first()
    if render is not None:
        renders.fail(render=render, reason=job.reason)


@queue.handler(renders.LITERAL_TASK, on_failed=_failed)
@queue.handler(renders.RENDER_TASK, on_failed=_failed)
def render_version(run: queue.JobRun) -> None:
    """Make the missing pictures of a render; safe to run again at any point."""
    rows = Render.objects.select_related("recipe", "version__adapter__namespace", "pack_version")
    render = rows.filter(pk=run.args["render_id"]).first()
    if render is None or render.recipe is None or not renders.start(render=render):
        return
    render.refresh_from_db()  # its recipe could change before it started
    if any(version.state == VersionState.WITHDRAWN for version in _versions_of(render)):
        raise queue.Fail(_("This version was withdrawn."))
    base = render.recipe.document["base"]
    with _outcome_of(f"render {render.pk}", base, partial(renders.wait, render=render)):
        _make(run, render, RecipeValue.from_dict(render.recipe.document))
        strength_advice.measure(render=render)
        run.check_cancelled()
        renders.finish(render=render)
        contact_sheets.begin(render=render)
        if render.kind == RenderKind.PREVIEW and render.version is not None:
            reports.begin_or_log(render.version)
        if render.kind == RenderKind.PACK:
            reports.begin_of_sheet(render)


def _versions_of(render: Render) -> Iterator[Version | PackVersion]:
    """Yield what a render is made with."""
    if render.pack_version is not None:
        yield render.pack_version
    yield from (layer.version for layer in render.stack)


@contextmanager
def _outcome_of(what: str, base: str, wait: Callable[[], None]) -> Iterator[None]:
    """Turn errors of the renderer into outcomes of the job.

    Args:
        wait: Called if no running worker has the base.
    """
    try:
        yield
    except Cancelled:
        raise queue.Cancelled from None
    except BaseUnavailable as error:
        log.warning("%s waits: %s", what, error)
        if worker_bases.is_elsewhere(base):
            text = render_messages.reason(error)
            raise queue.Retry(text, after_s=ELSEWHERE_S, is_attempt=False) from error
        wait()
    except OutOfMemory as error:
        raise queue.Retry(render_messages.reason(error), after_s=60) from error
    except RenderError as error:
        raise queue.Fail(render_messages.reason(error)) from error


def _report_failed(job: Job) -> None:
    for report in Report.objects.filter(pk=job.args["report_id"]):
        reports.fail(report=report, reason=job.reason)


@queue.handler(reports.REPORT_TASK, on_failed=_report_failed)
def report_look(run: queue.JobRun) -> None:
    """Make the missing pictures of a look report and measure them; safe to run again.

    A cover sheet has all its pictures.
    """
    rows = Report.objects.select_related("version__adapter__namespace", "render__pack_version")
    report = rows.filter(pk=run.args["report_id"]).first()
    if report is None or not reports.start(report=report):
        return
    sheet, version = report.render, report.version
    made_with = [version] if version is not None else [*_versions_of(sheet)] if sheet else []
    if any(one.state == VersionState.WITHDRAWN for one in made_with):
        raise queue.Fail(_("This version was withdrawn."))
    wait = partial(reports.give_up, report=report)
    with _outcome_of(f"look report {report.pk}", report.base, wait):
        base = load_bases(settings.LORARY.bases).get(report.base)
        encoder = _encoder(base.encoder)  # before the pictures, which take long
        if version is not None:
            _make_pictures(run, report, version)
        figures = _figures(report, encoder)
        run.check_cancelled()
        reports.finish(
            report=report,
            figures=figures,
            encoder=Path(base.encoder).name,
            encoder_digest=encoder.digest,
        )


def _make_pictures(run: queue.JobRun, report: Report, version: Version) -> None:
    """Render the pictures that a report lacks, first those with trigger words."""
    recipe = ReportRecipe.from_dict(report.recipe)
    deadline_s = load_bases(settings.LORARY.bases).get(report.base).deadline_s
    with ExitStack() as files:
        layers = files.enter_context(local_weights.layers_of(version, 1.0))
        for part, words in ((recipe.look, report.trigger_words), (recipe.others, [])):
            is_look = part is recipe.look
            rows = report.pictures.all()
            rows = rows.filter(part=Part.LOOK) if is_look else rows.exclude(part=Part.LOOK)
            have = {(row.prompt_index, row.seed, row.strength) for row in rows}

            def keep(made: Sequence[Picture], *, is_look: bool = is_look) -> None:
                run.check_cancelled()
                reports.keep_pictures(report=report, recipe=recipe, is_look=is_look, pictures=made)
                count = report.pictures.count()
                run.progress(count, recipe.total)
                if count < recipe.total:
                    run.give_way()

            callbacks = Callbacks(
                on_pictures=keep,
                is_cancelled=_Canceller(run),
                deadline_s=deadline_s,
                have=frozenset(have),
                controls=StoredControls(),
            )
            if len(have) < len(part.shots()):
                engine = _engine(settings.LORARY.bases)
                engine.render(part, layers, triggers=words, callbacks=callbacks)


def _figures(report: Report, encoder: Encoder) -> dict[str, Any]:
    """Return what the pictures of a report measure."""
    rows = report_pictures.pictures_of(report)
    if not rows:
        raise queue.Fail(_("There are no pictures to measure."))
    features = encoder.features([bytes_of(row.sha256) for row in rows])
    seen: dict[tuple[str, int, int], dict[bool, Any]] = defaultdict(dict)
    for row, vector in zip(rows, features, strict=True):
        seen[row.part, row.prompt_index, row.seed][row.strength != 0] = vector
    pairs: dict[str, list[Pair]] = {part: [] for part in Part}
    for (part, prompt, seed), two in seen.items():
        pairs[part].append(Pair(prompt, seed, without=two[False], applied=two[True]))
    return measure(pairs[Part.LOOK], pairs[Part.PLAIN], pairs[Part.UNRELATED]).to_dict()


@queue.handler(lineages.MEASURE_TASK)
def measure_lineage(run: queue.JobRun) -> None:
    """Measure which base model fits the author's pictures; safe to run again at any point."""
    engine = _engine(settings.LORARY.bases)
    inputs = _inputs_of(run, engine)
    if inputs is None or measuring.is_current(inputs):
        return
    total = len(inputs.pictures) * len(inputs.bases)

    def report(done: int) -> None:
        run.check_cancelled()
        run.progress(min(done, total), total)  # pictures are repeated if memory ran out

    try:
        measuring.measure(inputs, engine, report, run.give_way)
    except (BaseUnavailable, OutOfMemory) as error:
        raise queue.Retry(render_messages.reason(error), after_s=60) from error
    after = _inputs_of(run, engine)
    if after is None or len(after.pictures) < FEWEST:
        lineages.forget(version=inputs.version)
    elif not measuring.is_current(after):
        text = _("The pictures were changed in the meantime.")
        raise queue.Retry(text, after_s=0, is_attempt=False)


def _inputs_of(run: queue.JobRun, engine: Engine) -> measuring.Inputs | None:
    """Return what is measured now; None if the version is gone or has too few base models."""
    rows = Version.objects.select_related("adapter__namespace")
    version = rows.filter(pk=run.args["version_id"], state__in=OUT_STATES).first()
    bases = [] if version is None else measuring.bases_of(engine.bases.bases, version.family)
    if version is None or not bases:
        return None
    return measuring.Inputs.of(version, bases, measuring.digest_of_bases(engine, bases))


@queue.handler(strength_advice.ADVISE_TASK)
def advise(run: queue.JobRun) -> None:
    """Measure a finished render for strength advice."""
    for render in Render.objects.filter(pk=run.args["render_id"]):
        strength_advice.measure(render=render)


@queue.handler(contact_sheets.SHEET_TASK)
def draw_sheets(run: queue.JobRun) -> None:
    """Make the contact sheet of a finished render."""
    rows = Render.objects.select_related(
        "recipe", "version__adapter__namespace", "pack_version__pack__namespace"
    )
    for render in rows.filter(pk=run.args["render_id"]):
        contact_sheets.make(render=render)


def _sample_of(job: Job) -> Sample | None:
    rows = Sample.objects.select_related("source", "version__adapter__namespace")
    return rows.filter(pk=job.args["sample_id"]).first()


def _unread(job: Job) -> None:
    sample = _sample_of(job)
    if sample is not None:
        samples.refuse(sample=sample, reason=sample_messages.cannot_be_read())


@queue.handler(samples.READ_TASK, on_failed=_unread)
def read_sample(run: queue.JobRun) -> None:
    """Read a sample, then show or refuse it."""
    sample = _sample_of(run.job)
    if sample is None:
        return
    try:
        samples.read(sample=sample)
    except Interrupted as error:
        raise queue.Retry(_("Reading was interrupted."), after_s=5) from error
    lineages.begin_or_log(sample.version)


def _make(run: queue.JobRun, render: Render, recipe: RecipeValue) -> None:
    have = {(row.prompt_index, row.seed, row.strength) for row in render.images.all()}
    speed = worker_bases.Speed(recipe.base)
    steps = _Steps(run, render.total * recipe.steps, speed)
    steps.report(len(have) * recipe.steps)
    if len(have) == render.total:
        return

    def keep(made: Sequence[Picture]) -> None:
        run.check_cancelled()
        renders.keep_pictures(render=render, pictures=made)
        count = render.images.count()
        steps.report(count * recipe.steps)
        if count < render.total:
            run.give_way()

    callbacks = Callbacks(
        on_pictures=keep,
        on_step=steps,
        is_cancelled=_Canceller(run),
        deadline_s=load_bases(settings.LORARY.bases).get(recipe.base).deadline_s,
        have=frozenset(have),
        # The prompts of try-outs are deleted when they expire; controls are kept.
        controls=None if render.kind == RenderKind.TRYOUT else StoredControls(),
    )
    with ExitStack() as files:
        layers = [
            layer
            for part in render.stack
            for layer in files.enter_context(
                local_weights.layers_of(part.version, part.strength, part.file)
            )
        ]
        engine = _engine(settings.LORARY.bases)
        engine.render(recipe, layers, triggers=render.trigger_words, callbacks=callbacks)
    speed.record(recipe.steps)


class _Steps:
    """Writes the number of steps done to the job, at most twice per second."""

    def __init__(self, run: queue.JobRun, total: int, speed: worker_bases.Speed) -> None:
        self.run, self.total, self.speed = run, total, speed
        self.reported_at = 0.0

    def __call__(self, done: int, left: int) -> None:
        """Record the steps done, and the steps that are left in this attempt."""
        self.speed.on_step(done, left)
        if time.monotonic() - self.reported_at >= REPORT_S:
            self.report(max(0, self.total - left) + done)

    def report(self, done: int) -> None:
        """Write the progress."""
        self.reported_at = time.monotonic()
        self.run.progress(min(done, self.total), self.total)


class _Canceller:
    """Returns whether the job was cancelled; queries the database at most once per second."""

    def __init__(self, run: queue.JobRun) -> None:
        self.run = run
        self.asked_at = 0.0

    def __call__(self) -> bool:
        now = time.monotonic()
        if now - self.asked_at < CANCEL_S:
            return False
        self.asked_at = now
        try:
            self.run.check_cancelled()
        except queue.Cancelled:
            return True
        return False


@lru_cache(maxsize=1)
def _encoder(folder: str) -> Encoder:
    """Return the encoder of a base.

    Raises:
        BaseUnavailable: the bases file names none here.
        EncoderUnavailable: it cannot be opened.
    """
    if not folder:
        msg = "The bases file of this worker names no encoder."
        raise BaseUnavailable(msg)
    from previews.render.look.encoder import Encoder  # noqa: PLC0415 - imports torch

    return Encoder(Path(folder))


@lru_cache(maxsize=1)
def _engine(bases: Path) -> Engine:
    """Return the engine of this process; it ignores later changes of the bases file."""
    from previews.render.engine import Engine  # noqa: PLC0415 - imports torch

    return Engine(load_bases(bases))

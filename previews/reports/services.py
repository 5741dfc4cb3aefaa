"""Writes of look reports: requests, states, pictures, figures."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone
from django.utils.translation import gettext as _

from previews import worker_bases
from previews.models import (
    OPEN_REPORTS,
    Image,
    Render,
    RenderKind,
    RenderState,
    Report,
    ReportPart,
    ReportPicture,
    ReportState,
)
from previews.pictures.services import store
from previews.render import RenderError
from previews.render.look.measures import METHOD
from previews.render.look.recipes import ReportRecipe, digest_of_sheet, report_recipe
from previews.render.pictures import Picture
from registry.database.row_locks import locked
from registry.jobs import queue
from registry.models import OUT_STATES, JobState, Version

if TYPE_CHECKING:
    from django.db.models import QuerySet

REPORT_TASK = "report_look"
#: Versions without a report that are begun in one attempt of a job.
AT_ONCE = 200

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a report of a version is made with."""

    base: str
    recipe: ReportRecipe
    strength: float
    trigger_words: list[str]

    @property
    def columns(self) -> dict[str, Any]:
        """Columns of the row."""
        return {
            "base": self.base,
            "recipe": self.recipe.to_dict(),
            "recipe_digest": self.recipe.digest,
            "strength": self.strength,
            "trigger_words": self.trigger_words,
        }

    def is_of(self, report: Report) -> bool:
        """Return whether a report was made, or is being made, with the same and these measures."""
        if report.state == ReportState.READY and report.figures.get("method") != METHOD:
            return False
        return all(getattr(report, name) == value for name, value in self.columns.items())


def wanted_for(version: Version) -> Wanted | None:
    """Return what a version is reported with; None without a base that has an encoder."""
    base = worker_bases.base_for(version.family)
    if base is None or not base.encoder:
        return None
    words, strength = list(version.trigger_words), float(version.strength or 1.0)
    recipe = report_recipe(base, version.adapter.kind, strength=strength, has_triggers=bool(words))
    return Wanted(base.id, recipe, strength, words) if recipe else None


def begin(*, version: Version) -> Report | None:
    """Return the report of a version by the current recipe, queued if it is new.

    Return None if it cannot be measured here. Reports run after all previews. An open report by an
    older recipe is cancelled; a ready one stays until the new one is ready.
    """
    wanted = wanted_for(version)
    if wanted is None or version.state not in OUT_STATES:
        return None
    for report in version.reports.select_related("job"):
        if report.state in OPEN_REPORTS and (not wanted.is_of(report) or _is_abandoned(report)):
            cancel(report=report, reason=_("A new look report of this version is being made."))
        elif report.state != ReportState.FAILED and wanted.is_of(report):
            return report
    try:
        with transaction.atomic():
            report = Report.objects.create(version=version, **wanted.columns)
            enqueue(report=report)
    except IntegrityError:  # two at once: the constraint lets one through
        return version.reports.filter(state__in=OPEN_REPORTS).first()
    return report


def _is_abandoned(report: Report) -> bool:
    return report.job is None or report.job.state not in {JobState.QUEUED, JobState.RUNNING}


def begin_or_log(version: Version) -> None:
    """Begin a report; log a broken bases file, which must not undo what the caller did."""
    try:
        begin(version=version)
    except RenderError:
        log.exception("no look report for version %s", version.pk)


def enqueue(*, report: Report) -> None:
    """Queue a report, after everything that somebody waits for."""
    family, owner = _family_and_owner(report)
    job = queue.enqueue(
        queue=worker_bases.queue_of(family),
        task=REPORT_TASK,
        args={"report_id": report.pk},
        key=_key(report),
        priority=queue.BACKGROUND,
        owner=owner,
    )
    Report.objects.filter(pk=report.pk).update(job=job)
    report.job = job


def _family_and_owner(report: Report) -> tuple[str, str]:
    """Return the base-model family, and the owner for fair queueing."""
    if report.version is not None:
        return report.version.family, report.version.adapter.owner
    sheet = report.render
    pack_version = sheet.pack_version if sheet is not None else None
    if sheet is None or pack_version is None:
        return "", ""
    return sheet.family, pack_version.pack.owner


def _key(report: Report) -> str:
    return f"{REPORT_TASK}:{report.pk}"


def begin_missing(*, after: int = 0) -> int:
    """Begin the reports of the next versions with previews, by id.

    They are those that never had one, or have one by other measures. Returns the id of the last
    one, 0 if there are no more.
    """
    bases = {family: worker_bases.base_for(family) for family in worker_bases.families()}
    measured = [family for family, base in bases.items() if base and base.encoder]
    is_kept = ~Q(state=ReportState.READY) | Q(figures__method=METHOD)
    rows = Version.objects.filter(
        Exists(
            Render.objects.filter(
                version=OuterRef("pk"), kind=RenderKind.PREVIEW, state=RenderState.READY
            )
        ),
        ~Exists(Report.objects.filter(is_kept, version=OuterRef("pk"))),
        state__in=OUT_STATES,
        family__in=measured,
        pk__gt=after,
    )
    last = 0
    for version in rows.select_related("adapter__namespace").order_by("pk")[:AT_ONCE]:
        begin_or_log(version)
        last = version.pk
    return last


def begin_of_sheet(render: Render) -> Report | None:
    """Return the report of a finished cover sheet, queued if it is new or by other measures.

    Return None if it cannot be measured here, as that of a video.
    """
    bases = worker_bases.bases_for(render.family)
    base = next((one for one in bases if one.id == render.base), None)
    if base is None or not base.encoder or base.frames or render.recipe is None:
        return None
    document = render.recipe.document
    columns = {
        "base": base.id,
        "recipe": {"version": document.get("edition", 1), "look": document},
        "recipe_digest": digest_of_sheet(document),
        "strength": 1.0,
    }
    with transaction.atomic():
        report, is_new = Report.objects.get_or_create(render=render, defaults=columns)
        is_old = report.state == ReportState.READY and report.figures.get("method") != METHOD
        if is_old:
            Report.objects.filter(pk=report.pk).update(state=ReportState.QUEUED)
        if is_new or is_old:
            enqueue(report=report)
    return report


def begin_missing_of_sheets() -> None:
    """Begin the reports of the newest cover sheets that have none, or one by other measures."""
    measured = [base.id for base in worker_bases.bases() if base.encoder and not base.frames]
    is_kept = ~Q(state=ReportState.READY) | Q(figures__method=METHOD)
    kept = Report.objects.filter(is_kept, render=OuterRef("pk"))
    rows = Render.objects.filter(
        ~Exists(kept),
        Exists(Image.objects.filter(render=OuterRef("pk"))),
        kind=RenderKind.PACK,
        state=RenderState.READY,
        base__in=measured,
        pack_version__state__in=OUT_STATES,
    )
    about = rows.select_related("recipe", "pack_version__pack__namespace")
    for render in about.order_by("-pk")[:AT_ONCE]:
        begin_of_sheet(render)


def on_version_published(version_id: int) -> None:
    """Begin a new report if words or strength of a version with previews were changed.

    A version that was just published has none yet; its report follows them.
    """
    rows = Version.objects.filter(pk=version_id, renders__state=RenderState.READY)
    version = rows.select_related("adapter__namespace").first()
    if version is not None:
        begin_or_log(version)


def start(*, report: Report) -> bool:
    """Mark a report as running; return False if it is over."""
    mine = Report.objects.filter(pk=report.pk, state__in=OPEN_REPORTS)
    return mine.update(state=ReportState.RUNNING, reason="") == 1


def keep_pictures(
    *, report: Report, recipe: ReportRecipe, is_look: bool, pictures: Sequence[Picture]
) -> None:
    """Store finished pictures that a report does not have; their bytes before their rows."""
    before = 0 if is_look else len(recipe.look.shots())
    stored = [(one.shot, store(one)) for one in pictures]
    with transaction.atomic():
        for shot, columns in stored:
            part = ReportPart.LOOK if is_look else ReportPart(recipe.part_of(shot.prompt_index))
            made = columns()
            about = {name: made[name] for name in ("blob", "width", "height")}
            ReportPicture.objects.get_or_create(
                report=report,
                part=part,
                prompt_index=shot.prompt_index,
                seed=shot.seed,
                strength=shot.strength,
                defaults={**about, "position": before + shot.position, "prompt": shot.prompt},
            )


def finish(*, report: Report, figures: dict[str, Any], encoder: str, encoder_digest: str) -> None:
    """Store the figures; the report is ready and replaces earlier ones of its version."""
    with transaction.atomic():
        mine = Report.objects.filter(pk=report.pk, state=ReportState.RUNNING)
        if locked(mine).first() is None:
            return
        if report.version_id is not None:
            Report.objects.filter(version=report.version_id).exclude(pk=report.pk).delete()
        mine.update(
            state=ReportState.READY,
            reason="",
            figures=figures,
            encoder=encoder,
            encoder_digest=encoder_digest,
            finished_at=timezone.now(),
        )
    if report.version_id is None:  # one of a pack
        return
    rows = Version.objects.select_related("adapter__namespace")
    version = rows.filter(reports=report.pk, state__in=OUT_STATES).first()
    if version is not None:
        begin_or_log(version)  # words or strength may have changed meanwhile


def fail(*, report: Report, reason: str) -> None:
    """Mark an open report as failed; an earlier one that is ready stays."""
    Report.objects.filter(pk=report.pk, state__in=OPEN_REPORTS).update(
        state=ReportState.FAILED,
        reason=reason or _("The look could not be measured."),
        finished_at=timezone.now(),
    )


def cancel(*, report: Report, reason: str) -> None:
    """Mark an open report as failed and stop its job before the next step."""
    queue.cancel(_key(report))
    fail(report=report, reason=reason)


def retry(*, report: Report) -> None:
    """Queue a failed report again, by its own recipe; it keeps its pictures."""
    with transaction.atomic():
        mine = Report.objects.filter(pk=report.pk, state=ReportState.FAILED)
        others = Report.objects.filter(version=report.version_id, version__isnull=False)
        is_other_open = others.filter(state__in=OPEN_REPORTS).exists()
        if not is_other_open and mine.update(state=ReportState.QUEUED, reason="", finished_at=None):
            enqueue(report=report)


def give_up(*, report: Report) -> None:
    """Delete a report whose base model is gone; the start of a worker begins it again."""
    Report.objects.filter(pk=report.pk, state__in=OPEN_REPORTS).delete()


def delete_all(reports: QuerySet[Report]) -> None:
    """Delete reports, and stop those under way."""
    for report in reports.filter(state__in=OPEN_REPORTS):
        queue.cancel(_key(report))
    reports.delete()

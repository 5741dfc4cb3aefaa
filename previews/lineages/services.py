"""Requests for measured lineages. A record is written by ``measuring`` alone."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from django.db.models import Count, Exists, OuterRef, Q

from previews import worker_bases
from previews.lineages import selectors
from previews.lineages.measuring import Inputs, is_measurable
from previews.models import MeasuredLineage, SampleKind, SampleState
from previews.render import RenderError
from previews.render.lineage.verdict import FEWEST
from registry.jobs import queue
from registry.models import OUT_STATES, Job, Version

MEASURE_TASK = "measure_lineage"
#: Versions that are begun in one attempt of a job.
AT_ONCE = 200

log = logging.getLogger(__name__)


def begin(*, version: Version) -> Job | None:
    """Queue the measurement of a version, after everything that somebody waits for.

    Return None if its family has fewer than two base models, or it has too few pictures that say
    their prompt. A worker does nothing if the record has these pictures and bases already.
    """
    if version.state not in OUT_STATES:
        return None
    bases = [base for base in worker_bases.bases_for(version.family) if is_measurable(base)]
    if len(bases) < 2 or len(selectors.pictures_of(version)) < FEWEST:
        return None
    return queue.enqueue(
        queue=worker_bases.queue_of(version.family),
        task=MEASURE_TASK,
        args={"version_id": version.pk},
        key=_key(version.pk),
        priority=queue.BACKGROUND,
        owner=version.adapter.owner,
    )


def _key(version_id: int) -> str:
    return f"{MEASURE_TASK}:{version_id}"


def begin_or_log(version: Version) -> None:
    """Begin; log a broken bases file, which must not undo what the caller did."""
    try:
        begin(version=version)
    except RenderError:
        log.exception("no measured lineage for version %s", version.pk)


def on_version_published(version_id: int) -> None:
    """Renew if a version was changed that has pictures: its strength or family may be another."""
    rows = Version.objects.filter(pk=version_id, samples__isnull=False)
    version = rows.select_related("adapter__namespace").first()
    if version is not None:
        renew(version=version)


def renew(*, version: Version) -> None:
    """Begin again, and delete a record whose pictures, weights, strength or family were others.

    It would show a removed picture as evidence until a worker has the time, or for ever if there
    are too few pictures now.
    """
    for record in MeasuredLineage.objects.filter(version=version):
        if Inputs.of(version, (), record.bases_digest).digest != record.inputs_digest:
            record.delete()
    begin_or_log(version)


def begin_missing(*, digests: Iterable[tuple[str, str]], after: int = 0) -> int:
    """Begin the next versions without a record by these bases; return the last id, 0 at the end.

    Args:
        digests: Families with the digest of their bases (``measuring.digest_of_bases``).
    """
    wanted = Q(pk__in=[])
    for family, digest in digests:
        kept = MeasuredLineage.objects.filter(version=OuterRef("pk"), bases_digest=digest)
        wanted |= Q(~Exists(kept), family=family)
    shown = Q(samples__state=SampleState.READY, samples__kind=SampleKind.PICTURE)
    rows = Version.objects.filter(wanted, state__in=OUT_STATES, pk__gt=after)
    counted = rows.annotate(shown=Count("samples", filter=shown)).filter(shown__gte=FEWEST)
    last = 0
    for version in counted.select_related("adapter__namespace").order_by("pk")[:AT_ONCE]:
        begin_or_log(version)
        last = version.pk
    return last


def forget(*, version: Version) -> None:
    """Delete the record of a version, and stop a measurement under way."""
    queue.cancel(_key(version.pk))
    MeasuredLineage.objects.filter(version=version).delete()

"""Deletes what was made with withdrawn versions: pictures, reports, samples, measured lineages.

A withdrawn version of an adapter takes the cover sheets of packs with it that it is a part of.

Selectors and ``/media`` stop showing them instantly. The rows are deleted here; the sweeper deletes
their bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils.translation import gettext as _

from previews.lineages import services as lineages
from previews.models import OPEN_STATES, Image, Render, Report, Sheet, Tryout
from previews.renders import services as renders
from previews.reports import services as reports
from previews.samples import services as samples
from previews.tryouts import services as tryouts
from registry.models import PackVersion, Version, VersionState

if TYPE_CHECKING:
    from django.db.models import QuerySet


def on_version_withdrawn(version_id: int) -> None:
    """Delete everything that was made with a version; can be repeated."""
    version, reason = Version.objects.get(pk=version_id), _("This version was withdrawn.")
    with transaction.atomic():
        for render in version.renders.filter(state__in=OPEN_STATES):
            renders.cancel(render=render, reason=reason)
        Image.objects.filter(render__version=version).delete()
        Sheet.objects.filter(render__version=version).delete()
        reports.delete_all(version.reports.all())
        samples.delete_all(version=version)
        lineages.forget(version=version)
    _discard(Render.objects.filter(layers__version=version).distinct(), reason)


def _discard(made: QuerySet[Render], reason: str) -> None:
    """Delete the pictures of stacks, each in a transaction: there may be thousands of try-outs."""
    for render in made:
        with transaction.atomic():
            tryouts.discard(render=render, reason=reason)
            reports.delete_all(Report.objects.filter(render=render))


def on_pack_version_withdrawn(version_id: int) -> None:
    """Delete the cover sheets and try-outs of a pack's version; can be repeated."""
    made = Q(pack_version=version_id) | Q(tryout__pack_version=version_id)
    _discard(Render.objects.filter(made), _("This version was withdrawn."))


def delete_missed() -> int:
    """Delete remains of withdrawn versions; return how many versions had any.

    A process may have died after the withdrawal, or a worker stored pictures during it.
    """
    gone = Version.objects.filter(state=VersionState.WITHDRAWN)
    has_left = (
        Q(renders__images__isnull=False)
        | Q(renders__sheets__isnull=False)
        | Q(renders__state__in=OPEN_STATES)
        | Q(reports__isnull=False)
        | Q(samples__isnull=False)
        | Q(measured_lineage__isnull=False)
        | Q(layers__render__images__isnull=False)
        | Q(layers__render__sheets__isnull=False)
        | Q(layers__render__report__isnull=False)
        | Q(layers__render__state__in=OPEN_STATES)
    )
    left = list(gone.filter(has_left).distinct().values_list("pk", flat=True))
    for version_id in left:
        on_version_withdrawn(version_id)
    is_left = Q(render__images__isnull=False) | Q(render__state__in=OPEN_STATES)
    tried = Tryout.objects.filter(is_left, pack_version=OuterRef("pk"))
    of_packs = PackVersion.objects.filter(state=VersionState.WITHDRAWN).filter(
        Q(renders__images__isnull=False)
        | Q(renders__sheets__isnull=False)
        | Q(renders__report__isnull=False)
        | Q(renders__state__in=OPEN_STATES)
        | Q(Exists(tried))
    )
    packs_left = list(of_packs.distinct().values_list("pk", flat=True))
    for version_id in packs_left:
        on_pack_version_withdrawn(version_id)
    return len(left) + len(packs_left)

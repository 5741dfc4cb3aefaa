"""Uploaded pictures of many versions, for lists in the protocol of other hubs."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import F, Window
from django.db.models.functions import RowNumber

from previews.models import Sample
from previews.pictures.showcase import MAX_PICTURES
from previews.samples.selectors import HAS_BYTES, shown_samples
from registry.models import Version


def of_versions(versions: Iterable[Version]) -> dict[int, list[Sample]]:
    """Return version id → at most ``MAX_PICTURES`` samples, the first uploaded first; one query."""
    place = Window(RowNumber(), partition_by=F("version"), order_by=F("pk").asc())
    rows = shown_samples().filter(HAS_BYTES, version__in=[one.pk for one in versions])
    ranked = rows.annotate(place=place).filter(place__lte=MAX_PICTURES)
    found: dict[int, list[Sample]] = {}
    for sample in ranked.order_by("version_id", "place"):
        found.setdefault(sample.version_id, []).append(sample)
    return found

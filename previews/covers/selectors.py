"""Selects the picture that is the cover of an adapter.

The cover is the first of these that exists, for published versions only:

1. the picture that the owner chose;
2. a rendered picture of the latest version;
3. the picture that was uploaded first for the latest version, or for an earlier one (only users
   who may write the adapter can upload pictures);
4. the drawing of ``previews.covers.drawing``, for which these functions return None.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from django.db.models import Case, Exists, F, OrderBy, OuterRef, QuerySet, Value, When, Window
from django.db.models.functions import RowNumber

from previews.models import Cover, Image, Sample, SampleState
from previews.pictures.selectors import (
    Picture,
    pictures_of,
    rating,
    rendered_covers_of,
    uploaded_sources,
)
from previews.samples.selectors import HAS_BYTES
from registry.database.compiled_queries import Compiled, as_list, listed, text
from registry.models import Adapter, Version, VersionState

_COLUMNS = (
    "version__adapter", "pk", "caption", "width", "height", "placeholder", "rating",
)  # fmt: skip


def covers_of(adapters: Iterable[Adapter]) -> dict[int, Picture | None]:
    """Return adapter id → cover; None for those that are drawn; at most five queries."""
    asked = list(adapters)
    found = _chosen([one.pk for one in asked])
    left = [one for one in asked if one.pk not in found and one.latest_version_id]
    found |= {pk: one for pk, one in rendered_covers_of(left).items() if one is not None}
    if without := [one.pk for one in left if one.pk not in found]:
        found |= _uploaded_first(without)
    return {one.pk: found.get(one.pk) for one in asked}


def uploaded_pictures_of(version: Version) -> list[Picture]:
    """Return the uploaded pictures that can represent a version, the chosen cover first.

    They are also shown on the page of a yanked version.
    """
    rows = Sample.objects.filter(HAS_BYTES, version=version, state=SampleState.READY)
    chosen = Exists(Cover.objects.filter(sample=OuterRef("pk")))
    return [one for _adapter, one in _pictures(_rows(rows, chosen.desc()))]


def choices_of(adapters: Iterable[int]) -> list[Cover]:
    """Return the owners' choices for some adapters."""
    return list(Cover.objects.filter(adapter__in=list(adapters)))


def covering_images() -> QuerySet[Image]:
    """Return the rendered pictures that an owner can choose; those at strength 0 are excluded."""
    published = Image.objects.filter(render__version__state=VersionState.PUBLISHED)
    return published.filter(blob__is_stored=True).exclude(strength=0)


def covering_samples() -> QuerySet[Sample]:
    """Return the uploaded pictures and videos that an owner can choose."""
    published = Sample.objects.filter(version__state=VersionState.PUBLISHED)
    return published.filter(HAS_BYTES, state=SampleState.READY)


def _chosen(adapters: Sequence[int]) -> dict[int, Picture]:
    """Return the chosen covers that can be shown, by adapter."""
    rows = _CHOICES.rows(adapters=as_list(adapters)) if adapters else []
    if not rows:
        return {}
    images = _by_id(covering_images().filter(pk__in=[image for _pk, image, _sample in rows]))
    samples = {
        one.id: one
        for _adapter, one in _pictures(
            _rows(covering_samples().filter(pk__in=[sample for _pk, _image, sample in rows]))
        )
    }
    shown = {pk: images.get(image) or samples.get(sample) for pk, image, sample in rows}
    return {pk: replace(one, is_chosen=True) for pk, one in shown.items() if one is not None}


def _choices(adapters: str) -> QuerySet[Cover, Any]:
    rows = Cover.objects.filter(adapter__in=listed(adapters))
    return rows.values_list("adapter", "image", "sample")


_CHOICES = Compiled(_choices, adapters=text("adapters"))


def _by_id(images: QuerySet[Image]) -> Mapping[int, Picture]:
    return {picture.id: picture for picture in pictures_of(images)}


def _uploaded_first(adapters: Sequence[int]) -> dict[int, Picture]:
    """Return the first uploaded picture of each adapter's newest version that has one."""
    return dict(_pictures(_FIRST.rows(adapters=as_list(adapters))))


def _first(adapters: str) -> QuerySet[Sample, Any]:
    is_earlier = Case(
        When(version=F("version__adapter__latest_version"), then=Value(0)), default=Value(1)
    )
    ranked = covering_samples().filter(version__adapter__in=listed(adapters))
    ranked = ranked.annotate(
        place=Window(
            RowNumber(),
            partition_by=F("version__adapter"),
            order_by=[is_earlier.asc(), F("version__number").desc(), F("pk").asc()],
        )
    )
    return _rows(ranked.filter(place=1))


_FIRST = Compiled(_first, adapters=text("adapters"))


def _rows(samples: QuerySet[Sample], *order: OrderBy) -> QuerySet[Sample, Any]:
    """Return the columns of each sample, by an order and id."""
    wanted = Sample.objects.filter(pk__in=samples.values("pk")).annotate(rating=rating("version"))
    return wanted.order_by(*order, "pk").values_list(*_COLUMNS)


def _pictures(rows: Iterable[tuple[Any, ...]]) -> list[tuple[int, Picture]]:
    """Return the adapter and the picture of each sample."""
    return [_picture(*row) for row in rows]


def _picture(adapter: int, pk: int, *columns: Any) -> tuple[int, Picture]:  # noqa: ANN401 - see _COLUMNS
    caption, width, height, blur, rated = columns
    picture = Picture(
        pk, caption, 0, 0.0, width, height, blur,
        sources=uploaded_sources(pk, width), maturity=rated, is_uploaded=True,
    )  # fmt: skip
    return adapter, picture

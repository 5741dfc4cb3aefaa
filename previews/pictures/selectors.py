"""Reads of rendered pictures with their smaller forms."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

from django.db.models import F, FloatField, QuerySet, Value, Window
from django.db.models.functions import Abs, Coalesce, RowNumber

from previews.models import Image, RenderState
from registry.models import Adapter

#: Digits of the digest in the URL of a smaller form.
DIGITS = 12


@dataclass(frozen=True, slots=True)
class Source:
    """A smaller form of a picture; the URL names its bytes, so they never change."""

    kind: str
    width: int
    url: str

    @property
    def type(self) -> str:
        """Media type."""
        return f"image/{self.kind}"


@dataclass(frozen=True, slots=True)
class Picture:
    """A rendered picture, or the cover that was uploaded (``is_uploaded``).

    ``sources`` are its smaller forms, AVIF before WebP, narrow before wide. ``animation`` is the
    path of the video whose frames this shows, empty for a picture. ``prompt`` includes the trigger
    words; the prompt without them is at ``prompt_index`` in the recipe. Of an uploaded picture,
    ``id`` is that of the sample, ``prompt`` its caption, and seed and strength are 0.
    """

    id: int
    prompt: str
    seed: int
    strength: float
    width: int
    height: int
    placeholder: str = ""
    animation: str = ""
    sources: tuple[Source, ...] = ()
    prompt_index: int = 0
    is_uploaded: bool = False

    @property
    def url(self) -> str:
        """Path of the PNG (design: /media/images/{id}.png); of an uploaded picture, of its WebP."""
        if self.is_uploaded:
            return f"/media/samples/{self.id}.webp"
        return f"/media/images/{self.id}.png"


_COLUMNS = (
    "render__version_id", "pk", "prompt", "seed", "strength", "width", "height", "placeholder",
    "animation_id", "prompt_index",
)  # fmt: skip
_FORMS = ("blob__derivatives__kind", "blob__derivatives__width")


def pictures_of(images: QuerySet[Image]) -> list[Picture]:
    """Return pictures in the order of their recipe with their smaller forms; one query."""
    return [picture for _version, picture in _read(images)]


def _read(images: QuerySet[Image]) -> list[tuple[int | None, Picture]]:
    """Return the version and the picture of each image."""
    rows = images.order_by("position", "pk", *_FORMS).values_list(
        *_COLUMNS, *_FORMS, "blob__derivatives__blob__sha256"
    )
    return [_picture(list(forms)) for _pk, forms in groupby(rows, key=itemgetter(1))]


def _picture(rows: list[tuple[Any, ...]]) -> tuple[int | None, Picture]:
    """Return version and picture from the rows of a left join with its smaller forms."""
    version, pk, prompt, seed, strength, width, height, blur, moves, at = rows[0][: len(_COLUMNS)]
    sources = tuple(
        Source(kind, wide, f"/media/images/{pk}/{sha256[:DIGITS]}-{wide}.{kind}")
        for kind, wide, sha256 in (row[len(_COLUMNS) :] for row in rows)
        if kind
    )
    moving = f"/media/images/{pk}.webp" if moves else ""
    picture = Picture(pk, prompt, seed, strength, width, height, blur, moving, sources, at)
    return version, picture


def rendered_covers_of(adapters: Iterable[Adapter]) -> dict[int, Picture | None]:
    """Return the rendered picture that shows each adapter best, None without any; one query.

    It shows the first prompt and seed of the latest version's newest render, at the strength
    nearest to the recommended one. ``previews.covers.selectors`` has the whole rule of covers.
    """
    asked = {one.pk: one.latest_version_id for one in adapters}
    wanted = Coalesce("render__version__strength", Value(1.0), output_field=FloatField())
    ranked = (
        Image.objects.filter(
            render__version__in=[version for version in asked.values() if version],
            render__state=RenderState.READY,
            blob__is_stored=True,
        )
        .exclude(strength=0)
        .annotate(
            place=Window(
                RowNumber(),
                partition_by=F("render__version"),
                order_by=[F("render").desc(), Abs(F("strength") - wanted).asc(), "position"],
            )
        )
    )
    chosen = Image.objects.filter(pk__in=ranked.filter(place=1).values("pk"))
    found = dict(_read(chosen))
    return {adapter: found.get(version) for adapter, version in asked.items()}

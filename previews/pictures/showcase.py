"""Rendered pictures of many versions, for lists in the protocol of other hubs.

They are the pictures and videos of each version's newest finished render with each base model,
without those at strength 0. A base model that took the place of another one hides its pictures.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Exists, F, FloatField, OuterRef, Q, QuerySet, Value, Window
from django.db.models.functions import Abs, Coalesce, RowNumber

from previews.models import Image, Recipe, Render, RenderKind, RenderState
from previews.pictures.selectors import film_path
from registry.database.compiled_queries import Compiled, as_list, listed, text
from registry.models import Output, Version

#: Most pictures and videos of a version.
MAX_PICTURES, MAX_VIDEOS = 10, 2
#: Media types that other hubs call a video.
VIDEOS = ("video/mp4",)


@dataclass(frozen=True, slots=True)
class RenderedImage:
    """A picture with the recipe it was rendered with."""

    image: Image
    recipe: dict[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Path of the PNG, or of the video."""
        if self.is_film:
            return film_path(self.image.pk, self.image.media_type)
        return f"/media/images/{self.image.pk}.png"

    @property
    def is_film(self) -> bool:
        """Whether it is a video; those of older releases are shown as pictures of their frames."""
        return self.image.media_type in VIDEOS


def pictures() -> QuerySet[Image]:
    """Return the pictures of all versions, whether visible or not.

    PostgreSQL reads them in index order instead of sorting all: it expects an anti-join to find
    many rows, but few from a subquery. ``Coalesce`` hides the share of stored blobs from it.
    """
    ready = Render.objects.filter(kind=RenderKind.PREVIEW, state=RenderState.READY)
    newer = ready.filter(
        version=OuterRef("render__version"),
        output=OuterRef("render__output"),
        rank=OuterRef("render__rank"),
        pk__gt=OuterRef("render"),
    )
    rows = Image.objects.filter(Exists(ready.filter(pk=OuterRef("render"))), ~Exists(newer))
    has_bytes = Coalesce("blob__is_stored", Value(value=False))
    return rows.alias(has_bytes=has_bytes).filter(has_bytes=True).exclude(strength=0)


def of_versions(versions: Iterable[Version]) -> dict[int, list[RenderedImage]]:
    """Return version id → at most ``MAX_PICTURES`` and ``MAX_VIDEOS``; three queries.

    Pictures come before videos, and those nearest to the recommended strength first.
    """
    order = [pk for (pk,) in _FIRST.rows(versions=as_list(one.pk for one in versions))]
    if not order:
        return {}
    rows = Image.objects.select_related("render")
    unused = ("placeholder", "render__trigger_words", "render__advice")
    images = rows.defer(*unused).in_bulk(order)
    found: dict[int, list[RenderedImage]] = {}
    for exhibit in _with_recipes([images[pk] for pk in order if pk in images]):
        found.setdefault(exhibit.image.render.version_id or 0, []).append(exhibit)
    return found


def _first(versions: str) -> QuerySet[Image, Any]:
    """Return the ids of the pictures to show, in order."""
    wanted = Coalesce("render__version__strength", Value(1.0), output_field=FloatField())
    order = [F("render__rank").asc(), Abs(F("strength") - wanted).asc(), F("position").asc()]
    rows = pictures().filter(render__version__in=listed(versions))
    ranked = rows.annotate(
        place=Window(
            RowNumber(), partition_by=[F("render__version"), F("render__output")], order_by=order
        ),
        of=F("render__version"),
        output=F("render__output"),
    )
    first = Q(output=Output.VIDEO, place__lte=MAX_VIDEOS) | ~Q(output=Output.VIDEO) & Q(
        place__lte=MAX_PICTURES
    )
    return ranked.filter(first).order_by("of", "output", "place").values_list("pk")


_FIRST = Compiled(_first, versions=text("versions"))


def page(
    rows: QuerySet[Image], *, limit: int, is_oldest: bool, after: int = 0, offset: int = 0
) -> tuple[list[RenderedImage], bool]:
    """Return a page of pictures by date, and whether there is a next one; two queries.

    Args:
        rows: A part of ``pictures()``.
        is_oldest: Whether the oldest pictures come first.
        after: Id of the last picture on the previous page, 0 for the first page.
        offset: Number of pictures to skip, for numbered pages.
    """
    if after:
        rows = rows.filter(Q(pk__gt=after) if is_oldest else Q(pk__lt=after))
    rows_with_adapters = rows.select_related("render__version__adapter__namespace")
    found = list(
        rows_with_adapters.order_by("pk" if is_oldest else "-pk")[offset : offset + limit + 1]
    )
    return _with_recipes(found[:limit]), len(found) > limit


def _with_recipes(images: Sequence[Image]) -> list[RenderedImage]:
    recipes = Recipe.objects.in_bulk({image.render.recipe_id or 0 for image in images})
    return [
        RenderedImage(one, recipe.document if recipe else {})
        for one in images
        for recipe in [recipes.get(one.render.recipe_id or 0)]
    ]

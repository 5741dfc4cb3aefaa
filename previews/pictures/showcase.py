"""Rendered pictures of many versions at once, for lists that other hubs' clients read.

Only what an adapter changed is shown: no picture at strength 0, and of each version those of its
newest finished render. Pictures that people brought are none of these.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.db.models import F, FloatField, OuterRef, Q, Subquery, Value, Window
from django.db.models.functions import Abs, Coalesce, RowNumber

from previews.models import Image, Recipe, Render, RenderKind, RenderState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from django.db.models import QuerySet

    from registry.models import Version

__all__ = ["MOST", "Exhibit", "of_versions", "page", "pictures"]

#: Pictures that are told with a version.
MOST = 10


@dataclass(frozen=True, slots=True)
class Exhibit:
    """A picture with the recipe that it was rendered by."""

    image: Image
    recipe: dict[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Path of the PNG."""
        return f"/media/images/{self.image.pk}.png"


def pictures() -> QuerySet[Image]:
    """Return the pictures that versions are shown by, whoever may see them."""
    done = Render.objects.filter(
        version=OuterRef("render__version"), kind=RenderKind.PREVIEW, state=RenderState.READY
    )
    newest = Subquery(done.order_by("-pk").values("pk")[:1])
    return Image.objects.filter(render=newest, blob__is_stored=True).exclude(strength=0)


def of_versions(versions: Iterable[Version]) -> dict[int, list[Exhibit]]:
    """Return version id → at most ``MOST`` pictures; two queries.

    Those nearest to the recommended strength come first, in the order of the recipe.
    """
    wanted = Coalesce("render__version__strength", Value(1.0), output_field=FloatField())
    order = [Abs(F("strength") - wanted).asc(), F("position").asc()]
    rows = pictures().filter(render__version__in=[one.pk for one in versions])
    ranked = rows.annotate(
        place=Window(RowNumber(), partition_by=F("render__version"), order_by=order),
        of=F("render__version"),
    )
    found: dict[int, list[Exhibit]] = {}
    chosen = ranked.filter(place__lte=MOST).select_related("render").order_by("of", "place")
    for exhibit in _with_recipes(list(chosen)):
        found.setdefault(exhibit.image.render.version_id or 0, []).append(exhibit)
    return found


def page(
    rows: QuerySet[Image], *, limit: int, is_oldest: bool, after: int = 0, offset: int = 0
) -> tuple[list[Exhibit], bool]:
    """Return a page by date, and whether there is another; two queries.

    Args:
        rows: Some of ``pictures``.
        limit: Most pictures.
        is_oldest: Whether the oldest come first.
        after: Number of the last picture of the page before, 0 for the first page.
        offset: Pictures to leave out, where pages are counted.
    """
    if after:
        rows = rows.filter(Q(pk__gt=after) if is_oldest else Q(pk__lt=after))
    told = rows.select_related("render__version__adapter__namespace")
    found = list(told.order_by("pk" if is_oldest else "-pk")[offset : offset + limit + 1])
    return _with_recipes(found[:limit]), len(found) > limit


def _with_recipes(images: Sequence[Image]) -> list[Exhibit]:
    recipes = Recipe.objects.in_bulk({image.render.recipe_id or 0 for image in images})
    return [Exhibit(one, _document(recipes.get(one.render.recipe_id or 0))) for one in images]


def _document(recipe: Recipe | None) -> dict[str, Any]:
    return recipe.document if recipe else {}

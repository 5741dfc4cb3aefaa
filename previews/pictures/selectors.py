"""Reads of rendered pictures with the addresses of their thumbnails."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import F, FloatField, QuerySet, Value, Window
from django.db.models.functions import Abs, Coalesce, NullIf, RowNumber

from previews.derived import offered
from previews.models import Image, RenderState
from registry.compiled_queries import Compiled, as_list, listed, text
from registry.models import Adapter

#: Digits of the picture's digest in the URL of a thumbnail.
DIGITS = 12


@dataclass(frozen=True, slots=True)
class Source:
    """A thumbnail of a picture; its URL contains the digest of the picture."""

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

    ``sources`` are its thumbnails, AVIF before WebP, narrow before wide. ``animation`` is the
    path of the video whose frames this shows, empty for a picture. ``prompt`` includes the trigger
    words; the prompt without them is at ``prompt_index`` in the recipe. ``maturity`` is its content
    rating: its own (``own_maturity``), else that of its adapter; empty in a try-out. Of an uploaded
    picture, ``id`` is that of the sample, ``prompt`` its caption, and seed and strength are 0.
    ``is_chosen`` says of a cover that the owner chose it.
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
    maturity: str = ""
    own_maturity: str = ""
    is_uploaded: bool = False
    is_chosen: bool = False

    @property
    def url(self) -> str:
        """Path of the PNG (design: /media/images/{id}.png); of an uploaded picture, of its WebP."""
        if self.is_uploaded:
            return f"/media/samples/{self.id}.webp"
        return f"/media/images/{self.id}.png"


def uploaded_sources(sample_id: int, width: int) -> tuple[Source, ...]:
    """Return the thumbnails of an uploaded picture or poster, and itself; none if it is narrow."""
    path = f"/media/samples/{sample_id}"
    thumbnails = [
        Source(kind, wide, f"{path}-{wide}.{kind}") for kind, wide in offered(width, is_webp=True)
    ]
    return (*thumbnails, Source("webp", width, f"{path}.webp")) if thumbnails else ()


_COLUMNS = (
    "render__version_id", "pk", "prompt", "seed", "strength", "width", "height", "placeholder",
    "animation_id", "prompt_index", "blob__sha256", "rating", "maturity",
)  # fmt: skip


def rating(version: str) -> Coalesce:
    """Return the expression for the content rating of pictures: their own, or their adapter's.

    Args:
        version: Path from the picture to its version.
    """
    own = NullIf("maturity", Value(""))
    return Coalesce(own, f"{version}__adapter__maturity", Value(""))


def pictures_of(images: QuerySet[Image]) -> list[Picture]:
    """Return pictures in the order of their recipe with their thumbnails; one query."""
    return [picture for _version, picture in _pictures(_rows(images))]


def _rows(images: QuerySet[Image]) -> QuerySet[Image, Any]:
    """Return the columns of each image."""
    rated = images.annotate(rating=rating("render__version"))
    return rated.order_by("position", "pk").values_list(*_COLUMNS)


def _pictures(rows: Iterable[tuple[Any, ...]]) -> list[tuple[int | None, Picture]]:
    """Return the version and the picture of each image."""
    return [_picture(*row) for row in rows]


def _picture(version: int | None, pk: int, *columns: Any) -> tuple[int | None, Picture]:  # noqa: ANN401 - see _COLUMNS
    prompt, seed, strength, width, height, blur, moves, at, sha256, rated, own = columns
    sources = tuple(
        Source(kind, wide, f"/media/images/{pk}/{sha256[:DIGITS]}-{wide}.{kind}")
        for kind, wide in offered(width)
    )
    moving = f"/media/images/{pk}.webp" if moves else ""
    picture = Picture(
        pk, prompt, seed, strength, width, height, blur, moving, sources, at,
        maturity=rated, own_maturity=own,
    )  # fmt: skip
    return version, picture


def rendered_covers_of(adapters: Iterable[Adapter]) -> dict[int, Picture | None]:
    """Return the rendered picture that shows each adapter best, None without any; one query.

    It shows the first prompt and seed of the latest version's newest render, at the strength
    nearest to the recommended one. ``previews.covers.selectors`` has the whole rule of covers.
    """
    asked = {one.pk: one.latest_version_id for one in adapters}
    versions = as_list(version for version in asked.values() if version)
    found = dict(_pictures(_COVERS.rows(versions=versions)))
    return {adapter: found.get(version) for adapter, version in asked.items()}


def _covers(versions: str) -> QuerySet[Image, Any]:
    wanted = Coalesce("render__version__strength", Value(1.0), output_field=FloatField())
    ranked = (
        Image.objects.filter(
            render__version__in=listed(versions),
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
    return _rows(Image.objects.filter(pk__in=ranked.filter(place=1).values("pk")))


_COVERS = Compiled(_covers, versions=text("versions"))

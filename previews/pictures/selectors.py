"""Rendered pictures with the addresses of their thumbnails, and the files of public ones."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from django.db.models import F, FloatField, QuerySet, Value, Window
from django.db.models.functions import Abs, Coalesce, NullIf, RowNumber

from previews.derived import offered
from previews.models import Image, RenderState
from registry.database.compiled_queries import Compiled, as_list, integer, listed, text
from registry.models import OUT_STATES, Adapter, Visibility
from registry.versions.files import Bytes

# Files of public pictures: the query of most requests for a picture.
#
# Each is one compiled query. It finds nothing for pictures of drafts, try-outs and adapters that
# are not public: permissions on those are checked elsewhere.

#: The largest id that all databases accept as a parameter.
MAX_NUMBER = 2**31 - 1


def public_picture(image_id: int) -> Bytes | None:
    """Return the PNG of a picture; None if it is not public."""
    return _first(_PICTURE, image_id)


def public_film(image_id: int) -> tuple[Bytes, str] | None:
    """Return a video and its media type; None for a picture, and if it is not public."""
    row = _first_row(_FILM, image_id)
    return None if row is None else (_bytes(row), str(row[3]))


def public_picture_and_width(image_id: int) -> tuple[Bytes, int] | None:
    """Return the PNG of a picture, and its width in pixels; None if it is not public."""
    row = _first_row(_PICTURE_AND_WIDTH, image_id)
    return None if row is None else (_bytes(row), int(row[3]))


def _first(query: Compiled, image_id: int) -> Bytes | None:
    row = _first_row(query, image_id)
    return None if row is None else _bytes(row)


def _first_row(query: Compiled, image_id: int) -> tuple[Any, ...] | None:
    return None if image_id > MAX_NUMBER else query.first(image_id=image_id)


def _bytes(row: tuple[Any, ...]) -> Bytes:
    return Bytes(row[0], row[1], bool(row[2]))


def _files_of(blob: str, image_id: int, *more: str) -> QuerySet[Image, Any]:
    """Return the query for the columns of ``Bytes`` of a blob of a picture, and more columns."""
    conditions: dict[str, Any] = {"pk": image_id, f"{blob}__isnull": False}
    rows = Image.objects.filter(
        render__version__state__in=OUT_STATES,
        render__version__adapter__visibility=Visibility.PUBLIC,
        render__version__adapter__blocked_reason="",
        **conditions,
    )
    columns = (f"{blob}__{column}" for column in Bytes._fields)
    return rows.order_by().values_list(*columns, *more)[:1]


_ID = integer(1)
_PICTURE = Compiled(lambda image_id: _files_of("blob", image_id), image_id=_ID)
_FILM = Compiled(lambda image_id: _files_of("animation", image_id, "media_type"), image_id=_ID)
_PICTURE_AND_WIDTH = Compiled(lambda image_id: _files_of("blob", image_id, "width"), image_id=_ID)


#: Media types of videos, with the end of their paths.
FILMS = {"video/mp4": "mp4", "image/webp": "webp"}

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
    path of the video whose first frame this shows, empty for a picture; ``media_type``, ``frames``
    and ``fps`` (0 for a picture) are its own. ``prompt`` includes the trigger
    words; the prompt without them is at ``prompt_index`` in the recipe. ``maturity`` is its content
    rating: its own (``own_maturity``) or its adapter's; empty in a try-out. For an uploaded
    picture, ``id`` is that of the sample, ``prompt`` its caption, and seed and strength are 0.
    ``is_chosen`` is true for a cover that the owner chose. ``query`` is what its URLs end with.
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
    media_type: str = "image/png"
    frames: int = 1
    fps: int = 0
    query: str = ""

    @property
    def is_film(self) -> bool:
        """Whether it is a video that browsers play; those of older releases are animated WebP."""
        return self.media_type.startswith("video/")

    @property
    def duration_s(self) -> float | None:
        """Seconds of a video, None for a picture."""
        return self.frames / self.fps if self.fps else None

    @property
    def url(self) -> str:
        """Path of the PNG, or of the WebP of an uploaded picture."""
        if self.is_uploaded:
            return f"/media/samples/{self.id}.webp"
        return f"/media/images/{self.id}.png{self.query}"


def with_query(picture: Picture, query: str) -> Picture:
    """Return a rendered picture whose files have a query string in their URLs."""
    return replace(
        picture,
        query=f"?{query}",
        animation=picture.animation and f"{picture.animation}?{query}",
        sources=tuple(replace(one, url=f"{one.url}?{query}") for one in picture.sources),
    )


def uploaded_sources(sample_id: int, width: int) -> tuple[Source, ...]:
    """Return the thumbnails of an uploaded picture or poster, and itself; none if it is narrow."""
    path = f"/media/samples/{sample_id}"
    thumbnails = [
        Source(kind, wide, f"{path}-{wide}.{kind}") for kind, wide in offered(width, is_webp=True)
    ]
    return (*thumbnails, Source("webp", width, f"{path}.webp")) if thumbnails else ()


def film_path(image_id: int, media_type: str) -> str:
    """Return the path of the video of a picture, "" if it has none."""
    suffix = FILMS.get(media_type)
    return f"/media/images/{image_id}.{suffix}" if suffix else ""


_COLUMNS = (
    "render__version_id", "pk", "prompt", "seed", "strength", "width", "height", "placeholder",
    "prompt_index", "blob__sha256", "rating", "maturity", "media_type", "frames", "fps",
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


def pictures_by_render(renders: Iterable[int]) -> dict[int, list[Picture]]:
    """Return render id → its pictures, as ``pictures_of`` returns them; one query."""
    rows = _rows(Image.objects.filter(render__in=list(renders)))
    found: dict[int, list[Picture]] = {}
    for render, *columns in rows.values_list("render", *_COLUMNS):
        found.setdefault(render, []).append(_picture(*columns)[1])
    return found


def _rows(images: QuerySet[Image]) -> QuerySet[Image, Any]:
    """Return the columns of each image."""
    rated = images.annotate(rating=rating("render__version"))
    return rated.order_by("position", "pk").values_list(*_COLUMNS)


def _pictures(rows: Iterable[tuple[Any, ...]]) -> list[tuple[int | None, Picture]]:
    """Return the version and the picture of each image."""
    return [_picture(*row) for row in rows]


def _picture(version: int | None, pk: int, *columns: Any) -> tuple[int | None, Picture]:  # noqa: ANN401 - see _COLUMNS
    prompt, seed, strength, width, height, blur, at, sha256, rated, own, *film = columns
    sources = tuple(
        Source(kind, wide, f"/media/images/{pk}/{sha256[:DIGITS]}-{wide}.{kind}")
        for kind, wide in offered(width)
    )
    media_type, frames, fps = film
    picture = Picture(
        pk, prompt, seed, strength, width, height, blur, film_path(pk, media_type), sources, at,
        maturity=rated, own_maturity=own, media_type=media_type, frames=frames, fps=fps,
    )  # fmt: skip
    return version, picture


def rendered_covers_of(adapters: Iterable[Adapter]) -> dict[int, Picture | None]:
    """Return the rendered picture that shows each adapter best; None if there is none; one query.

    It shows the first prompt and seed of the latest version's newest render with the first base
    model for pictures, at the strength nearest to the recommended one.
    ``previews.covers.selectors`` has the whole rule of covers.
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
                order_by=[
                    "render__output",
                    "render__rank",
                    F("render").desc(),
                    Abs(F("strength") - wanted).asc(),
                    "position",
                ],
            )
        )
    )
    return _rows(Image.objects.filter(pk__in=ranked.filter(place=1).values("pk")))


_COVERS = Compiled(_covers, versions=text("versions"))

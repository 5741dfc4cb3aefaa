"""Cards of adapters in lists, with a fixed number of queries."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Coalesce
from django.templatetags.static import static
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from hub.pages.adapters.content_rating import (
    asked_level,
    is_blurred,
    level_of,
    placeholder_of,
)
from hub.pages.labels import count, family_label, strength_range
from hub.templatetags.lorary import size
from previews.covers import drawing
from previews.covers.selectors import covers_of
from previews.pictures.selectors import Picture
from registry.adapters.selectors import Page
from registry.blobs.anatomies import origin_of
from registry.database.compiled_queries import Compiled, as_list, listed, text
from registry.models import Kind, Version, Visibility
from registry.versions import selectors as version_selectors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from django.contrib.auth.models import AnonymousUser
    from django.db.models import QuerySet
    from django.http import HttpRequest

    from registry.models import Adapter, User

    Viewer = User | AnonymousUser | None

#: Titles of the columns of wide lists.
COLUMNS = (
    gettext_lazy("Owner"),
    gettext_lazy("Base model"),
    gettext_lazy("Rank"),
    gettext_lazy("Size"),
    gettext_lazy("Updated"),
    gettext_lazy("Downloads"),
)


@dataclass(frozen=True, slots=True)
class Drawn:
    """A cover drawn from weights, or a blank one."""

    url: str
    is_blank: bool = False
    width: int = drawing.WIDTH
    height: int = drawing.HEIGHT


@dataclass(frozen=True, slots=True)
class Card:
    """One adapter in a list.

    Attributes:
        number: Its position in the list. An id would reveal how many adapters are hidden from the
            viewer.
        visibility: Label of a visibility other than public.
        rating: Label of a rating that is not for all viewers; empty for others.
        blur: Placeholder to show instead of the picture, empty if there is none, or if the picture
            may be shown.
        reveal: Level to ask for to see the blurred picture, empty if no picture is blurred.
        snippet: HTML of the text in which searched words occur, empty without a search.
        columns: Titles and texts of the columns of wide lists.
        doubt: Why it may not work with the viewer's checkpoint, empty if nothing is known.
        held_in: Name of the version that it opens, empty for the latest.
        is_yanked: Whether all its published versions were yanked, so that only its owner finds it.
    """

    number: str
    owner: str
    name: str
    full_name: str
    url: str
    title: str
    facts: str
    family: str
    evidence: str
    picture: Picture | Drawn
    picture_alt: str
    trigger_words: str
    strength: float
    strength_min: float | None
    strength_max: float | None
    strength_text: str
    visibility: str
    rating: str
    blur: str
    reveal: str
    snippet: SafeString
    columns: tuple[tuple[str, str], ...]
    doubt: str = ""
    held_in: str = ""
    is_yanked: bool = False

    @property
    def is_drawn(self) -> bool:
        """Whether it has no picture, but a drawing of its weights."""
        return isinstance(self.picture, Drawn) and not self.picture.is_blank


def cards_of(
    request: HttpRequest,
    adapters: Sequence[Adapter],
    found: Page | None = None,
    *,
    known: Mapping[int, Picture | None] | None = None,
    after: int = 0,
    doubt: Callable[[Adapter], str] | None = None,
) -> list[Card]:
    """Return cards in the order of the adapters, with at most seven queries.

    The adapters come with ``namespace`` and ``latest_version``, as searches return them.

    Args:
        request: Of the viewer; its URL may ask to see pictures (``content_rating.asked_level``).
        adapters: The adapters.
        found: The search that found them.
        known: Their covers, if they were read before.
        after: Number of cards on the previous pages.
        doubt: Returns why an adapter may not work for the viewer; "" if nothing is known.
    """
    read = covers_of(adapters) if known is None else known
    covers = {pk: one for pk, one in read.items() if one is not None}
    asked = asked_level(request)
    blurs = {one.pk: _blur(request.user, one, covers.get(one.pk), asked) for one in adapters}
    for pk, blur in blurs.items():
        if blur.level and not blur.placeholder:  # the cover drawn from the weights is shown
            del covers[pk]
    yanked, titles = _yanked(adapters), [str(title) for title in COLUMNS]
    versions = {one.pk: one.latest_version or yanked.get(one.pk) for one in adapters}
    bases = _bases(versions.values())
    found = found or Page([], "")
    return [
        replace(
            _card(place, adapter, versions[adapter.pk], covers, bases, blurs[adapter.pk]),
            columns=_columns(adapter, versions[adapter.pk], titles),
            snippet=found.snippets.get(adapter.pk, SafeString()),
            doubt=doubt(adapter) if doubt else "",
            held_in=_held_in(adapter, found.versions),
            is_yanked=adapter.pk in yanked,
        )
        for place, adapter in enumerate(adapters, start=after + 1)
    ]


def _held_in(adapter: Adapter, versions: Mapping[int, str]) -> str:
    name = versions.get(adapter.pk, "")
    is_latest = adapter.latest_version is not None and adapter.latest_version.name == name
    return "" if is_latest else name


class _Blur(NamedTuple):
    """How the picture of a card is blurred.

    Attributes:
        rating: Label of the rating; empty if it is for all viewers.
        level: Level of a blurred picture; empty if none is blurred.
        placeholder: The picture that is shown instead.
    """

    rating: str
    level: str = ""
    placeholder: str = ""


def _blur(user: Viewer, adapter: Adapter, cover: Picture | None, asked: str) -> _Blur:
    level = level_of(adapter, cover.maturity if cover else "")
    if cover is not None and is_blurred(user, adapter, level, asked):
        return _Blur(str(level.label), level.value, placeholder_of([cover]))
    highest = max(level, level_of(adapter), key=lambda one: one.rank)
    return _Blur("" if highest.is_for_all else str(highest.label))


def _yanked(adapters: Sequence[Adapter]) -> dict[int, Version]:
    """Return the newest version of each adapter whose published versions were all yanked."""
    without = [one.pk for one in adapters if one.published_at and one.latest_version is None]
    return version_selectors.newest_yanked(without) if without else {}


def _bases(versions: Iterable[Version | None]) -> dict[int, Mapping[str, str]]:
    """Return version id → what its anatomy says about its base model."""
    keys = [version.pk for version in versions if version is not None]
    rows = _BASES.rows(versions=as_list(keys))
    return {pk: dict(zip(_BASE_KEYS, found, strict=True)) for pk, *found in rows}


def _base_rows(versions: str) -> QuerySet[Version, Any]:
    """Read the document of the weights with their configuration, else that of the weights."""
    rows = Version.objects.filter(pk__in=listed(versions), revision__files__is_primary=True)
    documents = ("anatomy", "revision__files__blob__anatomy")
    values = (
        Coalesce(*(KeyTextTransform(key, f"{one}__document__base") for one in documents))
        for key in _BASE_KEYS
    )
    return rows.order_by().values_list("pk", *values)


_BASE_KEYS = ("family", "confidence", "agreement")
_BASES = Compiled(_base_rows, versions=text("versions"))


def _card(
    place: int,
    adapter: Adapter,
    version: Version | None,
    covers: Mapping[int, Picture],
    bases: Mapping[int, Mapping[str, str]],
    blur: _Blur,
) -> Card:
    words = list(version.trigger_words) if version else []
    is_public = adapter.visibility == Visibility.PUBLIC
    return Card(
        number=f"{place:03d}",
        owner=adapter.owner,
        name=adapter.name,
        full_name=adapter.full_name,
        url=reverse("adapter", args=[adapter.owner, adapter.name]),
        title=adapter.display_title,
        facts=_facts(adapter, version),
        family=family_label(adapter.family) or _("base unknown"),
        evidence=_evidence(version, bases),
        picture=_picture(adapter, version, covers),
        picture_alt=_("Preview of %(title)s") % {"title": adapter.display_title},
        trigger_words=", ".join(words),
        strength=version.dial if version else 1.0,
        strength_min=version.strength_min if version else None,
        strength_max=version.strength_max if version else None,
        strength_text=strength_range(version) if version else "",
        visibility="" if is_public else str(Visibility(adapter.visibility).label),
        rating=blur.rating,
        blur=blur.placeholder,
        reveal=blur.level,
        snippet=SafeString(),
        columns=(),
    )


def _columns(
    adapter: Adapter, version: Version | None, titles: Sequence[str]
) -> tuple[tuple[str, str], ...]:
    """Return the values of an adapter for the ``COLUMNS`` of wide lists."""
    texts = (
        adapter.owner,
        family_label(adapter.family) or _("unknown"),
        str(version.rank) if version and version.rank else "–",
        size(version.size_bytes) if version else "–",
        date_format(adapter.updated_at, "j M Y"),
        count(adapter.downloads),
    )
    return tuple(zip(titles, texts, strict=True))


def _facts(adapter: Adapter, version: Version | None) -> str:
    # By the choice itself: `get_kind_display` translates all of them for each adapter.
    parts = [str(Kind(adapter.kind).label).lower()]
    if version is not None and version.rank:
        parts.append(_("rank %(rank)d") % {"rank": version.rank})
    if version is not None:
        parts.append(size(version.size_bytes))
    else:
        parts.append(_("nothing published yet"))
    return " · ".join(parts)


def _evidence(version: Version | None, bases: Mapping[int, Mapping[str, str]]) -> str:
    if version is None:
        return ""
    return origin_of(version.family, version.declared_family, bases.get(version.pk, {}))


def _picture(
    adapter: Adapter, version: Version | None, covers: Mapping[int, Picture]
) -> Picture | Drawn:
    picture = covers.get(adapter.pk)
    if picture is not None:
        return picture
    if version is None:
        return Drawn(static("blank.svg"), is_blank=True)
    return Drawn(reverse("cover", args=[version.pk]))

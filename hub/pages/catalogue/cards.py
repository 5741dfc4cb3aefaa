"""Cards of adapters in lists, with a fixed number of queries."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from django.templatetags.static import static
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from hub.pages.adapters.content_rating import is_blurred, placeholder_of
from hub.pages.labels import family_label, strength_range
from hub.templatetags.lorary import size
from previews.covers import drawing
from previews.covers.selectors import covers_of
from previews.pictures.selectors import Picture
from registry.blobs.anatomies import BY_TENSORS
from registry.models import File, Maturity, Visibility

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from django.contrib.auth.models import AnonymousUser

    from registry.models import Adapter, User, Version

    Viewer = User | AnonymousUser | None


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
        rating: Label of a mature adapter, empty for others.
        blur: Placeholder to show instead of the picture, empty if the picture may be shown.
        snippet: HTML of the text in which searched words occur, empty without a search.
    """

    number: str
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
    is_private: bool
    rating: str
    blur: str
    snippet: SafeString

    @property
    def is_drawn(self) -> bool:
        """Whether it has no picture, but a drawing of its weights."""
        return isinstance(self.picture, Drawn) and not self.picture.is_blank


def cards_of(
    user: Viewer,
    adapters: Sequence[Adapter],
    snippets: Mapping[int, SafeString] | None = None,
    *,
    known: Mapping[int, Picture | None] | None = None,
) -> list[Card]:
    """Return cards in the order of the adapters, with at most six queries.

    The adapters come with ``namespace`` and ``latest_version``, as searches return them; ``known``
    are their covers, if they were read before.
    """
    found = covers_of(adapters) if known is None else known
    covers = {pk: one for pk, one in found.items() if one is not None}
    blurs = {
        one.pk: placeholder_of([covers[one.pk]])
        for one in adapters
        if one.pk in covers and is_blurred(user, one)
    }
    for pk, blur in blurs.items():
        if not blur:  # without a placeholder, the cover drawn from the weights is shown
            del covers[pk]
    proven = _proven(adapters)
    return [
        replace(
            _card(place, adapter, covers, proven, blurs.get(adapter.pk, "")),
            snippet=(snippets or {}).get(adapter.pk, SafeString()),
        )
        for place, adapter in enumerate(adapters, start=1)
    ]


def _proven(adapters: Sequence[Adapter]) -> dict[int, str]:
    """Return revision id → family that the primary file's tensors prove."""
    revisions = [a.latest_version.revision_id for a in adapters if a.latest_version]
    rows = File.objects.filter(
        revision_id__in=revisions,
        is_primary=True,
        blob__anatomy__document__base__confidence__in=sorted(BY_TENSORS),
    )
    return dict(rows.values_list("revision_id", "blob__anatomy__family"))


def _card(
    place: int,
    adapter: Adapter,
    covers: Mapping[int, Picture],
    proven: Mapping[int, str],
    blur: str,
) -> Card:
    version = adapter.latest_version
    words = list(version.trigger_words) if version else []
    return Card(
        number=f"{place:03d}",
        full_name=adapter.full_name,
        url=reverse("adapter", args=[adapter.owner, adapter.name]),
        title=adapter.display_title,
        facts=_facts(adapter, version),
        family=family_label(adapter.family) or _("base unknown"),
        evidence=_evidence(version, proven),
        picture=_picture(adapter, version, covers),
        picture_alt=_("Preview of %(title)s") % {"title": adapter.display_title},
        trigger_words=", ".join(words),
        strength=version.dial if version else 1.0,
        strength_min=version.strength_min if version else None,
        strength_max=version.strength_max if version else None,
        strength_text=strength_range(version) if version else "",
        visibility=adapter.get_visibility_display(),
        is_private=adapter.visibility != Visibility.PUBLIC,
        rating=adapter.get_maturity_display() if adapter.maturity == Maturity.MATURE else "",
        blur=blur,
        snippet=SafeString(),
    )


def _facts(adapter: Adapter, version: Version | None) -> str:
    parts = [adapter.get_kind_display().lower()]
    if version is not None and version.rank:
        parts.append(_("rank %(rank)d") % {"rank": version.rank})
    if version is not None:
        parts.append(size(version.size_bytes))
    else:
        parts.append(_("nothing published yet"))
    return " · ".join(parts)


def _evidence(version: Version | None, proven: Mapping[int, str]) -> str:
    if version is None or not version.family:
        return ""
    if proven.get(version.revision_id) == version.family:
        return "proven"
    return "declared" if version.declared_family == version.family else "claimed"


def _picture(
    adapter: Adapter, version: Version | None, covers: Mapping[int, Picture]
) -> Picture | Drawn:
    picture = covers.get(adapter.pk)
    if picture is not None:
        return picture
    if version is None:
        return Drawn(static("blank.svg"), is_blank=True)
    return Drawn(reverse("cover", args=[version.pk]))

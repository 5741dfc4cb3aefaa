"""The relatives of a version's weights, as the page of its adapter lists them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.contrib.auth.models import AnonymousUser
from django.urls import reverse
from django.utils.formats import number_format
from django.utils.translation import gettext as _

from hub.pages.comparison.weights import url_of
from registry.blobs import relatives
from registry.blobs.relatives import SAME_FILE, Relative
from registry.models import File, Relation, User, Version, VersionState

#: Number of relatives on the page, and of those that are read for it; the API has more.
SHOWN, READ = 8, 32


@dataclass(frozen=True, slots=True)
class RelativeLine:
    """A related version: its name and URL, how it is related, the cosine, the comparison."""

    name: str
    url: str
    text: str
    cosine: str
    compare_url: str


def relatives_of(
    user: User | AnonymousUser, version: Version, files: Iterable[File]
) -> list[RelativeLine]:
    """Return the closest relatives: one version of each other adapter, then own versions."""
    if version.state == VersionState.WITHDRAWN:
        return []  # its files are gone
    found = relatives.of_version(user, version, files, most=READ)
    closest: dict[int, Relative] = {}
    for one in found:
        if one.version.adapter_id != version.adapter_id:
            closest.setdefault(one.version.adapter_id, one)
    own = [one for one in found if one.version.adapter_id == version.adapter_id]
    return [_line(one, version) for one in [*closest.values(), *own][:SHOWN]]


def _line(relative: Relative, version: Version) -> RelativeLine:
    other = relative.version
    place = reverse("adapter", args=[other.adapter.owner, other.adapter.name])
    return RelativeLine(
        f"{other.adapter.full_name} {other.name}",
        f"{place}?v={other.name}",
        _text(relative),
        _number(relative.cosine),
        url_of(version, other),
    )


def _text(relative: Relative) -> str:
    """Return how a version is related to the one on the page."""
    texts = {
        SAME_FILE: _("The same file"),
        Relation.SAME_WEIGHTS: _("Same weights, other header"),
        Relation.NUMBER_FORMAT: _("Same weights in another number format"),
        Relation.RENAMED: _("Same weights in another key format"),
        Relation.STRENGTH: _("Same weights, %(n)s times as strong as here")
        % {"n": _number(1 / relative.strength if relative.strength else 0)},
        Relation.RESIZED: {
            "from": _("This version was resized from that version"),
            "to": _("Resized from this version"),
        }.get(relative.direction, _("Resized")),
        Relation.PART: {
            "from": _("This version has a part of that version's layers"),
            "to": _("Has a part of this version's layers"),
        }.get(relative.direction, _("Has some of the same layers")),
        Relation.SAME_RUN: _("Same training run, other checkpoint"),
        Relation.RELATED: _("Similar weights"),
    }
    return texts.get(relative.kind, relative.kind)


def _number(value: float) -> str:
    """Return a number with two digits; Django would cut the others off."""
    return number_format(round(value, 2), 2)

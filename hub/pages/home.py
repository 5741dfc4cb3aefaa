"""The first page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from hub.pages.cards import cards_of
from hub.pages.sweeps import Frame, Sweep, sweep_of
from hub.pages.words import family_label
from previews.selectors import previews_of
from registry.selectors import adapters as catalogue

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.http import HttpRequest, HttpResponse

    from registry.models import Adapter, Version
    from registry.selectors.adapters import Facets

__all__ = ["home"]

NEWEST = 10
#: How many of the newest are looked at for a sweep that is ready.
HERO_TRIES = 4


@dataclass(frozen=True, slots=True)
class Hero:
    """A real adapter at rising strength."""

    title: str
    url: str
    prompt: str
    seed: int
    frames: list[Frame]


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Show what this place is: a search, a live sweep, the newest adapters."""
    newest = catalogue.search(request.user, catalogue.Query(), limit=NEWEST).results
    facets = catalogue.facets(request.user)
    context = {
        "cards": cards_of(newest),
        "sweep": _hero(newest),
        "total": sum(count for _kind, count in facets.kinds),
        "families": _families(facets),
        "tries": [tag for tag, _count in facets.tags[:3]],
    }
    return render(request, "pages/home.html", context)


def _families(facets: Facets) -> list[dict[str, str]]:
    return [{"id": family, "label": family_label(family)} for family, _count in facets.families]


def _hero(newest: Sequence[Adapter]) -> Hero | None:
    for adapter in newest[:HERO_TRIES]:
        version = adapter.latest_version
        sweep = _ready(version) if version else None
        if sweep is not None and sweep.last > 1:
            url = reverse("adapter", args=[adapter.owner, adapter.name])
            return Hero(adapter.display_title, url, sweep.prompt, sweep.seed, sweep.frames)
    return None


def _ready(version: Version) -> Sweep | None:
    found = previews_of(version)
    return sweep_of(version, found, {}) if found.state == "ready" else None

"""The first page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from hub.pages.adapters.content_rating import is_blurred
from hub.pages.catalogue.cards import cards_of
from hub.pages.labels import family_label
from hub.pages.pictures.strength_slider import Frame, sweep_of
from previews.selectors.pictures import cover_of
from previews.selectors.renders import previews_of
from registry.adapters import selectors as adapter_selectors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.http import HttpRequest, HttpResponse

    from registry.adapters.selectors import Facets
    from registry.models import Adapter

__all__ = ["home"]

NEWEST = 10


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
    newest = adapter_selectors.search(request.user, adapter_selectors.Query(), limit=NEWEST).results
    facets = adapter_selectors.facets(request.user)
    context = {
        "cards": cards_of(request.user, newest),
        "sweep": _hero([one for one in newest if not is_blurred(request.user, one)]),
        "total": sum(count for _kind, count in facets.kinds),
        "families": _families(facets),
        "tries": [tag for tag, _count in facets.tags[:3]],
    }
    return render(request, "pages/home.html", context)


def _families(facets: Facets) -> list[dict[str, str]]:
    return [{"id": family, "label": family_label(family)} for family, _count in facets.families]


def _hero(newest: Sequence[Adapter]) -> Hero | None:
    """Return the newest adapter that has pictures, as a sweep."""
    covers = cover_of(newest)
    adapter = next((one for one in newest if covers.get(one.pk)), None)
    if adapter is None or adapter.latest_version is None:
        return None
    version = adapter.latest_version
    sweep = sweep_of(version, previews_of(version), {})
    if sweep is None:
        return None
    url = reverse("adapter", args=[adapter.owner, adapter.name])
    return Hero(adapter.display_title, url, sweep.prompt, sweep.seed, sweep.frames)

"""Adapters that are similar to another one, and those that are used together with it."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from hub.pages.catalogue.cards import cards_of
from previews.samples.selectors import companions
from registry.adapters import selectors as adapter_selectors
from registry.adapters.similar import similar

#: Number of adapters in each list.
SHOWN = 6


@require_safe
def show(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """Show both lists; ``part`` sends only the lists, for the page of the adapter."""
    adapter = adapter_selectors.get(request.user, owner, name)
    if adapter.withdrawn_reason:
        raise adapter_selectors.gone(adapter)
    together = companions(request.user, adapter, SHOWN)
    known = {one.pk for one in together}
    alike = [
        one for one in similar(request.user, adapter, SHOWN + len(known)) if one.pk not in known
    ]
    cards = cards_of(request, [*together, *alike[:SHOWN]])
    context = {
        "adapter": adapter,
        "companions": cards[: len(together)],
        "similar": cards[len(together) :],
    }
    template = "adapter/related.html" if "part" in request.GET else "adapter/related_page.html"
    return render(request, template, context)

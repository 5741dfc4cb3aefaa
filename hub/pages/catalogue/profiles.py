"""What one owner has published."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.shortcuts import render
from django.views.decorators.http import require_safe

from hub.pages.catalogue.browse import PAGE, count_text, page_links
from hub.pages.catalogue.cards import cards_of
from registry.adapters import selectors as adapter_selectors

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

__all__ = ["profile"]


@require_safe
def profile(request: HttpRequest, owner: str) -> HttpResponse:
    """Show an owner's adapters; its own drafts and private ones only to itself."""
    namespace = adapter_selectors.namespace(owner)
    query = adapter_selectors.Query(owner=namespace.name)
    cursor = request.GET.get("cursor", "")
    found = adapter_selectors.search(request.user, query, cursor=cursor, limit=PAGE)
    context = {
        "owner": namespace,
        "is_self": request.user.is_authenticated and namespace.user_id == request.user.pk,
        "cards": cards_of(request.user, found.results),
        "count_text": count_text(request.user, query),
        **page_links(request, found, cursor),
    }
    return render(request, "pages/profile.html", context)

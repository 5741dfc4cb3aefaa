"""Addresses that clients print for people: they lead to the adapter's page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import HttpResponseRedirect
from django.urls import reverse

from hub.protocols.huggingface.door import door
from hub.protocols.huggingface.repos.refs import adapter_of
from registry.errors import NotFound
from registry.versions import selectors as version_selectors

if TYPE_CHECKING:
    from django.http import HttpRequest

    from registry.models import Adapter

__all__ = ["page"]


@door("GET")
def page(request: HttpRequest, owner: str, name: str, ref: str) -> HttpResponseRedirect:
    """Lead to the version that a commit or a branch is, else to the adapter."""
    adapter = adapter_of(request, owner, name)
    place = reverse("adapter", args=[adapter.owner, adapter.name])
    found = _version(request, adapter, ref.partition("/")[0])
    return HttpResponseRedirect(f"{place}?v={found}" if found else place)


def _version(request: HttpRequest, adapter: Adapter, ref: str) -> str:
    try:
        return version_selectors.get(request.user, adapter, ref).name
    except NotFound:
        return ""

"""Addresses of derived files, for pages and the API."""

from __future__ import annotations

from urllib.parse import urlencode

from django.urls import reverse

from registry.derived.selectors import Derived


def address_in(route: str, found: Derived) -> str:
    """Return the path of a derived file in a route; the query names a source that isn't primary."""
    version, file = found.source.version, found.source.file
    place = [version.adapter.owner, version.adapter.name, version.name, found.wanted.variant]
    query = "" if file.is_primary else f"?{urlencode({'path': file.path})}"
    return reverse(route, args=place) + query

"""``/creators``, ``/tags`` and ``/enums``: values to filter lists by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from hub.protocols.civitai import paging
from hub.protocols.civitai.endpoint import answer, endpoint, origin
from hub.protocols.civitai.query import QueryParameters
from hub.protocols.civitai.vocabulary import ENUMS
from registry.adapters import facets

#: Names with numbers of adapters, and the number of all names.
Page = tuple[list[tuple[str, int]], int]

MOST, USUAL = 200, 20


@endpoint("GET", scope="search")
def creators(request: HttpRequest) -> HttpResponse:
    """List owners of listed adapters, by name."""

    def item(name: str, count: int) -> dict[str, Any]:
        link = _link(request, username=name)
        return {"username": name, "modelCount": count, "link": link, "image": None}

    return _counted(request, facets.owners, item)


@endpoint("GET", scope="search")
def tags(request: HttpRequest) -> HttpResponse:
    """List tags of listed adapters, most frequent first."""

    def item(name: str, count: int) -> dict[str, Any]:
        return {"name": name, "modelCount": count, "link": _link(request, tag=name)}

    return _counted(request, facets.tags, item)


@endpoint("GET")
def enums(_request: HttpRequest) -> HttpResponse:
    """List the values of parameters."""
    return answer(ENUMS)


def _counted(
    request: HttpRequest, read: Callable[..., Page], item: Callable[[str, int], dict[str, Any]]
) -> HttpResponse:
    """Return a page; a limit of 0 means the maximum."""
    parameters = QueryParameters(request)
    size = parameters.whole("limit", USUAL, 0, MOST) or MOST
    page = parameters.whole("page", 1, 1, paging.MAX_PAGE_NUMBER)
    words, begin = parameters.text("query"), (page - 1) * size
    found, total = read(request.user, words, begin=begin, size=size)
    items = [item(name, count) for name, count in found]
    metadata = paging.counted(request, page=page, size=size, total=total)
    return answer({"items": items, "metadata": metadata})


def _link(request: HttpRequest, **query: str) -> str:
    return f"{origin(request)}{reverse('civitai-models')}?{urlencode(query)}"

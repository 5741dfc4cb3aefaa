"""``/creators``, ``/tags`` and ``/enums``: values to filter lists by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from hub.protocols.civitai import paging
from hub.protocols.civitai.endpoint import answer, endpoint, origin
from hub.protocols.civitai.query import QueryParameters
from hub.protocols.civitai.vocabulary import ENUMS
from registry.adapters import listings_by_column

MOST, USUAL = 200, 20


@endpoint("GET", scope="search")
def creators(request: HttpRequest) -> HttpResponse:
    """List owners of listed adapters, by name."""
    found = listings_by_column.owners(request.user, QueryParameters(request).text("query"))

    def item(one: Any) -> dict[str, Any]:  # noqa: ANN401 - a row with its count
        link = _link(request, username=one.name)
        count = one.adapters_offered
        return {"username": one.name, "modelCount": count, "link": link, "image": None}

    return _counted(request, found, item)


@endpoint("GET", scope="search")
def tags(request: HttpRequest) -> HttpResponse:
    """List tags of listed adapters, most frequent first."""
    found = listings_by_column.tags(request.user, QueryParameters(request).text("query"))

    def item(one: Any) -> dict[str, Any]:  # noqa: ANN401 - a row with its count
        count = one.adapters_offered
        return {"name": one.name, "modelCount": count, "link": _link(request, tag=one.name)}

    return _counted(request, found, item)


@endpoint("GET")
def enums(_request: HttpRequest) -> HttpResponse:
    """List the values of parameters."""
    return answer(ENUMS)


def _counted(
    request: HttpRequest, found: QuerySet[Any], item: Callable[[Any], dict[str, Any]]
) -> HttpResponse:
    """Return a page; a limit of 0 means the maximum."""
    parameters = QueryParameters(request)
    size = parameters.whole("limit", USUAL, 0, MOST) or MOST
    page = parameters.whole("page", 1, 1, paging.MAX_PAGE_NUMBER)
    begin = (page - 1) * size
    items = [item(one) for one in found[begin : begin + size]]
    metadata = paging.counted(request, page=page, size=size, total=found.count())
    return answer({"items": items, "metadata": metadata})


def _link(request: HttpRequest, **query: str) -> str:
    return f"{origin(request)}{reverse('civitai-models')}?{urlencode(query)}"

"""Views of ``/models``, public adapters with their versions; ``shapes.py`` has the fields."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from hub.protocols.civitai import paging, shapes
from hub.protocols.civitai.endpoint import Refused, answer, endpoint, origin
from hub.protocols.civitai.query import MAX_NUMBER, QueryParameters, number
from hub.protocols.civitai.vocabulary import (
    COMMERCIAL_USES,
    ENUMS,
    MODEL_TYPES,
    NAMES,
    SORTS,
    allowing,
    of_base_models,
    of_types,
    ratings_in,
)
from registry.accounts.permissions import require_user
from registry.adapters import facets, listings_by_column
from registry.adapters.listings_by_column import ListingQuery
from registry.errors import CursorInvalid, NotFound
from registry.models import Maturity
from registry.versions import by_id

#: Names with numbers of adapters, and the number of all names.
Page = tuple[list[tuple[str, int]], int]

MOST_NAMES, USUAL = 200, 20


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
    size = parameters.whole("limit", USUAL, 0, MOST_NAMES) or MOST_NAMES
    page = parameters.whole("page", 1, 1, paging.MAX_PAGE_NUMBER)
    words, begin = parameters.text("query"), (page - 1) * size
    found, total = read(request.user, words, begin=begin, size=size)
    items = [item(name, count) for name, count in found]
    metadata = paging.counted(request, page=page, size=size, total=total)
    return answer({"items": items, "metadata": metadata})


def _link(request: HttpRequest, **query: str) -> str:
    return f"{origin(request)}{reverse('civitai-models')}?{urlencode(query)}"


MOST = 100

#: Flags that are true for no adapter: a hub has no generator and no early access.
_NOWHERE = ("supportsGeneration", "fromPlatform", "earlyAccess")
_LICENCE_FLAGS = {
    "allowNoCredit": "allowNoCredit",
    "allowDerivatives": "allowDerivatives",
    "allowDifferentLicenses": "allowDifferentLicense",
}
_NOTHING = Q(pk__in=[])


@endpoint("GET", scope="search")
def models(request: HttpRequest) -> HttpResponse:
    """List adapters."""
    parameters = QueryParameters(request)
    if parameters.has("query") and parameters.has("page"):
        raise Refused(400, _("Cannot use page param with query search. Use cursor-based paging."))
    page = paging.paging_of(parameters, default=MOST, most=MOST)
    order = SORTS[parameters.one_of("sort", SORTS, "Highest Rated")]
    query = _listing_query(request, parameters)
    found = listings_by_column.rows(request.user, query)
    place = _place(page.cursor, order) if page.cursor else None
    rows, is_more = listings_by_column.page(
        found, order, limit=page.limit, place=place, offset=page.offset
    )
    following = (
        paging.written(order, listings_by_column.place_of(order, rows[-1]), rows[-1].pk)
        if rows
        else ""
    )
    items = shapes.models(
        rows,
        origin(request),
        is_main_only=bool(parameters.flag("primaryFileOnly")),
        ratings=query.ratings,
    )
    return answer({"items": items, "metadata": page.metadata(request, following, is_more=is_more)})


@endpoint("GET")
def model(request: HttpRequest, number_text: str) -> HttpResponse:
    """Return one adapter with its versions."""
    wanted = number(number_text)
    try:
        found = by_id.adapter(request.user, wanted)
    except NotFound as error:
        raise Refused(404, f"Model not found: No model with id {wanted}") from error
    (document,) = shapes.models([found], origin(request), has_card=True)
    return answer(document)


def _place(cursor: str, order: str) -> Q:
    value, last = paging.read(cursor, order)
    try:
        return listings_by_column.after(order, value, last)
    except ValueError as error:
        raise CursorInvalid(_("Start again from the first page.")) from error


def _listing_query(request: HttpRequest, parameters: QueryParameters) -> ListingQuery:
    """Return the query for the parameters."""
    return ListingQuery(
        words=parameters.text("query"),
        tag=parameters.text("tag"),
        owner=parameters.text("username"),
        numbers=parameters.ids("ids"),
        which=tuple(_conditions(request, parameters)),
        since=parameters.since(),
        ratings=_ratings(parameters),
    )


def _ratings(parameters: QueryParameters) -> list[Maturity]:
    """Return the content ratings to list; ``browsingLevel`` takes precedence over ``nsfw``."""
    usual = Maturity.SUGGESTIVE if parameters.flag("nsfw") is False else Maturity.EXPLICIT
    mask = parameters.whole("browsingLevel", 0, 0, MAX_NUMBER)
    return ratings_in(mask) if mask else usual.up_to


def _conditions(request: HttpRequest, parameters: QueryParameters) -> Iterator[Q]:
    if types := parameters.several("types", MODEL_TYPES):
        yield of_types(types)
    if names := parameters.several("baseModels", NAMES):
        yield of_base_models(names)
    parameters.one_of("checkpointType", ("Standard", "Trained", "Merge"))  # of checkpoints only
    if True in [parameters.flag(name) for name in _NOWHERE]:
        yield _NOTHING
    if True in [parameters.flag(name) for name in ("favorites", "hidden")]:
        require_user(request.user)
        yield _NOTHING
    for name, flag in _LICENCE_FLAGS.items():
        value = parameters.flag(name)
        if value is not None:
            yield allowing(flag, value)
    for use in parameters.several("allowCommercialUse", COMMERCIAL_USES):
        yield allowing("allowCommercialUse", use)

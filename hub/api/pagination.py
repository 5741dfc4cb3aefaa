"""Lists page by page: a cursor is the key of the last row, so pages never skip or repeat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlencode

from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, inline_serializer
from rest_framework import serializers
from rest_framework.response import Response

from hub.api.base import Input
from registry.adapters.selectors import MAX_PAGE
from registry.errors import CursorInvalid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.db.models import Model, QuerySet

    from hub.api.base import Endpoint

__all__ = ["PAGING", "PageQuery", "page_of", "paged", "paging"]

M = TypeVar("M", bound="Model")

DEFAULT_PAGE = 24


class PageQuery(Input):
    """Which page."""

    cursor = serializers.CharField(default="", allow_blank=True, max_length=200)
    limit = serializers.IntegerField(default=DEFAULT_PAGE, min_value=1, max_value=MAX_PAGE)


PAGING = [
    OpenApiParameter("cursor", str, description="Of the page before: take `next` as it is."),
    OpenApiParameter("limit", int, description=f"Results a page, 1 to {MAX_PAGE}; {DEFAULT_PAGE}."),
]


def paging(name: str, kind: type[serializers.BaseSerializer[Any]]) -> serializers.Serializer[Any]:
    """Return the shape of a page, for the API document."""
    fields = {
        "results": kind(many=True),
        "next": serializers.URLField(allow_null=True, help_text="Address of the next page."),
    }
    return inline_serializer(f"{name}Page", fields)


def page_of(
    rows: QuerySet[M], *, key: str = "pk", cursor: str = "", limit: int = DEFAULT_PAGE
) -> tuple[list[M], str]:
    """Return rows in descending order of a unique number, and the next cursor ("" at the end).

    Raises:
        CursorInvalid: the cursor is no number of ours.
    """
    if cursor:
        if not cursor.isdecimal() or not cursor.isascii() or len(cursor) > 18:
            raise CursorInvalid(_("Start again from the first page."))
        rows = rows.filter(**{f"{key}__lt": int(cursor)})
    found = list(rows.order_by(f"-{key}")[: limit + 1])
    more = len(found) > limit
    return found[:limit], str(getattr(found[limit - 1], key)) if more else ""


def paged(view: Endpoint, results: Sequence[Any], cursor: str) -> Response:
    """Return a page; ``next`` keeps every other part of the query."""
    query = {**view.request.query_params.dict(), "cursor": cursor}
    place = f"{view.request.path}?{urlencode(query)}"
    following = view.request.build_absolute_uri(place) if cursor else None
    return Response({"results": results, "next": following})

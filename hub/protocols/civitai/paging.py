"""Pagination: by an opaque cursor, or by page numbers from 1.

A cursor has the order and the key of the last result, so pages never skip or repeat results.
Numbered pages reach up to ``MAX_COUNTED`` results; beyond, and with a search, only cursors work.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import orjson
from django.http import HttpRequest
from django.utils.translation import gettext as _

from hub.protocols.civitai.endpoint import Refused
from hub.protocols.civitai.query import QueryParameters
from registry.errors import CursorInvalid

MAX_COUNTED = 1000
#: Limit of page numbers for lists without a limit of their own.
MAX_PAGE_NUMBER = 10_000_000


@dataclass(frozen=True, slots=True)
class Paging:
    """A requested page; ``page`` is None with a cursor, ``cursor`` is "" on the first page."""

    limit: int
    page: int | None = None
    cursor: str = ""

    @property
    def offset(self) -> int:
        """Return the number of results before a numbered page."""
        return (self.page - 1) * self.limit if self.page else 0

    def metadata(self, request: HttpRequest, following: str, *, is_more: bool) -> dict[str, Any]:
        """Return the metadata of a list.

        Args:
            request: Its URL is used for the link to the next page.
            is_more: Whether there is a next page.
        """
        if self.page is None:
            if not is_more or not following:
                return {}
            return {"nextCursor": following, "nextPage": link(request, cursor=following)}
        place = {"currentPage": self.page, "pageSize": self.limit}
        if is_more and (self.page + 1) * self.limit <= MAX_COUNTED:
            return {**place, "nextPage": link(request, page=str(self.page + 1))}
        return place


def paging_of(parameters: QueryParameters, *, default: int, most: int) -> Paging:
    """Return the requested page; a cursor takes precedence over a page number.

    Raises:
        Invalid: limit or page is out of range.
        Refused: the page number is too large.
    """
    limit = parameters.whole("limit", default, 0, most)
    cursor = parameters.text("cursor")
    page = parameters.whole("page", 1, 1, MAX_PAGE_NUMBER)
    if cursor or not parameters.has("page"):
        return Paging(limit, None, cursor)
    if page * limit > MAX_COUNTED:
        text = _("You've requested too many pages, please use cursors instead.")
        raise Refused(429, text)
    return Paging(limit, page)


def written(order: str, value: Any, number: int) -> str:  # noqa: ANN401 - JSON
    """Return a cursor."""
    return base64.urlsafe_b64encode(orjson.dumps([order, value, number])).decode().rstrip("=")


def read(cursor: str, order: str) -> tuple[Any, int]:
    """Return value and number of the last result.

    Raises:
        CursorInvalid: the cursor is invalid, or of another order.
    """
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        read_order, value, number = orjson.loads(base64.urlsafe_b64decode(padded.encode("ascii")))
    except (ValueError, TypeError) as error:
        raise _broken() from error
    if read_order != order or not isinstance(number, int) or not 0 < number < 2**31:
        raise _broken()
    return value, number


def _broken() -> CursorInvalid:
    return CursorInvalid(
        _("This cursor does not belong to this list. Start again from the first page.")
    )


def counted(request: HttpRequest, *, page: int, size: int, total: int) -> dict[str, Any]:
    """Return the metadata of a list with numbered pages."""
    pages = -(-total // size) if size else 0
    metadata: dict[str, Any] = {
        "totalItems": total, "currentPage": page, "pageSize": size, "totalPages": pages,
    }  # fmt: skip
    if page < pages:
        metadata["nextPage"] = link(request, page=str(page + 1))
    if 1 < page <= pages + 1:
        metadata["prevPage"] = link(request, page=str(page - 1))
    return metadata


def link(request: HttpRequest, **changed: str) -> str:
    """Return the URL of another page; it keeps the query, except for the token."""
    query = request.GET.copy()
    for name in ("token", "cursor", "page"):
        query.pop(name, None)
    for name, value in changed.items():
        query[name] = value
    return request.build_absolute_uri(f"{request.path}?{query.urlencode()}")

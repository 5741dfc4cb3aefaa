"""Pages: by a cursor that nobody need understand, or counted from 1.

A cursor is the order and the key of the last result, so pages never skip or repeat. Counted pages
reach as far as ``MAX_COUNTED`` results; beyond, and with a search, there are cursors only.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
from django.utils.translation import gettext as _

from hub.protocols.civitai.door import Refused
from registry.errors import CursorInvalid

if TYPE_CHECKING:
    from django.http import HttpRequest

    from hub.protocols.civitai.asked import Asked

MAX_COUNTED = 1000
#: Counted lists without a limit of their own: as far as a number of rows may go.
MAX_PAGE = 10_000_000


@dataclass(frozen=True, slots=True)
class Paging:
    """Which page; ``page`` is None where a cursor leads, and ``cursor`` "" on the first one."""

    limit: int
    page: int | None = None
    cursor: str = ""

    @property
    def offset(self) -> int:
        """Results before it, where pages are counted."""
        return (self.page - 1) * self.limit if self.page else 0

    def told(self, request: HttpRequest, following: str, *, is_more: bool) -> dict[str, Any]:
        """Return the metadata of a list.

        Args:
            request: It is linked to with another page.
            following: The cursor of the next page.
            is_more: Whether there is one.
        """
        if self.page is None:
            if not is_more or not following:
                return {}
            return {"nextCursor": following, "nextPage": link(request, cursor=following)}
        place = {"currentPage": self.page, "pageSize": self.limit}
        if is_more and (self.page + 1) * self.limit <= MAX_COUNTED:
            return {**place, "nextPage": link(request, page=str(self.page + 1))}
        return place


def paging_of(asked: Asked, *, default: int, most: int) -> Paging:
    """Return the page that is asked for; with both, the cursor leads.

    Raises:
        Invalid: a limit or a page outside its range.
        Refused: a counted page that is too far.
    """
    limit = asked.whole("limit", default, 0, most)
    cursor = asked.text("cursor")
    page = asked.whole("page", 1, 1, MAX_PAGE)
    if cursor or not asked.has("page"):
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
        CursorInvalid: it is none of ours, or of another order.
    """
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        told, value, number = orjson.loads(base64.urlsafe_b64decode(padded.encode("ascii")))
    except (ValueError, TypeError) as error:
        raise _broken() from error
    if told != order or not isinstance(number, int) or not 0 < number < 2**31:
        raise _broken()
    return value, number


def _broken() -> CursorInvalid:
    return CursorInvalid(
        _("This cursor does not belong to this list. Start again from the first page.")
    )


def counted(request: HttpRequest, *, page: int, size: int, total: int) -> dict[str, Any]:
    """Return the metadata of a list whose results are counted."""
    pages = -(-total // size) if size else 0
    told: dict[str, Any] = {
        "totalItems": total, "currentPage": page, "pageSize": size, "totalPages": pages,
    }  # fmt: skip
    if page < pages:
        told["nextPage"] = link(request, page=str(page + 1))
    if 1 < page <= pages + 1:
        told["prevPage"] = link(request, page=str(page - 1))
    return told


def link(request: HttpRequest, **changed: str) -> str:
    """Return the address of another page: the rest of the query is kept, but for the token."""
    query = request.GET.copy()
    for name in ("token", "cursor", "page"):
        query.pop(name, None)
    for name, value in changed.items():
        query[name] = value
    return request.build_absolute_uri(f"{request.path}?{query.urlencode()}")

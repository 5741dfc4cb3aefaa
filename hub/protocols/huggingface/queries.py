"""Query strings as the clients write them, and links to the page after."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from django.utils.translation import gettext as _

from hub.protocols.huggingface.refusals import raw_path
from registry.errors import Invalid

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.request import QueryDict

__all__ = ["expanded", "is_on", "next_page", "whole"]


def is_on(query: QueryDict, name: str) -> bool:
    """Whether a switch is on: ``true`` of newer clients, ``True`` of older ones, ``1``."""
    return query.get(name, "").casefold() in {"true", "1"}


def expanded(query: QueryDict) -> set[str]:
    """Return the fields that ``expand`` names; such clients want no others."""
    names = [*query.getlist("expand"), *query.getlist("expand[]")]
    return {part for name in names for part in name.split(",") if part} - {"true", "false"}


def whole(query: QueryDict, name: str, *, default: int, most: int) -> int:
    """Return a number of things, at least 1 and at most ``most``.

    Raises:
        Invalid: it is no such number.
    """
    text = query.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) <= 9 and int(text)):
        raise Invalid(_("“%(name)s” is a number from 1 on.") % {"name": name}, fields={name: []})
    return min(int(text), most)


def next_page(request: HttpRequest, cursor: str) -> dict[str, str]:
    """Return the ``Link`` header to the page after, {} at the end; it keeps the whole query."""
    if not cursor:
        return {}
    query = request.GET.copy()
    query["cursor"] = cursor
    place = f"{request.build_absolute_uri(raw_path(request))}?{urlencode(list(_pairs(query)))}"
    return {"Link": f'<{place}>; rel="next"'}


def _pairs(query: QueryDict) -> list[tuple[str, str]]:
    return [(name, value) for name, values in query.lists() for value in values]

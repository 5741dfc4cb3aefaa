"""Parsing of input: query strings, JSON with any content type, and raw streams."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.http.request import QueryDict
from django.utils.translation import gettext as _

from hub.http.errors import Malformed
from hub.http.limits import require_length
from hub.protocols.huggingface.refusals import raw_path
from registry.errors import Forbidden, Invalid


def is_on(query: QueryDict, name: str) -> bool:
    """Whether a flag is set: ``true`` of newer clients, ``True`` of older ones, or ``1``."""
    return query.get(name, "").casefold() in {"true", "1"}


def expanded(query: QueryDict) -> set[str]:
    """Return the fields in ``expand``; clients that send it want no others."""
    names = [*query.getlist("expand"), *query.getlist("expand[]")]
    return {part for name in names for part in name.split(",") if part} - {"true", "false"}


def whole(query: QueryDict, name: str, *, default: int, most: int) -> int:
    """Return a number from 1 to ``most``.

    Raises:
        Invalid: it is not a number, or is 0.
    """
    text = query.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) <= 9 and int(text)):
        raise Invalid(
            _("“%(name)s” must be a number of at least 1.") % {"name": name}, fields={name: []}
        )
    return min(int(text), most)


def next_page(request: HttpRequest, cursor: str) -> dict[str, str]:
    """Return the ``Link`` header to the next page with the same query, {} on the last page."""
    if not cursor:
        return {}
    query = request.GET.copy()
    query["cursor"] = cursor
    place = f"{request.build_absolute_uri(raw_path(request))}?{urlencode(list(_pairs(query)))}"
    return {"Link": f'<{place}>; rel="next"'}


def _pairs(query: QueryDict) -> list[tuple[str, str]]:
    return [(name, value) for name, values in query.lists() for value in values]


def json_of(request: HttpRequest) -> dict[str, Any]:
    """Return the JSON object of a body of at most ``DATA_UPLOAD_MAX_MEMORY_SIZE`` bytes.

    Raises:
        Malformed: the body is not a JSON object.
    """
    try:
        document = json.loads(request.body)
    except (ValueError, RecursionError) as error:
        raise Malformed(_("The body is not JSON.")) from error
    if not isinstance(document, dict):
        raise Malformed(_("The body is not a JSON object."))
    return document


def text_of(document: dict[str, Any], name: str, default: str | None = None) -> str:
    """Return a text of a document, the default if it is missing or null.

    Raises:
        Invalid: it is not a text, or missing without a default.
    """
    value = document.get(name)
    value = default if value is None else value
    if not isinstance(value, str) or "\0" in value or not _is_text(value):
        raise Invalid(_("“%(name)s” must be text.") % {"name": name}, fields={name: [""]})
    return value


def _is_text(value: str) -> bool:
    """Whether a value is a text without lone surrogates, which JSON allows and UTF-8 does not."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def refuse_pull_request(request: HttpRequest) -> None:
    """Refuse pull requests.

    Raises:
        Forbidden: ``create_pr`` is set.
    """
    if is_on(request.GET, "create_pr"):
        raise Forbidden(
            _("This hub has no pull requests. Push without create_pr, or to a branch of your own.")
        )


def stream_of(request: HttpRequest, *, expected: int | None = None, limit: int) -> HttpRequest:
    """Return the body as a stream; see ``require_length`` for its arguments and errors."""
    require_length(request, expected=expected, limit=limit)
    return request

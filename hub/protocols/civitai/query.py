"""Parsing of query strings: values are validated, unknown parameters ignored.

Source: Civitai's API v1. Lists come as ``types=LORA&types=LoCon`` or ``types=LORA,LoCon``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _

from registry.errors import Invalid

#: Ids are positive 32-bit integers.
MAX_NUMBER = 2**31 - 1
#: Maximum length of a value, and of a list.
MAX_CHARS, MAX_VALUES = 400, 200

PERIODS: Mapping[str, timedelta | None] = {
    "AllTime": None,
    "Year": timedelta(days=365),
    "Month": timedelta(days=30),
    "Week": timedelta(days=7),
    "Day": timedelta(days=1),
}

_WHOLE = re.compile(r"[0-9]{1,12}\Z")
_FLAGS = {"true": True, "1": True, "false": False, "0": False}


def number(text: str, name: str = "id") -> int:
    """Return an id.

    Raises:
        Invalid: it is not an id.
    """
    return _within(text, name, 1, MAX_NUMBER)


class QueryParameters:
    """The query parameters of a request."""

    def __init__(self, request: HttpRequest) -> None:
        self._query = request.GET

    def has(self, name: str) -> bool:
        """Whether a parameter has a value."""
        return bool(self.text(name))

    def text(self, name: str) -> str:
        """Return a text, "" if it is missing. Raises Invalid: it is too long or has a NUL."""
        return _sound(name, self._query.get(name, ""))

    def whole(self, name: str, default: int, least: int, most: int) -> int:
        """Return a number.

        Raises:
            Invalid: it is not a number, or out of range.
        """
        text = self.text(name)
        return _within(text, name, least, most) if text else default

    def id(self, name: str) -> int | None:
        """Return an id, None if it is missing."""
        text = self.text(name)
        return number(text, name) if text else None

    def flag(self, name: str) -> bool | None:
        """Return a boolean, None if it is missing.

        Raises:
            Invalid: it is neither ``true`` nor ``false``.
        """
        text = self.text(name).casefold()
        if not text:
            return None
        if text not in _FLAGS:
            raise Invalid(_("“%(name)s” must be true or false.") % {"name": name})
        return _FLAGS[text]

    def one_of(self, name: str, choices: Collection[str], default: str = "") -> str:
        """Return one of the choices, ignoring case.

        Raises:
            Invalid: it is none of them.
        """
        text = self.text(name)
        return _known(name, text, choices) if text else default

    def several(self, name: str, choices: Collection[str]) -> list[str]:
        """Return a list of choices, [] if it is missing.

        Raises:
            Invalid: one of them is unknown.
        """
        return [_known(name, text, choices) for text in self._list(name)]

    def ids(self, name: str) -> list[int] | None:
        """Return ids, None if they are missing.

        Raises:
            Invalid: one is not an id.
        """
        found = [number(text, name) for text in self._list(name)]
        return found or None

    def since(self, name: str = "period") -> datetime | None:
        """Return the start of a period, None for all time."""
        length = PERIODS[self.one_of(name, PERIODS, "AllTime")]
        return timezone.now() - length if length is not None else None

    def _list(self, name: str) -> list[str]:
        parts = [part.strip() for text in self._query.getlist(name) for part in text.split(",")]
        found = [_sound(name, part) for part in parts if part]
        if len(found) > MAX_VALUES:
            text = _("“%(name)s” can have at most %(n)d values.")
            raise Invalid(text % {"name": name, "n": MAX_VALUES})
        return found


def _sound(name: str, text: str) -> str:
    text = text.strip()
    if len(text) > MAX_CHARS or "\0" in text:
        limit = {"name": name, "n": MAX_CHARS}
        raise Invalid(_("“%(name)s” can have at most %(n)d characters, and no NUL.") % limit)
    return text


def _within(text: str, name: str, least: int, most: int) -> int:
    value = int(text) if text.isascii() and _WHOLE.match(text) else -1
    if not least <= value <= most:
        limits = {"name": name, "least": least, "most": most}
        raise Invalid(_("“%(name)s” must be a whole number from %(least)d to %(most)d.") % limits)
    return value


def _known(name: str, text: str, choices: Collection[str]) -> str:
    for choice in choices:
        if choice.casefold() == text.casefold():
            return choice
    values = {"name": name, "all": ", ".join(choices)}
    raise Invalid(_("“%(name)s” must be one of: %(all)s.") % values)

"""Typed reading of ``LORARY_*`` environment variables.

An invalid value stops the start with a message that has the variable's name, the value and the
accepted values. Nothing is guessed: ``LORARY_DEBUG=maybe`` is an error, not false.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.core.exceptions import ImproperlyConfigured

PREFIX = "LORARY_"
TRUE = frozenset({"1", "true", "yes", "on"})
FALSE = frozenset({"0", "false", "no", "off"})
UNITS = {
    "": 1, "b": 1,
    "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
}  # fmt: skip
SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)", re.IGNORECASE)


def parse_size(text: str) -> int:
    """Return the number of bytes of ``20GiB``, ``512 MB``, ``1.5g`` or ``1048576``.

    Raises:
        ValueError: The text is not a size, or its unit is unknown.
    """
    match = SIZE.fullmatch(text.strip())
    if match is None or match[2].lower() not in UNITS:
        message = f"{text!r} is not a size such as 20GiB, 500MB or 1048576"
        raise ValueError(message)
    return int(float(match[1]) * UNITS[match[2].lower()])


class Env:
    """Typed access to the environment variables of a process.

    Attributes:
        known: Names read so far, without prefix; other variables with the prefix are typos.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.known: set[str] = set()

    def text(self, name: str, default: str = "") -> str:
        """Return the variable, or the default if it is unset or empty."""
        self.known.add(name)
        return self._environ.get(PREFIX + name, "").strip() or default

    def secret(self, name: str) -> str:
        """Return ``NAME``, or the content of the file that ``NAME_FILE`` points to."""
        value, path = self.text(name), self.text(f"{name}_FILE")
        if value and path:
            raise _bad(name, "both it and its _FILE form are set", "set one of them")
        if not path:
            return value
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise _bad(name, f"its _FILE form fails: {error}", "name a readable file") from error

    def choice(self, name: str, default: str, choices: Iterable[str]) -> str:
        """Return one of the choices; case does not matter."""
        value = self.text(name, default)
        for choice in choices:
            if choice.lower() == value.lower():
                return choice
        raise _bad(name, f"{value!r} is not supported", f"use one of {', '.join(choices)}")

    def time_zone(self, name: str) -> str:
        """Return the name of a time zone."""
        value = self.text(name, "UTC")
        try:
            return ZoneInfo(value).key
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            hint = "use a name such as UTC or Europe/Paris"
            raise _bad(name, f"{value!r} is not a time zone", hint) from error

    def flag(self, name: str, *, default: bool) -> bool:
        """Return a boolean; see ``TRUE`` and ``FALSE``."""
        value = self.text(name).lower()
        if not value:
            return default
        if value not in TRUE | FALSE:
            raise _bad(name, f"{value!r} is neither yes nor no", "use one of 1 0 true false")
        return value in TRUE

    def integer(self, name: str, default: int) -> int:
        """Return a whole number."""
        value = self.text(name)
        try:
            return int(value) if value else default
        except ValueError as error:
            raise _bad(name, f"{value!r} is not a whole number", "use digits only") from error

    def size(self, name: str, default: str) -> int:
        """Return a number of bytes."""
        try:
            return parse_size(self.text(name, default))
        except ValueError as error:
            raise _bad(name, str(error), "use a size such as 20GiB") from error

    def limit(self, name: str, default: str) -> int:
        """Return a number of bytes; 0 means no limit, and so does ``none``."""
        return 0 if self.text(name, default).lower() == "none" else self.size(name, default)

    def path(self, name: str, default: Path) -> Path:
        """Return an absolute path; a relative one is resolved in the working directory."""
        value = self.text(name)
        return Path(value).expanduser().absolute() if value else default

    def names(self, name: str) -> tuple[str, ...]:
        """Return the items of a comma-separated list."""
        return tuple(part.strip() for part in self.text(name).split(",") if part.strip())

    def unknown(self, *, besides: frozenset[str] = frozenset()) -> list[str]:
        """Return the variables with the prefix that no setting reads."""
        names = (key.removeprefix(PREFIX) for key in self._environ if key.startswith(PREFIX))
        return sorted(name for name in names if name not in self.known | besides)


def _bad(name: str, found: str, hint: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(f"{PREFIX}{name}: {found}; {hint}")

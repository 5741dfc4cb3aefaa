"""What the README.md of a push states; the hub reads the values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lorary.client.cards import read_text

CARD = "README.md"
MOST_CARD_BYTES = 1024 * 1024  # that a hub reads
_FENCE = "---"
_KEY = re.compile(r"([a-z_]{1,64})[ \t]{0,8}:[ \t]{0,64}(\S?)")


@dataclass(frozen=True, slots=True)
class Card:
    """A README.md.

    Attributes:
        keys: Keys of its front matter that have a value.
    """

    path: Path
    keys: frozenset[str]

    @property
    def has_licence(self) -> bool:
        """Whether it states a licence."""
        return not self.keys.isdisjoint({"license", "license_name"})


def read_card(place: Path) -> Card | None:
    """Read a README.md; return None if there is none that a hub can read."""
    try:
        if not place.is_file() or place.stat().st_size > MOST_CARD_BYTES:
            return None
        text = read_text(place)
    except (OSError, ValueError):
        return None
    return Card(place, frozenset(_keys(text.splitlines())))


def states_licence(places: Iterable[Path]) -> bool:
    """Return whether a README.md among files states a licence."""
    cards = (read_card(place) for place in places if place.name == CARD)
    return any(card is not None and card.has_licence for card in cards)


def _keys(lines: Sequence[str]) -> Iterable[str]:
    """Yield the top-level keys of a front matter that have a value; the hub reads the values."""
    if not lines or lines[0].rstrip() != _FENCE or _FENCE not in map(str.rstrip, lines[1:]):
        return
    for line, following in zip(lines[1:], [*lines[2:], ""], strict=True):
        if line.rstrip() == _FENCE:
            return
        match = _KEY.match(line)
        if match and (match[2] or following.lstrip() != following or following[:1] == "-"):
            yield match[1]

"""The state of the mixer: what its URL and its form contain, and the stacks that follow from it.

```
layer=owner/name@v1 …   the rows, in order; strength=… and b=… have a value for each
mute=… mute_b=…         names of rows that a mix leaves out
mode                    "" one mix · "ab" two mixes, A and B · "xy" a grid of two strengths
x y xs ys               names of the rows on the axes, and their strengths ("0.3 0.6 0.9")
q, FIELDS               the search, and the settings of the picture
```

Values stay texts until they are rendered, so that a form with an error shows what was typed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import product, zip_longest
from urllib.parse import urlencode

#: Settings of the picture.
FIELDS = (
    "prompt", "template", "negative", "seed", "width", "height", "steps", "guidance", "plain",
    "compare",
)  # fmt: skip
#: Those that can be long.
TEXTS = ("prompt", "template", "negative")
#: Longest query string of an address: the server refuses request lines of more than 4,094 bytes,
#: and the page for signing in has the query encoded once more.
MAX_QUERY = 2000
AB, GRID = "ab", "xy"
#: Value of ``y`` for a grid with one axis.
NO_AXIS = "-"
#: Strengths on an axis.
MAX_AXIS = 3
#: Largest size of a strength.
MAX_STRENGTH = 2.0
#: The strength budget: the sizes of the strengths with which a stack of several adapters starts
#: add up to at most this. Three styles at full strength leave nothing of the subject.
BUDGET = 1.2
#: Limits that are applied before any look-up.
MOST_ROWS = 6
_MOST_CHARACTERS = 200

Data = Mapping[str, Sequence[str]]
#: Names with strengths, in order.
Stack = list[tuple[str, float]]


class Fault(StrEnum):
    """Why a mix cannot be rendered."""

    STRENGTH = "strength"  # one is not a number
    AXIS = "axis"  # the strengths of an axis are not one to three different numbers
    EMPTY = "empty"  # there are no rows, or all of a mix are muted
    SAME = "same"  # A and B are equal


class MixInvalid(ValueError):
    """A mix cannot be rendered."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault)
        self.fault = fault


@dataclass(frozen=True, slots=True)
class MixRow:
    """An adapter of the mix, with its strengths in A and B; an empty one is the default."""

    name: str
    strength: str = ""
    b: str = ""
    is_muted: bool = False
    is_muted_in_b: bool = False

    @property
    def strength_in_b(self) -> str:
        """Its strength in B, as in A unless it was set."""
        return self.b or self.strength


@dataclass(frozen=True, slots=True)
class Mix:
    """The state of the mixer."""

    rows: tuple[MixRow, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)
    mode: str = ""
    x: str = ""
    y: str = ""
    xs: str = ""
    ys: str = ""
    q: str = ""

    @property
    def names(self) -> list[str]:
        """The names of the rows."""
        return [row.name for row in self.rows]

    @property
    def query(self) -> str:
        """The state as a query string."""
        pairs = [("layer", name) for name in self.names]
        pairs += [("strength", row.strength) for row in self.rows]
        pairs += [("mute", row.name) for row in self.rows if row.is_muted]
        if self.mode == AB:
            has_own = any(row.b for row in self.rows)
            pairs += [("b", row.b) for row in self.rows if has_own]
            pairs += [("mute_b", row.name) for row in self.rows if row.is_muted_in_b]
        axes = ("x", "y", "xs", "ys") if self.mode == GRID else ()
        rest = {name: getattr(self, name) for name in ("mode", *axes, "q")}
        rest |= {name: self.fields.get(name, "") for name in FIELDS}
        return urlencode([*pairs, *((name, value) for name, value in rest.items() if value)])

    @property
    def is_long(self) -> bool:
        """Whether it is too long for an address."""
        return len(self.query) > MAX_QUERY

    @property
    def address(self) -> str:
        """The state as the query string of an address: without its texts if it is too long."""
        if not self.is_long:
            return self.query
        rest = {name: text for name, text in self.fields.items() if name not in TEXTS}
        return replace(self, fields=rest).query

    def changed_by(self, do: Data) -> Mix:
        """Return the mix after a button: ``add``, ``drop`` or move a row ``up`` or ``down``.

        Adding clears the search.
        """
        rows = list(self.rows)
        if (drop := _index(do, "drop", len(rows))) is not None:
            del rows[drop]
        if up := _index(do, "up", len(rows)):
            rows.insert(up - 1, rows.pop(up))
        if (down := _index(do, "down", len(rows))) is not None:
            rows.insert(down + 1, rows.pop(down))
        added = [one for one in map(cleaned, do.get("add", ())[:MOST_ROWS]) if one]
        rows += [MixRow(name) for name in dict.fromkeys(added) if name not in self.names]
        return replace(self, rows=tuple(rows), q="" if added else self.q)

    def balanced(self, dials: Mapping[str, float], before: Sequence[str] = ()) -> Mix:
        """Return the mix with the default strengths, where nobody chose others.

        Args:
            dials: The recommended strength of each row and of each name in ``before``.
            before: The names of the rows before a change; their default strengths are replaced.
        """
        old, new = (_defaults(names, dials) for names in (before, self.names))

        def balance(text: str, name: str) -> str:
            return new[name] if text in ("", old.get(name)) else text

        rows = (
            replace(
                row,
                strength=balance(row.strength, row.name),
                b=row.b and balance(row.b, row.name),
            )
            for row in self.rows
        )
        return replace(self, rows=tuple(rows))

    def without_muted(self) -> Mix:
        """Return the mix without the rows that it does not render."""
        axes = self.axes if self.mode == GRID else ()
        used = (
            row
            for row in self.rows
            if not row.is_muted or row.name in axes or (self.mode == AB and not row.is_muted_in_b)
        )
        return replace(self, rows=tuple(used))

    @property
    def axes(self) -> tuple[str, ...]:
        """The names of the rows on the axes, by default the first two; a row has one axis."""
        x = self.x if self.x in self.names else next(iter(self.names), "")
        others = [name for name in self.names if name != x]
        y = self.y if self.y in others or self.y == NO_AXIS else next(iter(others), "")
        return tuple(name for name in (x, y) if name and name != NO_AXIS)

    def axis(self, index: int) -> list[float]:
        """Return the strengths of an axis; by default half, all and one and a half of the row's.

        Raises:
            MixInvalid: they are not one to three different numbers.
        """
        text = (self.xs, self.ys)[index]
        if not text.strip():
            row = next(row for row in self.rows if row.name == self.axes[index])
            return _around(number(row.strength))
        parts = [one for one in re.split(r"[\s,;]+", text.strip()) if one]
        values = [number(one, Fault.AXIS) for one in parts[: MAX_AXIS + 1]]
        if not 1 <= len(set(values)) == len(values) <= MAX_AXIS:
            raise MixInvalid(Fault.AXIS)
        return values

    def stacks(self) -> list[Stack]:
        """Return the stacks to render: one, A and B, or the cells of the grid row by row.

        Raises:
            MixInvalid: there is nothing to render, or a value is not valid.
        """
        found = self._cells() if self.mode == GRID else self.sides()
        if not found or not all(found):
            raise MixInvalid(Fault.EMPTY)
        if self.mode == AB and found[0] == found[1]:
            raise MixInvalid(Fault.SAME)
        return found

    def sides(self) -> list[Stack]:
        """Return the stack of A, and that of B if they are compared.

        Raises:
            MixInvalid: a strength is not a number.
        """
        return [self._stack(), self._stack(is_b=True)] if self.mode == AB else [self._stack()]

    def _stack(self, *, is_b: bool = False) -> Stack:
        if is_b:
            rows = [(row.name, row.strength_in_b) for row in self.rows if not row.is_muted_in_b]
        else:
            rows = [(row.name, row.strength) for row in self.rows if not row.is_muted]
        return [(name, number(text)) for name, text in rows]

    def _cells(self) -> list[Stack]:
        axes = self.axes
        used = [row for row in self.rows if not row.is_muted or row.name in axes]
        base = {row.name: 0.0 if row.name in axes else number(row.strength) for row in used}
        values = [self.axis(index) for index in range(len(axes))]
        # The first axis changes fastest: a row of the grid has one strength of the second.
        places = product(*reversed(values)) if axes else ()
        return [
            list({**base, **dict(zip(axes, reversed(place), strict=True))}.items())
            for place in places
        ]


def parse(data: Data) -> Mix:
    """Return the state of a form or a URL."""
    names = [cleaned(name) for name in data.get("layer", ())[:MOST_ROWS]]
    texts = zip_longest(
        names,
        *(data.get(name, ())[: len(names)] for name in ("strength", "b")),
        fillvalue="",
    )
    muted, muted_in_b = (set(map(cleaned, data.get(name, ()))) for name in ("mute", "mute_b"))
    rows = {
        name: MixRow(name, cleaned(strength), cleaned(b), name in muted, name in muted_in_b)
        for name, strength, b in texts
        if name
    }
    one = {name: cleaned(_last(data, name)) for name in ("mode", "x", "y", "xs", "ys", "q")}
    if one["mode"] not in {AB, GRID}:
        one["mode"] = ""
    return Mix(tuple(rows.values()), {name: _last(data, name) for name in FIELDS}, **one)


def cleaned(text: str) -> str:
    """Return a short text without NUL, which PostgreSQL cannot search for."""
    return text.replace("\0", "")[:_MOST_CHARACTERS].strip()


def number(text: str, fault: Fault = Fault.STRENGTH) -> float:
    """Return a number; a comma may be its decimal point. Raises MixInvalid: it is none."""
    try:
        value = float(text.replace(",", "."))
    except ValueError as error:
        raise MixInvalid(fault) from error
    if not math.isfinite(value):
        raise MixInvalid(fault)
    return value


def written(value: float) -> str:
    """Return a strength as it is typed, with at most the four decimal places of a manifest."""
    text = f"{value:.4f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def within_budget(dials: Iterable[float]) -> list[float]:
    """Return strengths in the same proportions whose sizes add up to at most ``BUDGET``.

    One strength alone stays as it is.
    """
    dials = list(dials)
    total = sum(map(abs, dials))
    share = BUDGET / total if len(dials) > 1 and total > BUDGET else 1.0
    return [math.trunc(round(dial * share * 100, 6)) / 100 for dial in dials]


def _defaults(names: Sequence[str], dials: Mapping[str, float]) -> dict[str, str]:
    values = within_budget(dials[name] for name in names)
    return dict(zip(names, map(written, values), strict=True))


def _around(value: float) -> list[float]:
    wanted = [value * share for share in (0.5, 1, 1.5)] if value else [0, 0.5, 1]
    values = (max(-MAX_STRENGTH, min(MAX_STRENGTH, round(one, 2))) for one in wanted)
    return list(dict.fromkeys(values))


def _last(data: Data, name: str) -> str:
    return next(reversed(data.get(name, [""])), "")


def _index(do: Data, name: str, count: int) -> int | None:
    """Return the row that a button names; ``int`` refuses very long texts."""
    text = _last(do, name)
    is_whole = text.isascii() and text.isdecimal() and len(text) <= 3
    return int(text) if is_whole and int(text) < count else None

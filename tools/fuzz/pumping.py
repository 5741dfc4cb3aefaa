"""Texts that are made to be hard for one regular expression: its own parts, over and over."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from random import Random

#: What ``re`` calls the parts of a pattern; typeshed does not know them.
ops: Any = import_module("re._constants")

_REPEATS = {ops.MAX_REPEAT, ops.MIN_REPEAT, ops.POSSESSIVE_REPEAT}
_POOL = "abcxyzAZ019_-./\\:@=,;'\"()[]{}<>|!?&%#~+*$ \t\n\u00e9\u202e\U0001f600"
_JOINTS = ("", "", " ", "\n", "/", ",", '"', "-")
_ENDS = ("", "", "!", "\n", '"', "\x00")


def pumped(random: Random, tree: Any, size: int) -> str:
    """Return about ``size`` characters of which a pattern matches much, and often not all.

    Args:
        random: Where choices come from.
        tree: The pattern, as ``re`` parses it.
        size: Length in characters.
    """
    writer = _Writer(random)
    writer.write(tree)
    whole = writer.text or "a"
    prefix, unit = random.choice(writer.pumps or [("", whole)])
    unit = unit or whole
    joint, kind = random.choice(_JOINTS), random.randrange(4)
    if kind == 0:
        text = prefix + unit * (size // len(unit))
    elif kind == 1:
        piece = prefix + unit * random.choice((1, 2, 8, 40, 300)) + joint
        text = piece * (size // len(piece))
    elif kind == 2:
        piece = prefix + joint or unit
        text = piece * (size // len(piece))
    else:
        text = (whole + joint) * (size // len(whole + joint))
    return text[:size] + random.choice(_ENDS)


class _Writer:
    """Writes one text that a pattern fits, and notes what stands before each repetition."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.text = ""
        self.pumps: list[tuple[str, str]] = []

    def write(self, tree: Any) -> None:
        """Append what fits the items of a pattern."""
        for kind, value in tree:
            if kind in _REPEATS:
                self._repeat(*value)
            elif kind is ops.SUBPATTERN:
                self.write(value[-1])
            elif kind is ops.ATOMIC_GROUP:
                self.write(value)
            elif kind is ops.BRANCH:
                self.write(self.random.choice(value[1]))
            elif kind is ops.ASSERT:
                self._look(*value)
            else:
                self.text += self._char(kind, value)

    def _repeat(self, least: int, most: int, inner: Any) -> None:
        before = self.text
        self.write(inner)
        unit = self.text[len(before) :]
        self.pumps.append((before, unit))
        count = min(most, max(least, self.random.choice((0, 1, 2))))
        self.text = before + unit * min(count, 2_000)

    def _look(self, direction: int, inner: Any) -> None:
        """Put there what is looked for, behind; what is looked for ahead comes at times."""
        other = _Writer(self.random)
        other.write(inner)
        if direction > 0:
            self.text += other.text if self.random.random() < 0.5 else ""
        elif other.text.endswith(self.text):
            self.text = other.text
        elif not self.text.endswith(other.text):
            self.text += other.text

    def _char(self, kind: Any, value: Any) -> str:
        if kind is ops.LITERAL:
            return chr(value)
        if kind is ops.NOT_LITERAL:
            return self.random.choice([char for char in _POOL if ord(char) != value])
        if kind is ops.ANY:
            return self.random.choice("aA0_ ./")
        return self._member(value) if kind is ops.IN else ""

    def _member(self, members: Any) -> str:
        is_negated = members[0][0] is ops.NEGATE
        if not is_negated:
            kind, value = self.random.choice(members)
            if kind is ops.LITERAL:
                return chr(value)
            if kind is ops.RANGE:
                return chr(self.random.choice(value))
        fitting = [char for char in _POOL if _is_in(char, members) != is_negated]
        return self.random.choice(fitting or ["a"])


def _is_in(char: str, members: Any) -> bool:
    return any(_fits(char, kind, value) for kind, value in members if kind is not ops.NEGATE)


def _fits(char: str, kind: Any, value: Any) -> bool:
    if kind is ops.LITERAL:
        return bool(ord(char) == value)
    if kind is ops.RANGE:
        return bool(value[0] <= ord(char) <= value[1])
    tests = {
        ops.CATEGORY_DIGIT: char.isdigit(),
        ops.CATEGORY_NOT_DIGIT: not char.isdigit(),
        ops.CATEGORY_SPACE: char.isspace(),
        ops.CATEGORY_NOT_SPACE: not char.isspace(),
        ops.CATEGORY_WORD: char.isalnum() or char == "_",
        ops.CATEGORY_NOT_WORD: not (char.isalnum() or char == "_"),
    }
    return bool(tests.get(value))

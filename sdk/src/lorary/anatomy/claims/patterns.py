r"""Matches PEFT's patterns of module names in bounded time.

PEFT matches a pattern as the regular expression `(.*\.)?(<pattern>)$` against a module's name.
Patterns come from untrusted files, so those that could take long are not used: they match nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from lorary.anatomy.claims.metadata import number

_MOST_PATTERNS = 20_000
_MOST_EXPRESSIONS = 8
_PATTERN_CHARS = 500
_NAME_CHARS = 200
_LITERAL = re.compile(r"[\w.-]+")
_ATOM = re.compile(r"\\.|\[[^\]]{1,100}\]")
_LEADING = re.compile(r"\^?\.[*+]")
_RISKY = re.compile(r"\)[*+?]|\(\?[^:]|[*+?]{2}|\{")


@lru_cache(maxsize=256)
def compile_safe(pattern: str) -> re.Pattern[str] | None:
    """Compile an expression for `fullmatch`, or return None if it is invalid or could take long.

    Accepted are expressions without counted repeats, look-around and quantified groups, with at
    most two groups or alternatives, two `?`, and one `*` or `+` besides one at the beginning. They
    take at most quadratic time in the length of the name.
    """
    if len(pattern) > _PATTERN_CHARS:
        return None
    bare = _ATOM.sub("x", pattern)
    found = _LEADING.match(bare)
    rest = (bare[found.end() :] if found else bare).replace("(?:", "(")
    repeats = rest.count("*") + rest.count("+")
    groups = rest.count("(") if "|" in rest else 0
    if _RISKY.search(bare) or repeats > 1 or rest.count("?") > 2 or groups > 2:
        return None
    try:
        return re.compile(pattern)
    except (re.error, RecursionError, OverflowError):
        return None


@dataclass(frozen=True, slots=True)
class Patterns:
    """Numbers by pattern; the first pattern in the file that matches a name counts.

    Attributes:
        endings: Plain name to position and number; matches names that end with it.
        names: The same for patterns with `^`, which match a whole name.
        expressions: Position, number and compiled form of all other patterns.
    """

    endings: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    names: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    expressions: tuple[tuple[int, float, re.Pattern[str]], ...] = ()

    @classmethod
    def of(cls, raw: object) -> Patterns:
        """Return the patterns of a parsed JSON object, without those that are invalid."""
        endings: dict[str, tuple[int, float]] = {}
        names: dict[str, tuple[int, float]] = {}
        expressions: list[tuple[int, float, re.Pattern[str]]] = []
        pairs = list(raw.items())[:_MOST_PATTERNS] if isinstance(raw, dict) else []
        for position, (pattern, value) in enumerate(pairs):
            found = None if isinstance(value, str) else number(value)
            if found is None:
                continue
            bare = pattern.replace("\\.", ".").removesuffix("$")
            if _LITERAL.fullmatch(bare):
                endings[bare] = (position, found)
            elif bare.startswith("^") and _LITERAL.fullmatch(bare[1:]):
                names[bare[1:]] = (position, found)
            elif len(expressions) < _MOST_EXPRESSIONS:
                prefix = "" if _LEADING.match(pattern) or pattern.startswith("^") else r"(?:.*\.)?"
                if compile_safe(pattern) is not None:
                    expressions.append((position, found, re.compile(f"{prefix}(?:{pattern})")))
        return cls(endings, names, tuple(expressions))

    def __bool__(self) -> bool:
        return bool(self.endings or self.names or self.expressions)

    def find(self, name: str) -> float | None:
        """Return the number of the first pattern that matches a dotted module name."""
        matches = [self.names[name]] if name in self.names else []
        if self.endings:
            ending = name
            while ending:
                if ending in self.endings:
                    matches.append(self.endings[ending])
                ending = ending.partition(".")[2]
        if len(name) <= _NAME_CHARS:
            matches += [(at, value) for at, value, form in self.expressions if form.fullmatch(name)]
        return min(matches)[1] if matches else None

    def to_dict(self) -> dict[str, float]:
        """Return pattern to number, in the file's order; expressions in their compiled form."""
        found = [(*entry, text) for text, entry in self.endings.items()]
        found += [(*entry, f"^{text}") for text, entry in self.names.items()]
        found += [(position, value, form.pattern) for position, value, form in self.expressions]
        return {text: value for _, value, text in sorted(found)}

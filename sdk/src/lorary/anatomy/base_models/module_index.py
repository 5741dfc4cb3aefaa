"""Index of module names to the weights that the tables have under them.

Names are stored as patterns, because a model repeats its blocks:

    double_blocks.{0-18}.{img,txt}_attn.qkv     a template of a table
    double_blocks.#.img_attn.qkv                one of its two patterns, with the numbers 0 to 18

So a table of a thousand modules is a few dozen rows, which are fast to build.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

_GROUP = re.compile(r"\{([^}]{0,512})\}")
_RANGE = re.compile(r"(\d{1,9})-(\d{1,9})")
_NUMBERS = re.compile(r"\d{1,9}(?:-\d{1,9})?(?:,\d{1,9}(?:-\d{1,9})?){0,512}")
# A number between separators. Its length is limited because names in files are untrusted.
_NUMBER = re.compile(r"(?<![^._])(0|[1-9][0-9]{0,4})(?![^._])")
_SLOT = re.compile(r"(?<![^._])(?:<[^>]{0,512}>|0|[1-9][0-9]{0,4})(?![^._])")
# Nested stacks of blocks: `down_blocks.#.attentions.#.transformer_blocks.#.`
_BLOCKS = re.compile(
    r"(?:\w{0,512}(?:blocks|layers|attentions|resnets)\.#\.(?:#\.)?|(?:mid|middle)_block\.(?:#\.)?)"
    r"{0,256}"
)


class Row(NamedTuple):
    """Weights of one shape that a table has under one pattern."""

    owner: str  # family id (or encoder id in the encoders' index)
    naming: str  # naming of the base model, such as `diffusers`
    pattern: str  # dotted name with `#` for each number
    numbers: tuple[frozenset[str], ...]  # for each `#`, the numbers that may replace it
    shape: tuple[int, ...]  # shape of the weight, `(out, in, *kernel)`
    fan_in: int  # columns of the flattened weight

    @property
    def size(self) -> int:
        """Number of modules in the row."""
        return math.prod(map(len, self.numbers))

    @property
    def target(self) -> str:
        """Name inside the innermost block, as in a trainer's list of targets."""
        return _target(self.pattern, self.numbers)

    def names(self) -> Iterator[str]:
        """Yield the dotted names of its modules."""
        ordered = (sorted(numbers, key=int) for numbers in self.numbers)
        return (fill(self.pattern, choice) for choice in itertools.product(*ordered))

    def minus(self, other: Row) -> Iterator[Row]:
        """Yield rows for the names that the other row doesn't have."""
        if self.pattern != other.pattern:
            yield self
            return
        rest = list(self.numbers)
        for slot, theirs in enumerate(other.numbers):
            apart = rest[slot] - theirs
            if apart:
                yield self._replace(numbers=(*rest[:slot], apart, *rest[slot + 1 :]))
            rest[slot] &= theirs
            if not rest[slot]:
                return


@lru_cache(maxsize=16_384)
def _target(pattern: str, numbers: tuple[frozenset[str], ...]) -> str:
    """Cached, because every file asks for those of its family. The tables limit their number."""
    found = _BLOCKS.match(pattern)
    inner = pattern[found.end() :] if found else pattern
    slots = numbers[pattern.count("#") - inner.count("#") :]
    return fill(inner, ["#" if len(slot) > 1 else next(iter(slot)) for slot in slots])


class Weights:
    """Rows that have the same names: the entry of the tables for one pattern and its numbers.

    Modules of a file share these objects, so that they can be counted by object, not by name.

    Attributes:
        rows: The rows.
        pattern: Dotted pattern of the first row.
        naming: Naming of the first row.
        owners: Bits of the owners of all rows.
        has_one_pattern: All rows have the same dotted pattern.
    """

    __slots__ = (
        "_bits", "_by_owner", "_fitting", "has_one_pattern", "naming", "owners", "pattern", "rows"
    )  # fmt: skip

    def __init__(self, rows: Sequence[Row], bits: Mapping[str, int]) -> None:
        self.rows = tuple(rows)
        self.pattern = rows[0].pattern
        self.naming = rows[0].naming
        self.has_one_pattern = all(row.pattern == self.pattern for row in rows)
        self.owners = 0
        self._bits = bits
        self._by_owner: dict[str, list[Row]] = {}
        for row in rows:
            self.owners |= bits[row.owner]
            self._by_owner.setdefault(row.owner, []).append(row)
        self._fitting: dict[tuple[int | None, int | None], int] = {(None, None): self.owners}

    def rows_of(self, owner: str) -> Sequence[Row]:
        """Return the rows of one owner."""
        return self._by_owner.get(owner, ())

    def fitting(self, out: int | None, fan_in: int | None) -> int:
        """Return the bits of the owners whose weight has these sizes, as far as they are known."""
        key = (out, fan_in)
        found = self._fitting.get(key)
        if found is None:
            found = 0
            for row in self.rows:
                if out in {None, row.shape[0]} and fan_in in {None, row.fan_in}:
                    found |= self._bits[row.owner]
            # Only matches are cached, so that untrusted files can't fill the memory.
            if found:
                self._fitting[key] = found
        return found


class Place:
    """The entry of the tables for one module name.

    Attributes:
        path: Dotted name.
        naming: Naming of the base model that the name follows; the first one that has it.
        block: Block, such as `down_blocks.0`.
        weights: The weights in the tables.
    """

    __slots__ = ("block", "naming", "path", "weights")

    def __init__(self, path: str, weights: Weights) -> None:
        self.path = path
        self.naming = weights.naming
        self.block = block_name(path)
        self.weights = weights

    def paths_of(self, owner: str) -> list[str]:
        """Return the owner's dotted names for this one, several if flattening joins them."""
        if self.weights.has_one_pattern:
            return [self.path]
        numbers = _NUMBER.findall(self.path)
        return [fill(row.pattern, numbers) for row in self.weights.rows if row.owner == owner]


class Index:
    """Maps module names, dotted or flattened, to their entries.

    Args:
        owners: All owners, in the order of bits and results.
    """

    def __init__(self, owners: Iterable[str], rows: Iterable[Row]) -> None:
        self.owners = tuple(owners)
        self.bits = {owner: 1 << number for number, owner in enumerate(self.owners)}
        # Rows with the same names, by flattened pattern: the tables share most names.
        self._by_names: dict[str, dict[_Names, list[tuple[int, Row]]]] = {}
        self._weights: dict[tuple[_Names, ...], Weights] = {}
        for number, row in enumerate(rows):
            by_names = self._by_names.setdefault(row.pattern.replace(".", "_"), {})
            names = (row.pattern, row.numbers)
            by_names.setdefault(names, []).append((number, row))

    def names(self, bits: int) -> list[str]:
        """Return the owners of the set bits, in order."""
        return [owner for owner, bit in self.bits.items() if bits & bit]

    def find(self, path: str, *, is_flat: bool) -> Place | None:
        """Return the entry of a module, or None.

        Args:
            path: The module's name without its convention's prefix.
            is_flat: All or some dots are written as underscores. Names are never split at them,
                because they contain underscores of their own.
        """
        pieces = _NUMBER.split(path)
        pattern, numbers = "#".join(pieces[::2]), pieces[1::2]
        by_names = self._by_names.get(pattern.replace(".", "_"))
        if by_names is None:
            return None
        found = tuple(
            [
                names
                for names in by_names
                if (is_flat or names[0] == pattern)
                and all(map(frozenset.__contains__, names[1], numbers))
            ]
        )
        if not found:
            return None
        weights = self._weights.get(found)
        if weights is None:
            rows = sorted(itertools.chain(*(by_names[names] for names in found)))
            weights = self._weights[found] = Weights([row for _, row in rows], self.bits)
        return Place(fill(weights.pattern, numbers) if is_flat else path, weights)


_Names = tuple[str, tuple[frozenset[str], ...]]  # pattern and its numbers


def pattern_of(path: str) -> str:
    """Return the name with `#` for each number."""
    return _NUMBER.sub("#", path)


def fill(pattern: str, numbers: Sequence[str]) -> str:
    """Return the name with these numbers."""
    pieces = pattern.split("#")
    return "".join(itertools.chain(*zip(pieces, numbers, strict=False), pieces[-1:]))


def block_name(path: str) -> str:
    """Return the block of a dotted module name: its first part, with the number that follows."""
    first, _, rest = path.partition(".")
    second = rest.partition(".")[0]
    return f"{first}.{second}" if second.isdigit() else first


def expand(template: str) -> Iterator[str]:
    """Yield the names of a template: `{a,b}` is a choice, `{0-3}` a range."""
    for pattern, numbers in _patterns(template):
        ordered = (sorted(choice, key=int) for choice in numbers)
        yield from (fill(pattern, choice) for choice in itertools.product(*ordered))


def rows_of(owner: str, naming: str, template: str, shape: Sequence[int]) -> list[Row]:
    """Return the rows of one line of a table."""
    sizes = tuple(shape)
    fan_in = math.prod(sizes[1:])
    return [
        Row(owner, naming, pattern, numbers, sizes, fan_in)
        for pattern, numbers in _patterns(template)
    ]


def _patterns(template: str) -> Iterator[tuple[str, tuple[frozenset[str], ...]]]:
    pieces = _GROUP.split(template)
    if len(pieces) == 1:
        yield _pattern(template)
        return
    choices = []
    for number, piece in enumerate(pieces):
        if number % 2 == 0:
            choices.append([piece])
        elif _NUMBERS.fullmatch(piece) and _stands_alone(pieces[number - 1], pieces[number + 1]):
            choices.append([f"<{piece}>"])
        else:
            choices.append(piece.split(","))
    for choice in itertools.product(*choices):
        yield _pattern("".join(choice))


def _stands_alone(before: str, after: str) -> bool:
    return before[-1:] in {"", ".", "_"} and after[:1] in {"", ".", "_"}


def _pattern(text: str) -> tuple[str, tuple[frozenset[str], ...]]:
    slots = _SLOT.findall(text)
    if not slots:
        return text, ()
    return _SLOT.sub("#", text), tuple([_numbers(slot) for slot in slots])


_NUMBERS_CACHE: dict[str, frozenset[str]] = {}


def _numbers(slot: str) -> frozenset[str]:
    found = _NUMBERS_CACHE.get(slot)
    if found is None:
        numbers: list[str] = []
        for part in slot.strip("<>").split(","):
            span = _RANGE.fullmatch(part)
            if span:
                numbers += map(str, range(int(span[1]), int(span[2]) + 1))
            else:
                numbers.append(part)
        found = _NUMBERS_CACHE[slot] = frozenset(numbers)
    return found

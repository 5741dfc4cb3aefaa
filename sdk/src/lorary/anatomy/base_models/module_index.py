"""Where a module stands: an index from names to the weights that the tables have under them.

Names are kept as patterns, because a model repeats its blocks:

    double_blocks.{0-18}.{img,txt}_attn.qkv     a template of a table
    double_blocks.#.img_attn.qkv                two patterns, each with the numbers 0 to 18

so that a table of a thousand modules is a few dozen rows, and building all of them is cheap.
"""

from __future__ import annotations

import itertools
import math
import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from lorary.anatomy.modules.shapes import Dims

__all__ = ["Index", "Place", "Row", "Weights", "block_name", "expand", "pattern_of", "rows_of"]

_GROUP = re.compile(r"\{([^}]{0,512})\}")
_RANGE = re.compile(r"(\d{1,9})-(\d{1,9})")
_NUMBERS = re.compile(r"\d{1,9}(?:-\d{1,9})?(?:,\d{1,9}(?:-\d{1,9})?){0,512}")
# A number between separators. Names of files are split by it too, hence the bound on its length.
_NUMBER = re.compile(r"(?<![^._])(0|[1-9][0-9]{0,4})(?![^._])")
_SLOT = re.compile(r"(?<![^._])(?:<[^>]{0,512}>|0|[1-9][0-9]{0,4})(?![^._])")
# Stacks of blocks, one in another: `down_blocks.#.attentions.#.transformer_blocks.#.`
_BLOCKS = re.compile(
    r"(?:\w{0,512}(?:blocks|layers|attentions|resnets)\.#\.(?:#\.)?|(?:mid|middle)_block\.(?:#\.)?)"
    r"{0,256}"
)


class Row(NamedTuple):
    """Weights of one shape that a table has under one pattern.

    Attributes:
        owner: Family id (or encoder id in the encoders' index).
        naming: Naming of the base model, such as `diffusers`.
        pattern: Dotted name with `#` for each number.
        numbers: For each `#` the numbers that may stand there.
        shape: Shape of the weight, `(out, in, *kernel)`.
        fan_in: Columns of the flattened weight.
    """

    owner: str
    naming: str
    pattern: str
    numbers: tuple[frozenset[str], ...]
    shape: tuple[int, ...]
    fan_in: int

    @property
    def size(self) -> int:
        """Modules that the row stands for."""
        return math.prod(map(len, self.numbers))

    @property
    def target(self) -> str:
        """Name inside the innermost block: what a trainer would be told to adapt."""
        return _target(self.pattern, self.numbers)

    def names(self) -> Iterator[str]:
        """Dotted names of its modules."""
        ordered = (sorted(numbers, key=int) for numbers in self.numbers)
        return (fill(self.pattern, choice) for choice in itertools.product(*ordered))

    def minus(self, other: Row) -> Iterator[Row]:
        """What is left of the row without the names that the other stands for."""
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
    """Cached, because every file asks for those of its family; the tables bound their number."""
    found = _BLOCKS.match(pattern)
    inner = pattern[found.end() :] if found else pattern
    slots = numbers[pattern.count("#") - inner.count("#") :]
    return fill(inner, ["#" if len(slot) > 1 else next(iter(slot)) for slot in slots])


class Weights:
    """Rows that share names: what the tables know under one pattern and one set of numbers.

    Modules of a file share these objects, so that counting is by the few objects, not by name.

    Attributes:
        rows: The rows.
        pattern: Dotted pattern of the first row.
        naming: Naming of the first row.
        owners: Bits of the owners of all rows.
        has_one_pattern: All rows have the same pattern, before flattening too.
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
        """Rows of one owner."""
        return self._by_owner.get(owner, ())

    def fitting(self, out: int | None, fan_in: int | None) -> int:
        """Bits of the owners whose weight has these sizes, as far as they are known."""
        key = (out, fan_in)
        found = self._fitting.get(key)
        if found is None:
            found = 0
            for row in self.rows:
                if out in {None, row.shape[0]} and fan_in in {None, row.fan_in}:
                    found |= self._bits[row.owner]
            # Only what fits is kept, so that strangers' files cannot fill the memory.
            if found:
                self._fitting[key] = found
        return found


class Place:
    """One module name, and everything that the tables know under it.

    Attributes:
        path: Dotted name.
        naming: Naming of the base model that the name follows; the first that has it.
        block: Block, such as `down_blocks.0`.
        weights: What the tables know.
        index: The index that it is from.
    """

    __slots__ = ("block", "index", "naming", "path", "weights")

    def __init__(self, path: str, weights: Weights, index: Index) -> None:
        self.path = path
        self.naming = weights.naming
        self.block = block_name(path)
        self.weights = weights
        self.index = index

    def paths_of(self, owner: str) -> list[str]:
        """Dotted names that the owner has under this one; several where flattening joins them."""
        if self.weights.has_one_pattern:
            return [self.path]
        numbers = _NUMBER.findall(self.path)
        return [fill(row.pattern, numbers) for row in self.weights.rows if row.owner == owner]

    @property
    def owners(self) -> frozenset[str]:
        """Families that have the name."""
        return frozenset(self.index.names(self.weights.owners))

    def fitting(self, dims: Dims) -> frozenset[str]:
        """Families whose weight of that name has these sizes, as far as they are known."""
        return frozenset(self.index.names(self.weights.fitting(dims.out, dims.fan_in)))


class Index:
    """Module name, dotted or flattened, to its place.

    Args:
        owners: Every owner; the order is that of the bits and of the answers.
        rows: The rows of all tables.
    """

    def __init__(self, owners: Iterable[str], rows: Iterable[Row]) -> None:
        self.owners = tuple(owners)
        self.bits = {owner: 1 << number for number, owner in enumerate(self.owners)}
        # Rows of like names together: the tables share most of them. By flattened pattern.
        self._cells: dict[str, dict[_Names, list[tuple[int, Row]]]] = {}
        self._weights: dict[tuple[_Names, ...], Weights] = {}
        for place, row in enumerate(rows):
            cells = self._cells.setdefault(row.pattern.replace(".", "_"), {})
            names = (row.pattern, row.numbers)
            cells.setdefault(names, []).append((place, row))

    def names(self, bits: int) -> list[str]:
        """Owners of the set bits, in order."""
        return [owner for owner, bit in self.bits.items() if bits & bit]

    def find(self, path: str, *, is_flat: bool) -> Place | None:
        """Look a module up.

        Args:
            path: The module's name without its convention's prefix.
            is_flat: Dots are written as underscores, all of them or some. Names are looked up,
                never split, because names hold underscores of their own.
        """
        pieces = _NUMBER.split(path)
        pattern, numbers = "#".join(pieces[::2]), pieces[1::2]
        cells = self._cells.get(pattern.replace(".", "_"))
        if cells is None:
            return None
        found = tuple(
            [
                names
                for names in cells
                if (is_flat or names[0] == pattern)
                and all(map(frozenset.__contains__, names[1], numbers))
            ]
        )
        if not found:
            return None
        weights = self._weights.get(found)
        if weights is None:
            rows = sorted(itertools.chain(*(cells[names] for names in found)))
            weights = self._weights[found] = Weights([row for _, row in rows], self.bits)
        return Place(fill(weights.pattern, numbers) if is_flat else path, weights, self)


_Names = tuple[str, tuple[frozenset[str], ...]]  # pattern and its numbers


def pattern_of(path: str) -> str:
    """The name with `#` for each number."""
    return _NUMBER.sub("#", path)


def fill(pattern: str, numbers: Sequence[str]) -> str:
    """The name with these numbers."""
    pieces = pattern.split("#")
    return "".join(itertools.chain(*zip(pieces, numbers, strict=False), pieces[-1:]))


def block_name(path: str) -> str:
    """Block of a dotted module name: its first part, with the number that follows."""
    first, _, rest = path.partition(".")
    second = rest.partition(".")[0]
    return f"{first}.{second}" if second.isdigit() else first


def expand(template: str) -> Iterator[str]:
    """Names that a template stands for: `{a,b}` is a choice, `{0-3}` a range."""
    for pattern, numbers in _patterns(template):
        ordered = (sorted(choice, key=int) for choice in numbers)
        yield from (fill(pattern, choice) for choice in itertools.product(*ordered))


def rows_of(owner: str, naming: str, template: str, shape: Sequence[int]) -> list[Row]:
    """Rows of one line of a table."""
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
    for place, piece in enumerate(pieces):
        if place % 2 == 0:
            choices.append([piece])
        elif _NUMBERS.fullmatch(piece) and _stands_alone(pieces[place - 1], pieces[place + 1]):
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


_KNOWN: dict[str, frozenset[str]] = {}


def _numbers(slot: str) -> frozenset[str]:
    found = _KNOWN.get(slot)
    if found is None:
        numbers: list[str] = []
        for part in slot.strip("<>").split(","):
            span = _RANGE.fullmatch(part)
            if span:
                numbers += map(str, range(int(span[1]), int(span[2]) + 1))
            else:
                numbers.append(part)
        found = _KNOWN[slot] = frozenset(numbers)
    return found

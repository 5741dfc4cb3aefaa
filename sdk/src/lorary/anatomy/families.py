"""Base-model families: their tables, and the look-up from a module to the families that have it.

A table (`families/<id>.json`) lists the weights of a base model as templates with their shapes:

    "double_blocks.{0-18}.{img,txt}_attn.qkv": [9216, 3072]

Keys of a table: `id`, `title`, `order` (place in lists), `text_encoders` (part to encoders of
`encoders.json`), `kohya` (the naming that kohya-style trainers flatten), `claims` (metadata key to
beginnings of values that name the family), `namings` (naming to templates), and optionally
`extends` (naming to a family whose table of that naming comes first).

Adding a family is adding a table, and a test vector in `tests/builders/adapters.py`.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from lorary.anatomy.shapes import Dims

__all__ = [
    "FAMILIES",
    "Entry",
    "Family",
    "Index",
    "Place",
    "encoder_index",
    "families",
    "family_index",
    "family_title",
]

_GROUP = re.compile(r"\{([^}]*)\}")
_RANGE = re.compile(r"(\d+)-(\d+)")
_STACK = re.compile(r"(.+?)\.(\d+)(?:\.|$)")


class Entry(NamedTuple):
    """One weight of one family.

    Attributes:
        owner: Family id (or encoder id in the encoders' index).
        naming: `diffusers`, `sgm`, `native` or `clip`.
        path: Dotted name of the module.
        out: Rows of the weight.
        fan_in: Columns of the flattened weight.
    """

    owner: str
    naming: str
    path: str
    out: int
    fan_in: int

    def fits(self, dims: Dims) -> bool:
        """Tell whether the sizes, as far as they are known, are this weight's."""
        return dims.out in {None, self.out} and dims.fan_in in {None, self.fan_in}


@dataclass(frozen=True, slots=True)
class Family:
    """A base-model architecture.

    Attributes:
        id: Stable id, such as `sdxl`.
        title: Name for people.
        order: Place in lists.
        text_encoders: Part to the encoders that may stand there.
        kohya: Naming that kohya-style trainers flatten for this family.
        claims: Metadata key to beginnings of values that claim this family.
        namings: Naming to module name to weight shape.
        depths: Stack of blocks to the number of blocks, over all namings.
    """

    id: str
    title: str
    order: int
    text_encoders: Mapping[str, tuple[str, ...]]
    kohya: str
    claims: Mapping[str, tuple[str, ...]]
    namings: Mapping[str, Mapping[str, tuple[int, ...]]]
    depths: Mapping[str, int]


class Place:
    """Everything the tables know under one module name.

    Attributes:
        entries: The weights of that name.
        path: Dotted name of the first.
        naming: Naming of the first.
        block: Block of the first, such as `down_blocks.0`.
        owners: Families that have the name.
    """

    __slots__ = ("_fitting", "block", "entries", "naming", "owners", "path")

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = tuple(entries)
        self.path = entries[0].path
        self.naming = entries[0].naming
        self.block = block_name(self.path)
        self.owners = frozenset(entry.owner for entry in entries)
        self._fitting: dict[tuple[int | None, int | None], frozenset[str]] = {}

    def fitting(self, dims: Dims) -> frozenset[str]:
        """Families whose weight of that name has these sizes, as far as they are known."""
        key = dims[:2]
        found = self._fitting.get(key)
        if found is None:
            found = frozenset(entry.owner for entry in self.entries if entry.fits(dims))
            # Only what fits is kept, so that strangers' files cannot fill the memory.
            if found:
                self._fitting[key] = found
        return found


class Index:
    """Module name, dotted or flattened, to what the tables know under it."""

    __slots__ = ("_dotted", "_flat")

    def __init__(self, entries: Iterable[Entry]) -> None:
        dotted: dict[str, list[Entry]] = {}
        flat: dict[str, list[Entry]] = {}
        for entry in entries:
            dotted.setdefault(entry.path, []).append(entry)
            flat.setdefault(entry.path.replace(".", "_"), []).append(entry)
        self._dotted = {path: Place(found) for path, found in dotted.items()}
        self._flat = {path: Place(found) for path, found in flat.items()}

    def find(self, path: str, *, is_flat: bool) -> Place | None:
        """Look a module up.

        Args:
            path: The module's name without its convention's prefix.
            is_flat: Dots are written as underscores. Names are looked up, never split, because
                names hold underscores of their own.
        """
        if is_flat:
            return self._flat.get(path) or self._flat.get(path.replace(".", "_"))
        return self._dotted.get(path)


def block_name(path: str) -> str:
    """Block of a dotted module name: its first part, with the number that follows."""
    first, _, rest = path.partition(".")
    second = rest.partition(".")[0]
    return f"{first}.{second}" if second.isdigit() else first


def expand(template: str) -> Iterator[str]:
    """Names that a template stands for: `{a,b}` is a choice, `{0-3}` a range."""
    pieces = _GROUP.split(template)
    choices = [
        [piece] if number % 2 == 0 else list(_choices(piece)) for number, piece in enumerate(pieces)
    ]
    return map("".join, itertools.product(*choices))


def _choices(group: str) -> Iterator[str]:
    for choice in group.split(","):
        span = _RANGE.fullmatch(choice)
        if span:
            yield from map(str, range(int(span[1]), int(span[2]) + 1))
        else:
            yield choice


def _expand_all(templates: Mapping[str, list[int]]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(shape) for text, shape in templates.items() for name in expand(text)}


def _depths(namings: Mapping[str, Mapping[str, tuple[int, ...]]]) -> dict[str, int]:
    depths: dict[str, int] = {}
    for modules in namings.values():
        for name in modules:
            stack = _STACK.match(name)
            if stack:
                depths[stack[1]] = max(depths.get(stack[1], 0), int(stack[2]) + 1)
    return depths


def _build(table: Mapping[str, object], tables: Mapping[str, dict[str, object]]) -> Family:
    raw: dict[str, dict[str, list[int]]] = table["namings"]  # type: ignore[assignment]
    extends: dict[str, str] = table.get("extends", {})  # type: ignore[assignment]
    namings = {}
    for naming, templates in raw.items():
        modules: dict[str, tuple[int, ...]] = {}
        if naming in extends:
            parent: dict[str, dict[str, list[int]]] = tables[extends[naming]]["namings"]  # type: ignore[assignment]
            modules.update(_expand_all(parent[naming]))
        modules.update(_expand_all(templates))
        namings[naming] = modules
    encoders: dict[str, list[str]] = table["text_encoders"]  # type: ignore[assignment]
    claims: dict[str, list[str]] = table["claims"]  # type: ignore[assignment]
    return Family(
        id=str(table["id"]),
        title=str(table["title"]),
        order=int(str(table["order"])),
        text_encoders={part: tuple(ids) for part, ids in encoders.items()},
        kohya=str(table["kohya"]),
        claims={key: tuple(values) for key, values in claims.items()},
        namings=namings,
        depths=_depths(namings),
    )


@cache
def _tables() -> Mapping[str, dict[str, object]]:
    """Raw tables by family id, in display order."""
    folder = resources.files("lorary.anatomy") / "families"
    loaded = [
        json.loads(file.read_text("utf-8"))
        for file in folder.iterdir()
        if file.name.endswith(".json")
    ]
    return {table["id"]: table for table in sorted(loaded, key=lambda table: table["order"])}


@cache
def families() -> Mapping[str, Family]:
    """Every family by id, in display order. Built at first use."""
    tables = _tables()
    return {name: _build(table, tables) for name, table in tables.items()}


@cache
def family_index() -> Index:
    """Denoiser modules of every family."""
    return Index(
        Entry(family.id, naming, path, shape[0], math.prod(shape[1:]))
        for family in families().values()
        for naming, modules in family.namings.items()
        for path, shape in modules.items()
    )


@cache
def encoder_index() -> Index:
    """Modules of every text encoder, with and without CLIP's outer `text_model` level.

    Source: transformers 5 dropped that level from `CLIPTextModel`; files hold both spellings.
    """
    text = (resources.files("lorary.anatomy") / "encoders.json").read_text("utf-8")
    table: dict[str, dict[str, dict[str, list[int]]]] = json.loads(text)
    return Index(
        Entry(encoder, "transformers", name, shape[0], shape[1])
        for encoder, description in table.items()
        for path, shape in _expand_all(description["modules"]).items()
        for name in dict.fromkeys((path, path.removeprefix("text_model.")))
    )


class _Titles(Mapping[str, str]):
    """Family id to title, read from the tables at first use."""

    def __getitem__(self, key: str) -> str:
        return str(_tables()[key]["title"])

    def __iter__(self) -> Iterator[str]:
        return iter(_tables())

    def __len__(self) -> int:
        return len(_tables())


FAMILIES: Mapping[str, str] = _Titles()
"""Family id to title, in display order."""


def family_title(family: str | None) -> str:
    """The family's name for people; the id itself when no table has it, "Unknown" for None."""
    if family is None:
        return "Unknown"
    return FAMILIES.get(family, family)

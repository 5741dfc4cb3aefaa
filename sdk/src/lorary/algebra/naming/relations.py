"""Relates the namings of a family: which rows of which modules are the same weights.

Every naming describes its modules as pieces of the modules of one naming, the hub, which splits
every projection. FLUX.1's native `qkv` is three pieces, its diffusers `to_q` one:

    native     double_blocks.0.img_attn.qkv    →  to_q | to_k | to_v
    diffusers  transformer_blocks.0.attn.to_q  →  to_q

Two modules with the same pieces in the same order are the same weights under two names.

The tables in `tables/` use the templates of the family tables (`docs/families.md`). Both sides of a
line are expanded in the same order:

    "blocks.{0-39}.{self_attn,cross_attn}.{q,k}": "blocks.{0-39}.{attn1,attn2}.{to_q,to_k}"

A list is a module that the hub splits, in the order of its rows. `halves_swapped` has modules whose
two halves are the other way round in the hub: shift and scale, or gate and value. A name with a
colon belongs to another component of diffusers' pipeline.

Sources: the converters of checkpoints and adapters in diffusers (`loaders/single_file_utils.py`,
`loaders/lora_conversion_utils.py`), with which `tests/previews/test_naming_sources.py` compares the
tables; ComfyUI's `comfy/ldm` for the names of its models.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from typing import Any, NamedTuple

from lorary.anatomy.families import Family, Place, expand, families
from lorary.anatomy.keys.tensor_names import split_prefix


class Piece(NamedTuple):
    """Rows of a module of the hub: one of `parts` equal ranges, in order."""

    module: str
    part: int = 0
    parts: int = 1


Pieces = tuple[Piece, ...]


# Not slotted, because of the cached properties.
@dataclass(frozen=True)
class FamilyNames:
    """The namings of a family.

    Attributes:
        hub: The naming that splits every projection.
        namings: Naming to path to its pieces, in the order of the rows.
        encoders: Text encoder to target to the part of a file in which the target has it.
    """

    family: Family
    hub: str
    namings: Mapping[str, Mapping[str, Pieces]]
    encoders: Mapping[str, Mapping[str, str]]

    @cached_property
    def _flat(self) -> Mapping[str, str]:
        return {path.replace(".", "_"): path for names in self.namings.values() for path in names}

    @cached_property
    def denoiser(self) -> str:
        """The name of the denoiser in diffusers' pipeline."""
        is_unet = any(path.startswith("down_blocks.") for path in self.namings[self.hub])
        return "unet" if is_unet else "transformer"

    def locate(self, name: str, place: Place | None) -> str | None:
        """Return the dotted name of a module in one of the namings, or None.

        Args:
            name: Its name in a file, with its prefix.
            place: Where the families' tables have it.
        """
        for known in () if place is None else (*place.paths_of(self.family.id), place.path):
            if self.pieces(known) is not None:
                return known
        prefix, path = split_prefix(name)
        return self.find(path, is_flat=prefix.is_flat)

    def find(self, path: str, *, is_flat: bool) -> str | None:
        """Return the dotted name of a module in one of the namings, or None."""
        if is_flat:
            return self._flat.get(path.replace(".", "_"))
        if self.pieces(path):
            return path
        component, _, rest = path.partition(".")  # PEFT's prefix is behind that of a component
        named = f"{component}:{rest.removeprefix('base_model.model.')}"
        return named if self.pieces(named) else None

    def pieces(self, path: str) -> Pieces | None:
        """Return the pieces of a dotted name of any naming, or None.

        A name that several namings of a family share is the same module in all of them.
        """
        return next((found[path] for found in self.namings.values() if path in found), None)

    def rows(self, piece: Piece) -> int | None:
        """Return the number of rows of a piece in the family's table, or None."""
        shape = self.family.namings.get(self.hub, {}).get(piece.module)
        return None if shape is None else shape[0] // piece.parts

    def sizes(self, pieces: Pieces, rows: int, width: int) -> list[int] | None:
        """Return the rows of each piece of a module, None if they can't be divided so.

        They are those of the table. For a model of another width, a piece that is square in the
        table has as many rows as columns, and the others share the rest in the table's proportion.

        Args:
            rows: Rows of the module.
            width: Its columns.
        """
        known = [self.rows(piece) for piece in pieces]
        weights = [count or 1 for count in known] if None not in known else [1] * len(pieces)
        squares = [width if self.is_square(piece) else 0 for piece in pieces]
        if sum(weights) == rows or 0 not in squares:
            squares = [0] * len(pieces)
        rest = rows - sum(squares)
        shares = sum(one for one, square in zip(weights, squares, strict=True) if not square)
        counts = [
            square or one * rest // shares for one, square in zip(weights, squares, strict=True)
        ]
        return counts if sum(counts) == rows and min(counts) > 0 else None

    def is_square(self, piece: Piece) -> bool:
        """Return whether a piece is a whole module with as many rows as columns."""
        shape = self.family.namings.get(self.hub, {}).get(piece.module, ())
        return piece.parts == 1 and len(shape) == 2 and shape[0] == shape[1]

    def shape(self, path: str) -> tuple[int, ...] | None:
        """Return the shape of a module's weight in the family's table, or None."""
        known = self.family.namings
        return next((names[path] for names in known.values() if path in names), None)


@cache
def names_of(family: str) -> FamilyNames:
    """Return the namings of a family.

    Raises:
        KeyError: No family has this id.
    """
    known = families()[family]
    related = _tables_of(known)
    hub = next((table["hub"] for table in related if "hub" in table), "diffusers")
    if not related and hub not in known.namings:
        hub = next(iter(known.namings))
    found: dict[str, dict[str, Pieces]] = {}
    swapped: set[str] = set()
    encoders: dict[str, Mapping[str, str]] = {}
    for table in related:
        names = found.setdefault(table["naming"], {})
        encoders |= table.get("text_encoders", {})
        for path, modules in _lines(table.get("modules", {})):
            names.setdefault(path, tuple(map(Piece, modules)))
        for path, modules in _lines(table.get("halves_swapped", {})):
            swapped |= set(modules)
            names[path] = tuple(Piece(module, part, 2) for module in modules for part in (1, 0))
    own = known.namings.get(hub) or _modules(found.values())
    for naming, names in found.items():
        there = known.namings.get(naming)
        found[naming] = {
            path: pieces
            for path, pieces in names.items()
            if (there is None or path in there) and all(piece.module in own for piece in pieces)
        }
    hub_names = {path: _whole(path, swapped) for path in own}
    return FamilyNames(known, hub, {hub: hub_names, **found}, encoders)


def _modules(namings: Iterable[Mapping[str, Pieces]]) -> dict[str, None]:
    """Return the modules of a hub that the family's table doesn't have."""
    every = (pieces for names in namings for pieces in names.values())
    return {piece.module: None for pieces in every for piece in pieces}


def _whole(path: str, swapped: set[str]) -> Pieces:
    return (Piece(path, 0, 2), Piece(path, 1, 2)) if path in swapped else (Piece(path),)


def _tables_of(family: Family) -> list[Mapping[str, Any]]:
    """Return the tables that name a family, or else those of the families that it extends."""
    own = [table for table in _tables() if family.id in table["families"]]
    if own:
        return own
    parents = [families()[parent] for parent in sorted(family.parents)]
    return [table for parent in parents for table in _tables_of(parent)]


@cache
def _tables() -> tuple[Mapping[str, Any], ...]:
    folder = resources.files("lorary.algebra.naming") / "tables"
    files = sorted(file.name for file in folder.iterdir() if file.name.endswith(".json"))
    return tuple(
        table for name in files for table in json.loads((folder / name).read_text("utf-8"))
    )


def _lines(lines: Mapping[str, str | list[str]]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each name of a table with the modules of the hub that it stands for.

    Raises:
        ValueError: The sides of a line have different numbers of names.
    """
    for template, hub in lines.items():
        sides = [hub] if isinstance(hub, str) else hub
        for path, *modules in zip(expand(template), *map(expand, sides), strict=True):
            yield path, tuple(modules)

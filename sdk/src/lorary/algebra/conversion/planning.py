"""Plans a conversion: which rows of which modules become which module of the target.

A plan depends on names and shapes alone; no tensor is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from lorary.algebra.conversion.errors import refuse_module
from lorary.algebra.conversion.sources import Source
from lorary.algebra.naming.relations import FamilyNames, Piece, Pieces
from lorary.algebra.naming.targets import (
    Component,
    namings_of,
    spelled,
    suffixes,
    target_modules,
    target_path,
)
from lorary.anatomy.families import family_title

Relation = Literal["renamed", "split", "fused"]
"""`renamed`: one module, whole. `split`: rows of one module, some or in another order. `fused`:
several modules, or one that fills only a part of the new one."""

_OFT = "oft_"  # kohya's OFT has prefixes of its own: its blocks are others than LyCORIS'
_TITLES = {"kohya": "kohya", "peft": "PEFT", "diffusers": "diffusers", "comfyui": "ComfyUI"}


class Rows(NamedTuple):
    """A range of rows."""

    begin: int  # in the source
    place: int  # in the new module
    size: int


class Move(NamedTuple):
    """What one source contributes to a module.

    Attributes:
        rows: Its rows; empty for a module that is renamed.
        width: Columns of the new module, if the source has only the first ones.
    """

    source: Source
    rows: tuple[Rows, ...] = ()
    width: int | None = None


@dataclass(frozen=True, slots=True)
class Planned:
    """A module of the new file.

    Attributes:
        name: Its name in the new file.
        path: Its dotted name in the component.
        rows: Rows of its weight; 0 for a module that is renamed.
        dimensions: Dimensions of its weight in the family's table, None if unknown.
    """

    name: str
    component: Component
    path: str
    moves: tuple[Move, ...]
    relation: Relation
    rows: int = 0
    dimensions: int | None = None


class _Target(NamedTuple):
    """Where a module goes: component and path."""

    component: Component
    path: str


def plan(names: FamilyNames | None, sources: Sequence[Source], target: str) -> list[Planned]:
    """Return the modules of the new file, in the order of the sources.

    Args:
        names: Names of the family; None for a file that adapts only text encoders.

    Raises:
        AlgebraError: `not_convertible`, with the module and the reason.
    """
    for source in sources:
        _check_roles(source, target)
    planner = _Planner(names, target)
    for source in sources:
        if source.part == "denoiser":
            planner.add_denoiser(source)
        else:
            planner.add_encoder(source)
    return planner.finish()


def _check_roles(source: Source, target: str) -> None:
    """Refuse what a target can't store, whatever its name would be."""
    known = suffixes(target, source.tensors)
    title = _TITLES[target]
    if source.name.startswith(_OFT) and target != "kohya":
        raise refuse_module(source.name, f"is OFT of kohya's scripts, which {title} does not read")
    if source.is_pair:
        if "up_bias" in source.tensors and "up_bias" not in known:
            raise refuse_module(source.name, f"has a bias, which {title} has no form for")
        return
    if target == "peft" and source.tensors.keys() == {"embedding_down", "embedding_up"}:
        return
    if target in {"diffusers", "peft"} or source.dialect == "peft-only":
        raise refuse_module(source.name, f"{source.description}, which has no form in {title}")


class _Planner:
    """Collects the modules of a new file."""

    def __init__(self, names: FamilyNames | None, target: str) -> None:
        self.names, self.target = names, target
        self.renamed: dict[_Target, Source] = {}
        self.pieces: dict[_Target, list[tuple[Piece, Source, Rows]]] = {}
        self.claimed: dict[object, Source] = {}
        self.unknown: list[Source] = []
        self.keeps_names = True  # every known module of the denoiser keeps its path
        modules = {} if names is None else target_modules(names, target)
        self.owners = {piece: path for path, pieces in modules.items() for piece in pieces}

    def add_denoiser(self, source: Source) -> None:
        """Plan a module of the denoiser."""
        names = self.names
        path = None if names is None else names.locate(source.name, source.place)
        pieces = None if names is None or path is None else names.pieces(path)
        if names is None or path is None or pieces is None:
            self.unknown.append(source)
            return
        if source.is_part:
            pieces = _adapted(pieces, source)
        for piece in pieces:
            self._claim(piece, source)
        new = self._same(names, path, pieces)
        if new is not None and not source.is_part:
            self.keeps_names &= new == path
            self.renamed[self._at(names, new)] = source
            return
        self.keeps_names = False
        self._move(names, source, path, pieces)

    def _same(self, names: FamilyNames, path: str, pieces: Pieces) -> str | None:
        """Return the target's name of the same module, its own if the target reads it."""
        accepted = namings_of(names, self.target)
        if any(path in names.namings.get(naming, ()) for naming in accepted):
            return path
        return target_path(names, self.target, pieces)

    def _move(self, names: FamilyNames, source: Source, path: str, pieces: Pieces) -> None:
        """Plan rows of a module that the target splits, fuses or orders in another way."""
        if not source.is_pair:
            title = _TITLES[self.target]
            reason = f"{source.description}, which can't be split or fused as {title} needs"
            raise refuse_module(source.name, reason)
        begin = 0
        for piece, count in zip(pieces, _sizes(names, source, path, pieces), strict=True):
            owner = self.owners.get(piece)
            if owner is None:
                raise _no_name(source, names, self.target)
            rows = Rows(begin, 0, count)
            self.pieces.setdefault(self._at(names, owner), []).append((piece, source, rows))
            begin += count

    def _at(self, names: FamilyNames, path: str) -> _Target:
        component, colon, rest = path.partition(":")
        if colon:
            return _Target(Component(component), rest)
        return _Target(Component(names.denoiser), path)

    def add_encoder(self, source: Source) -> None:
        """Plan a module of a text encoder."""
        if source.place is None:
            is_kept = not source.prefix.is_flat and self.target in {"diffusers", "peft"}
            if is_kept or (source.prefix.is_flat and self.target == "kohya"):
                self._rename(_Target(Component(source.part), source.path), source)
                return
            raise _no_name(source, self.names, self.target)
        encoder = _encoder_of(self.names, source)
        path = source.place.path
        if path.startswith("encoder.layers."):  # transformers 5 dropped a level
            path = f"text_model.{path}"
        moved = {} if self.names is None else self.names.encoders.get(encoder or "", {})
        column = "kohya" if self.target == "kohya" else "diffusers"
        component = Component(moved.get(column, source.part), encoder)
        self._rename(_Target(component, path), source)

    def _rename(self, place: _Target, source: Source) -> None:
        self._claim((place.component.name, place.path.replace(".", "_")), source)
        self.renamed[place] = source

    def _claim(self, key: object, source: Source) -> None:
        other = self.claimed.setdefault(key, source)
        if other is not source:
            reason = (
                f"changes the same layer as “{other.name}”, and which of them counts is unknown"
            )
            raise refuse_module(source.name, reason)

    def finish(self) -> list[Planned]:
        """Return the modules, when all sources are added."""
        for source in self.unknown:
            can_keep = self.keeps_names and (self.target == "kohya" or not source.prefix.is_flat)
            if self.names is None or not can_keep:
                raise _no_name(source, self.names, self.target)
            self._rename(_Target(Component(self.names.denoiser), source.path), source)
        components = {place.component.name for place in (*self.renamed, *self.pieces)}
        encoders = set() if self.names is None else set(self.names.family.text_encoders)
        encoders |= {name for name in components if name.startswith("text_encoder")}
        options = {
            "is_alone": len(components) < 2,
            "is_only": encoders <= {"text_encoder"},
        }
        done = [
            self._planned(place, (Move(source),), "renamed", options)
            for place, source in self.renamed.items()
        ]
        for place, parts in self.pieces.items():
            done.append(self._assembled(place, parts, options))
        return done

    def _assembled(
        self,
        place: _Target,
        parts: Sequence[tuple[Piece, Source, Rows]],
        options: Mapping[str, bool],
    ) -> Planned:
        """Return a module that is made of rows of sources."""
        names = self.names
        assert names is not None  # noqa: S101 - only a family's names have pieces
        pieces = target_modules(names, self.target)[place.path]
        counts = _filled_sizes(names, pieces, parts, place.path)
        begins = {piece: sum(counts[:index]) for index, piece in enumerate(pieces)}
        moves: dict[str, list[Rows]] = {}
        by_name: dict[str, Source] = {}
        for piece, source, rows in parts:
            by_name[source.name] = source
            moves.setdefault(source.name, []).append(rows._replace(place=begins[piece]))
        done = tuple(
            Move(
                by_name[name], _joined(rows), _width(names, place.path, by_name[name], sum(counts))
            )
            for name, rows in moves.items()
        )
        is_whole = len(done) == 1 and len(parts) == len(pieces) and done[0].width is None
        return self._planned(place, done, "split" if is_whole else "fused", options, sum(counts))

    def _planned(
        self,
        place: _Target,
        moves: tuple[Move, ...],
        relation: Relation,
        options: Mapping[str, bool],
        rows: int = 0,
    ) -> Planned:
        component, path = place
        try:
            name = spelled(self.target, component, path, **options)
        except KeyError:
            raise _no_name(moves[0].source, self.names, self.target, _OTHERS) from None
        if moves[0].source.name.startswith(_OFT):
            name = _OFT + name.removeprefix("lora_")
        shape = None if self.names is None else self.names.shape(path)
        dimensions = None if shape is None else len(shape)
        return Planned(name, component, path, moves, relation, rows, dimensions)


#: Only ComfyUI's names of text encoders depend on the family.
_OTHERS = ". Convert the file to kohya (ComfyUI loads it, too), diffusers or peft instead"


def _no_name(
    source: Source, names: FamilyNames | None, target: str, instead: str = ""
) -> Exception:
    where = "" if names is None else f" for {family_title(names.family.id)}"
    return refuse_module(source.name, f"has no known name in {_TITLES[target]}{where}{instead}")


def _encoder_of(names: FamilyNames | None, source: Source) -> str | None:
    assert source.place is not None  # noqa: S101 - the caller has checked it
    owners = [row.owner for row in source.place.weights.rows]
    possible = () if names is None else names.family.text_encoders.get(source.part, ())
    fitting = {owner for owner in owners if owner in possible} or set(owners)
    return fitting.pop() if len(fitting) == 1 else None


def _adapted(pieces: Pieces, source: Source) -> Pieces:
    """Return the pieces that XLabs' adapters of single blocks have: query, key and value."""
    return pieces[:3] if "part_up" in source.tensors else pieces


def _sizes(names: FamilyNames, source: Source, path: str, pieces: Pieces) -> list[int]:
    """Return the rows of each piece of a source."""
    counts = names.sizes(pieces, source.rows, source.shapes[source.down][1])
    if counts is None:
        reason = f"has {source.rows} rows, which can't be divided like those of {path}"
        raise refuse_module(source.name, reason)
    return counts


def _filled_sizes(
    names: FamilyNames,
    pieces: Pieces,
    parts: Iterable[tuple[Piece, Source, Rows]],
    path: str,
) -> list[int]:
    """Return the rows of each piece of a new module, also of those that no source has."""
    found = {piece: (rows.size, source) for piece, source, rows in parts}
    first = next(iter(found))
    given, source = found[first]
    reference = names.rows(first)
    counts = []
    for piece in pieces:
        if piece in found:
            counts.append(found[piece][0])
            continue
        known = names.rows(piece)
        if names.is_square(piece):
            counts.append(source.shapes[source.down][1])
        elif known is not None and reference is not None and not known * given % reference:
            counts.append(known * given // reference)
        else:
            reason = f"is a part of {path}, and the size of the other parts is not known"
            raise refuse_module(source.name, reason)
    return counts


def _joined(rows: Iterable[Rows]) -> tuple[Rows, ...]:
    """Return the ranges in the order of the source, adjacent ones as one."""
    done: list[Rows] = []
    for one in sorted(rows):
        last = done[-1] if done else None
        gap = None if last is None else (last.begin + last.size, last.place + last.size)
        if last is not None and gap == (one.begin, one.place):
            done[-1] = last._replace(size=last.size + one.size)
        else:
            done.append(one)
    return tuple(done)


def _width(names: FamilyNames, path: str, source: Source, rows: int) -> int | None:
    """Return the columns of a module of which a source has only the first ones, or None."""
    if "part_down" not in source.tensors:
        return None
    shape = names.shape(path)
    if shape is None or shape[1] * rows % shape[0]:
        raise refuse_module(source.name, "has only some columns of its module")
    return shape[1] * rows // shape[0]


def same(plans: Iterable[list[Planned]]) -> bool:
    """Return whether all plans make the same modules of the same rows."""
    seen = [[(one.name, one.relation, one.moves, one.rows) for one in found] for found in plans]
    return all(found == seen[0] for found in seen)

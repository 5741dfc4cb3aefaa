"""Proves a conversion: reads the new file and compares it with the old one.

A renamed tensor must have the same bytes. A split or fused module has the same update if its
factors equal those of its sources bit for bit. For any other, the difference of the two updates is
measured from Gram matrices of the factors, in float64, without forming them:

    ‖ΔW − ΔV‖² = ⟨ΔW, ΔW⟩ − 2 ⟨ΔW, ΔV⟩ + ⟨ΔV, ΔV⟩

The rounding of these sums is about 1e-8 of |ΔW|, so a smaller difference is not visible.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lorary.algebra.conversion.building import Built
from lorary.algebra.conversion.errors import refuse_module
from lorary.algebra.conversion.planning import Move, Planned, Relation
from lorary.algebra.conversion.sources import Source, factors, read_sources
from lorary.algebra.errors import naming
from lorary.algebra.files import Array, WeightFile
from lorary.algebra.matrices import gram
from lorary.algebra.matrices.gram import Factors

_CHUNK_WORDS = 1 << 15
MOST_ERROR = 1e-6
"""The largest |ΔW difference| / |ΔW| with which a conversion counts as exact."""


@dataclass(frozen=True, slots=True)
class ModuleRelation:
    """How a module of the new file follows from the old one.

    Attributes:
        module: Its name in the new file.
        sources: Names of the modules that it is made of.
        error: |ΔW difference| / |ΔW|; 0 for equal bytes.
    """

    module: str
    relation: Relation
    sources: tuple[str, ...]
    error: float = 0.0


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a conversion did, proved on the written file.

    Attributes:
        relations: One entry for each module of the new file.
    """

    relations: tuple[ModuleRelation, ...]

    def count(self, relation: Relation) -> int:
        """Return the number of modules with a relation."""
        return sum(one.relation == relation for one in self.relations)

    @property
    def max_relative_error(self) -> float:
        """The largest error of all modules."""
        return max((one.error for one in self.relations), default=0.0)

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON values."""
        return {
            "modules": len(self.relations),
            "renamed": self.count("renamed"),
            "split": self.count("split"),
            "fused": self.count("fused"),
            "max_relative_error": self.max_relative_error,
        }


def certify(old: WeightFile, new: WeightFile, modules: Sequence[Built]) -> Certificate:
    """Return the certificate of a written file.

    Raises:
        AlgebraError: `not_convertible`; a module of the new file isn't the same update.
    """
    found = {source.name: source for source in read_sources(new, reads_config=False)}
    relations = []
    for built in modules:
        planned = built.planned
        error = _error(built, found.get(planned.name), old, new)
        if not error <= MOST_ERROR:  # also for NaN
            name = planned.moves[0].source.name
            raise refuse_module(name, f"can't be converted exactly (error {error:.1e})")
        names = tuple(move.source.name for move in planned.moves)
        relations.append(ModuleRelation(planned.name, planned.relation, names, error))
    return Certificate(tuple(relations))


def _error(built: Built, written: Source | None, old: WeightFile, new: WeightFile) -> float:
    for name, original in (built.copies or {}).items():
        if not _is_equal(new.raw(name), old.raw(original)):
            return math.inf
    source = built.planned.moves[0].source
    if not source.is_pair:
        return 0.0
    if written is None or not written.is_pair:
        return math.inf
    is_copied = len(built.copies or {}) >= len(built.tensors) - 1  # the alpha may be new
    if built.planned.relation == "renamed" and is_copied:
        return _ratio(written.scale, source.scale)
    return _difference(built.planned, written, old, new)


def _ratio(new: float, old: float) -> float:
    return abs(new - old) / abs(old) if old else float(new != old)


def _is_equal(one: memoryview, other: memoryview) -> bool:
    """Return whether two tensors have the same bytes, a piece at a time."""
    if one.nbytes != other.nbytes:
        return False
    words = one.nbytes // 8  # compared eight bytes at a time, and then the rest
    if one[8 * words :] != other[8 * words :]:
        return False
    left, right = (np.frombuffer(each, np.uint64, words) for each in (one, other))
    return all(
        np.array_equal(left[at : at + _CHUNK_WORDS], right[at : at + _CHUNK_WORDS])
        for at in range(0, words, _CHUNK_WORDS)
    )


def _difference(planned: Planned, written: Source, old: WeightFile, new: WeightFile) -> float:
    """Return |ΔW difference| / |ΔW| of a module and the rows that it is made of."""
    inner = expected = 0.0
    with naming(planned.moves[0].source.name), np.errstate(all="ignore"):
        if len(planned.moves) == 1 and _has_same_factors(planned.moves[0], written, old, new):
            return 0.0
        done = _factors(written, new)
        for move in planned.moves:
            theirs = _factors(move.source, old)
            mine = done._replace(down=done.down[:, : theirs.down.shape[1]])
            if move.rows:
                mine = mine._replace(
                    up=_taken(mine.up, [(row.place, row.size) for row in move.rows])
                )
                theirs = theirs._replace(
                    up=_taken(theirs.up, [(row.begin, row.size) for row in move.rows])
                )
            inner += gram.inner(mine, theirs)
            expected += gram.energy(theirs)
        total = gram.energy(done)
    if expected == 0:
        return 0.0 if total == 0 else math.inf
    return math.sqrt(max(total - 2 * inner + expected, 0.0) / expected)


def _has_same_factors(move: Move, written: Source, old: WeightFile, new: WeightFile) -> bool:
    """Return whether a module has the factors and the scale of the rows that it is made of."""
    if written.scale != move.source.scale:
        return False
    down, up = factors(written, new)
    their_down, their_up = factors(move.source, old)
    if move.rows:
        if sum(row.size for row in move.rows) < len(up):  # its other rows must be zero
            return False
        up = _taken(up, [(row.place, row.size) for row in move.rows])
        their_up = _taken(their_up, [(row.begin, row.size) for row in move.rows])
    return all(
        mine.dtype == theirs.dtype
        and mine.shape == theirs.shape
        and _is_equal(_bytes(mine), _bytes(theirs))
        for mine, theirs in ((down, their_down), (up, their_up))
    )


def _bytes(array: Array) -> memoryview:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _factors(source: Source, file: WeightFile) -> Factors:
    down, up = factors(source, file)
    return gram.compact(Factors(up.astype(np.float64), down.astype(np.float64), source.scale))


def _taken(up: Array, ranges: Sequence[tuple[int, int]]) -> Array:
    parts = [up[begin : begin + size] for begin, size in ranges]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)

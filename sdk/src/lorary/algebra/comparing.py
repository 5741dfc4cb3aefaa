"""Measures one adapter, or compares two, block by block.

The energy of a module is ‖ΔW‖², the squared Frobenius norm of its update. The cosine of two
adapters is ⟨ΔW_A, ΔW_B⟩ / (‖ΔW_A‖ · ‖ΔW_B‖) over all modules; a module that one of them lacks
counts as zero there. Both are independent of rank, alpha and number format.

Modules without two factors (LoHa, LoKr, whole differences) are formed whole, one at a time, which
is exact. Those whose update depends on the base model, such as DoRA, are refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lorary.algebra.aligning import align
from lorary.algebra.errors import AlgebraError, naming
from lorary.algebra.files import WeightFile
from lorary.algebra.matrices.dense import energy_of
from lorary.algebra.matrices.gram import Matrix, energy, finite, inner
from lorary.algebra.merging.whole import read_whole
from lorary.algebra.modules import (
    AdaptedModule,
    Adapter,
    FactorModule,
    WholeModule,
    open_adapter,
)
from lorary.algebra.together import open_together
from lorary.anatomy.display_names import natural
from lorary.replacing import StrPath

_read_whole = partial(read_whole, None)
"""Reads what can be formed without the base model."""


class BlockEnergy(NamedTuple):
    """The energy of a block of the base model, and its share of the whole."""

    block: str
    energy: float
    share: float


@dataclass(frozen=True, slots=True)
class Energies:
    """The energy of an adapter, in all and by block."""

    total: float
    blocks: tuple[BlockEnergy, ...]

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON values."""
        return {"total": self.total, "blocks": [block._asdict() for block in self.blocks]}


def measure(path: StrPath) -> Energies:
    """Return the energy of an adapter by block, in natural order.

    Raises:
        AlgebraError: The file has no exact form, or its numbers are not finite.
        HeaderError: The header breaks a rule.
        OSError: The file can't be read.
    """
    with open_adapter(path, _read_whole) as adapter:
        sums: dict[str, float] = {}
        for name, module in adapter.all_modules.items():
            with naming(name):
                found = _energy(adapter, module)
            sums[module.block] = sums.get(module.block, 0.0) + found
    total = sum(sums.values())
    return Energies(
        total,
        tuple(
            BlockEnergy(block, sums[block], sums[block] / total if total > 0 else 0.0)
            for block in sorted(sums, key=natural)
        ),
    )


class BlockPair(NamedTuple):
    """A block of two adapters.

    Attributes:
        cosine: None if one of them doesn't change the block.
        energy: Energy of the first and of the second adapter.
        moved: ‖ΔW_A − ΔW_B‖² of the block as a share of that of all blocks.
    """

    block: str
    cosine: float | None
    energy: tuple[float, float]
    moved: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two adapters side by side.

    Attributes:
        energy: Energy of the first and of the second adapter.
        metadata: Key to the values of both, None where it is absent; only keys that differ.
    """

    cosine: float
    energy: tuple[float, float]
    blocks: tuple[BlockPair, ...]
    metadata: Mapping[str, tuple[str | None, str | None]]

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON values."""
        return {
            "cosine": self.cosine,
            "blocks": [{**block._asdict(), "energy": list(block.energy)} for block in self.blocks],
            "energy": list(self.energy),
            "metadata": {key: list(values) for key, values in self.metadata.items()},
        }


class _Products(NamedTuple):
    """⟨A, A⟩, ⟨B, B⟩ and ⟨A, B⟩."""

    first: float = 0.0
    second: float = 0.0
    both: float = 0.0

    def plus(self, other: _Products) -> _Products:
        return _Products(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))

    @property
    def cosine(self) -> float | None:
        norm = math.sqrt(self.first) * math.sqrt(self.second)
        return max(-1.0, min(1.0, self.both / norm)) if norm > 0 else None

    @property
    def distance(self) -> float:
        return max(self.first + self.second - 2 * self.both, 0.0)


def compare(first: StrPath, second: StrPath, *, family: str | None = None) -> Comparison:
    """Compare two adapters; blocks have the names of the first one.

    Args:
        family: Id of the base model's family, where the files have different names and do not show
            it.

    Raises:
        AlgebraError: A file has no exact form, the files don't fit together, or both change
            nothing.
        HeaderError: A header breaks a rule.
        OSError: A file can't be read.
    """
    paths = [Path(first), Path(second)]
    names = [path.name for path in paths]
    with open_together(paths, family=family, read_whole=_read_whole) as (one, other):
        sums: dict[str, _Products] = {}
        for occurrences in align([one.all_modules, other.all_modules], names).values():
            module = occurrences[0][1]
            with naming(module.name):
                found = _products((one, other), occurrences)
            sums[module.block] = sums.get(module.block, _Products()).plus(found)
    with WeightFile(first) as mine, WeightFile(second) as theirs:
        metadata = differences(mine.metadata, theirs.metadata)
    total = _sum(sums.values())
    if total.first == 0 == total.second:
        message = "Neither file changes anything, so they can't be compared."
        raise AlgebraError(message, code="energy_zero")
    distance = sum(found.distance for found in sums.values())
    blocks = tuple(
        BlockPair(
            block,
            sums[block].cosine,
            (sums[block].first, sums[block].second),
            sums[block].distance / distance if distance > 0 else 0.0,
        )
        for block in sorted(sums, key=natural)
    )
    return Comparison(total.cosine or 0.0, (total.first, total.second), blocks, metadata)


def _energy(adapter: Adapter, module: AdaptedModule) -> float:
    if isinstance(module, FactorModule):
        return energy(adapter.factors(module))
    return energy_of(_dense(adapter, module))


def _dense(adapter: Adapter, module: AdaptedModule) -> Matrix:
    """Return the update of a module as a matrix `(out, fan_in)`."""
    if isinstance(module, WholeModule):
        return module.compute()
    assert isinstance(module, FactorModule)  # noqa: S101 - there are two kinds
    return adapter.factors(module).dense()


def _products(
    adapters: tuple[Adapter, Adapter], occurrences: Iterable[tuple[int, AdaptedModule]]
) -> _Products:
    modules = dict(occurrences)
    if any(isinstance(module, WholeModule) for module in modules.values()):
        return _dense_products(
            {number: _dense(adapters[number], module) for number, module in modules.items()}
        )
    factors = {
        number: adapters[number].factors(module)
        for number, module in modules.items()
        if isinstance(module, FactorModule)
    }
    return _Products(
        energy(factors[0]) if 0 in factors else 0.0,
        energy(factors[1]) if 1 in factors else 0.0,
        inner(factors[0], factors[1]) if len(factors) == 2 else 0.0,
    )


def _dense_products(updates: Mapping[int, Matrix]) -> _Products:
    both = updates.values() if len(updates) == 2 else ()
    return _Products(
        energy_of(updates[0]) if 0 in updates else 0.0,
        energy_of(updates[1]) if 1 in updates else 0.0,
        finite(float(np.einsum("ij,ij->", *both))) if both else 0.0,
    )


def _sum(products: Iterable[_Products]) -> _Products:
    total = _Products()
    for found in products:
        total = total.plus(found)
    return total


def differences(
    first: Mapping[str, str], second: Mapping[str, str]
) -> dict[str, tuple[str | None, str | None]]:
    """Return the keys whose values differ, with both values; None for an absent one."""
    return {
        key: (first.get(key), second.get(key))
        for key in sorted({*first, *second})
        if first.get(key) != second.get(key)
    }

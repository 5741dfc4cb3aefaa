"""Merges a stack of adapters into one file.

By default the merge is exact: the factors of all parts stand side by side. The largest product of
strength and scale becomes the scale, by its size, and the quotients are multiplied into `up`:

    D = [D₁; D₂; …],  U = [w₁s₁/s · U₁, w₂s₂/s · U₂, …],  s = the largest |wᵢsᵢ|
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lorary.algebra.aligning import Aligned, align, require_one_family
from lorary.algebra.dense import approximate
from lorary.algebra.errors import AlgebraError, naming
from lorary.algebra.files import OnStep, WrittenFile, write_weights
from lorary.algebra.gram import (
    Factors,
    decompose,
    energy,
    joined,
    joint_scale,
    rank_for_share,
    singular_values,
    truncated,
)
from lorary.algebra.merging.modes import DENSITIES, MODES, Delta, dare, dare_mask, ties
from lorary.algebra.metadata.rules import merged_metadata
from lorary.algebra.modules import Adapter, FactorModule, open_adapter
from lorary.algebra.storing import NewFactors, Plan, copied, planned, require_no_config
from lorary.anatomy.claims.config import METADATA_KEY

_ALL = 1 - 1e-14  # share of energy below which a direction carries nothing


@dataclass(frozen=True, slots=True)
class MergeSettings:
    """How adapters are merged.

    Attributes:
        mode: One of `MODES`; `lorary.algebra.merging.modes` explains them.
        max_rank: Largest rank of a module; None for no limit (`svd`: that of the parts).
        density: Share of the elements that TIES and DARE keep; None for the default.
        seed: Seed of DARE.
        dtype: Number format of the factors; None for that of the first file with the module.

    Raises:
        ValueError: A value is out of its range.
    """

    mode: str = MODES[0]
    max_rank: int | None = None
    density: float | None = None
    seed: int = 0
    dtype: str | None = None

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            message = f"the mode is one of {', '.join(MODES)}, not {self.mode!r}"
            raise ValueError(message)
        if self.max_rank is not None and self.max_rank < 1:
            message = "the rank must be at least 1"
            raise ValueError(message)
        if self.density is not None and not 0 < self.density <= 1:
            message = "the density must be above 0 and at most 1"
            raise ValueError(message)


class MergedModule(NamedTuple):
    """A merged module.

    Attributes:
        energy: ‖ΔW‖² of the merge before it is approximated.
        kept: ‖ΔW‖² of what is stored; rounding to the number format is not counted.
    """

    name: str
    block: str
    rank: int
    energy: float
    kept: float

    @property
    def relative_error(self) -> float:
        """‖difference‖ / ‖ΔW‖ of the approximation."""
        lost = max(self.energy - self.kept, 0.0)
        return math.sqrt(lost / self.energy) if self.energy > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Merged:
    """A merged file, with what was kept of each module."""

    out: WrittenFile
    modules: tuple[MergedModule, ...]

    @property
    def max_relative_error(self) -> float:
        """Largest relative error of a module."""
        return max((module.relative_error for module in self.modules), default=0.0)


def merge(
    paths: Sequence[Path],
    out: Path,
    *,
    strengths: Sequence[float],
    settings: MergeSettings | None = None,
    on_step: OnStep | None = None,
) -> Merged:
    """Write the merge of some adapters with their strengths.

    One file with strength 1 keeps the bytes of its tensors.

    Args:
        paths: The adapters; module names are those of the first file that has the module.
        out: Path of the new file, which is replaced if it exists.
        strengths: Strength of each adapter; those with 0 are left out.
        on_step: Called after each tensor that is written.

    Raises:
        AlgebraError: A file has no exact form, or the files don't fit together.
        HeaderError: A header breaks a rule.
        OSError: A file can't be read or written.
        ValueError: The strengths are not as many finite numbers as files, or all are 0.
    """
    settings = settings or MergeSettings()
    if len(paths) != len(strengths) or not all(map(math.isfinite, strengths)):
        message = "give one finite strength for each file"
        raise ValueError(message)
    used = [(path, weight) for path, weight in zip(paths, strengths, strict=True) if weight != 0]
    if not used:
        message = "at least one strength must differ from 0"
        raise ValueError(message)
    with ExitStack() as stack:
        adapters = [stack.enter_context(open_adapter(path)) for path, _ in used]
        run = _Merge(adapters, [weight for _, weight in used], settings)
        if run.is_copy:
            plan, extra = run.copy()
        else:
            require_one_family([path for path, _ in used])
            plan, extra = run.plan(), {}
        if not extra:
            require_no_config(out, (one for own in adapters for one in own.modules.values()))
        sources = [
            (path.name, weight, adapter.file.metadata)
            for (path, weight), adapter in zip(used, adapters, strict=True)
        ]
        metadata = {**merged_metadata(sources, run.operation()), **extra}
        written = write_weights(out, plan, metadata, adds_hash=True, on_step=on_step)
    return Merged(written, tuple(run.results.values()))


@dataclass(frozen=True, slots=True)
class _Merge:
    """A merge of open adapters."""

    adapters: Sequence[Adapter]
    weights: Sequence[float]
    settings: MergeSettings
    results: dict[str, MergedModule] = field(default_factory=dict)

    @property
    def is_copy(self) -> bool:
        """Whether the tensors of the only file can be copied."""
        settings, first = self.settings, self.adapters[0]
        is_plain = settings.mode in {"concat", "linear"} and settings.dtype is None
        most = max(module.rank for module in first.modules.values())
        is_fit = settings.max_rank is None or settings.max_rank >= most
        return (
            is_plain
            and is_fit
            and list(self.weights) == [1]
            and (METADATA_KEY in first.file.metadata or not _needs_config(first))
        )

    def copy(self) -> tuple[Plan, Mapping[str, str]]:
        """Return the tensors of the only file, and the configuration that they need."""
        adapter = self.adapters[0]
        for name, module in adapter.modules.items():
            total = energy(self._part(0, module))
            self.results[name] = MergedModule(name, module.block, module.rank, total, total)
        metadata = adapter.file.metadata
        kept = {METADATA_KEY: metadata[METADATA_KEY]} if METADATA_KEY in metadata else {}
        return copied(adapter.file, list(adapter.file.tensors.names)), kept

    def operation(self) -> dict[str, object]:
        """Return what the metadata says about the merge."""
        settings = self.settings
        found: dict[str, object] = {"operation": "merge", "mode": settings.mode}
        if settings.max_rank is not None:
            found["max_rank"] = settings.max_rank
        if settings.mode in DENSITIES:
            found["density"] = self._density
        if settings.mode == "dare":
            found["seed"] = settings.seed
        return found

    def plan(self) -> Plan:
        """Plan the tensors of all modules.

        Raises:
            AlgebraError: The files don't fit together, or have tensors that can't be added.
        """
        names = [adapter.file.path.name for adapter in self.adapters]
        for name, adapter in zip(names, self.adapters, strict=True):
            if adapter.others:
                message = (
                    f"{name} has tensors beside the factors of its modules, such as "
                    f"“{adapter.others[0]}”, which can't be merged."
                )
                raise AlgebraError(message, code="extra_tensors", tensors=adapter.others[:10])
        aligned: Aligned = align([adapter.modules for adapter in self.adapters], names)
        plan: Plan = {}
        for occurrences in aligned.values():
            first, module = occurrences[0]
            rank = self._rank(occurrences)
            scale = self._scale(occurrences)
            new = NewFactors(
                module, rank, scale, partial(self._merged, occurrences, rank), self.settings.dtype
            )
            plan |= planned(self.adapters[first].file, new)
        return plan

    @property
    def _density(self) -> float:
        settings = self.settings
        return settings.density or DENSITIES[settings.mode]

    def _part(self, number: int, module: FactorModule) -> Factors:
        factors = self.adapters[number].factors(module)
        return factors._replace(scale=factors.scale * self.weights[number])

    def _scale(self, occurrences: Sequence[tuple[int, FactorModule]]) -> float:
        """Return the scale of the merged factors, known before they are computed."""
        if self.settings.mode in DENSITIES:
            return 1.0
        return joint_scale([module.scale * self.weights[number] for number, module in occurrences])

    def _rank(self, occurrences: Sequence[tuple[int, FactorModule]]) -> int:
        ranks = [module.rank for _, module in occurrences]
        module = occurrences[0][1]
        rank = min(sum(ranks), module.out, module.fan_in)
        most = self.settings.max_rank
        if self.settings.mode == "svd":
            most = most or max(ranks)
        elif self.settings.mode == "linear":
            with naming(module.name):
                values = singular_values(self._joined(occurrences))
            rank = min(rank, rank_for_share(values, _ALL))
        return rank if most is None else min(rank, most)

    def _joined(self, occurrences: Sequence[tuple[int, FactorModule]]) -> Factors:
        return joined([self._part(number, module) for number, module in occurrences])

    def _merged(self, occurrences: Sequence[tuple[int, FactorModule]], rank: int) -> Factors:
        module = occurrences[0][1]
        with naming(module.name):
            if self.settings.mode in DENSITIES:
                found = approximate(self._dense(occurrences), rank)
                factors, total, kept = found.factors, found.energy, found.kept
            else:
                factors = self._joined(occurrences)
                if rank < factors.rank:
                    decomposed = decompose(factors)
                    values = decomposed.values
                    total, kept = float((values**2).sum()), float((values[:rank] ** 2).sum())
                    factors = truncated(decomposed, rank)
                else:
                    total = kept = energy(factors)
        self.results[module.name] = MergedModule(module.name, module.block, rank, total, kept)
        return factors

    def _dense(self, occurrences: Sequence[tuple[int, FactorModule]]) -> Delta:
        deltas: list[Delta] = [
            self.adapters[number].factors(module).dense().astype(np.float32)
            for number, module in occurrences
        ]
        weights = [self.weights[number] for number, _ in occurrences]
        if self.settings.mode == "ties":
            return ties(deltas, weights, self._density)
        name, seed = occurrences[0][1].name, self.settings.seed
        masks = [
            dare_mask(delta.shape, self._density, seed=seed, name=name, number=number)
            for delta, (number, _) in zip(deltas, occurrences, strict=True)
        ]
        return dare(deltas, weights, self._density, masks)


def _needs_config(adapter: Adapter) -> bool:
    """Return whether a scale comes from the configuration beside the file."""
    modules = adapter.modules.values()
    return any("alpha" not in module.tensors and module.scale != 1 for module in modules)

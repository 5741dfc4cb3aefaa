"""Merges a stack of adapters into one file.

By default the merge is exact: the factors of all parts stand side by side. The largest product of
strength and scale becomes the scale, by its size, and the quotients are multiplied into `up`:

    D = [D₁; D₂; …],  U = [w₁s₁/s · U₁, w₂s₂/s · U₂, …],  s = the largest |wᵢsᵢ|
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from lorary.algebra.aligning import align, common_families, require_equal_shapes
from lorary.algebra.checkpoints import BaseWeights
from lorary.algebra.conversion.converting import convert
from lorary.algebra.errors import AlgebraError, about, naming
from lorary.algebra.files import (
    Array,
    OnStep,
    PlannedTensor,
    WeightFile,
    WrittenFile,
    output_path,
    temporary_place,
    write_weights,
)
from lorary.algebra.matrices.dense import approximate, energy_of
from lorary.algebra.matrices.gram import (
    Factors,
    Matrix,
    decompose,
    energy,
    joined,
    joint_scale,
    rank_for_share,
    relative_error,
    singular_values,
    truncated,
)
from lorary.algebra.merging.modes import DENSITIES, MODES, Delta, dare, dare_mask, ties
from lorary.algebra.merging.whole import METHODS, ON_BASE, read_whole
from lorary.algebra.metadata.rules import merged_metadata
from lorary.algebra.modules import AdaptedModule, Adapter, FactorModule, ReadWhole, WholeModule
from lorary.algebra.naming.relations import names_of
from lorary.algebra.storing import (
    NewFactors,
    Plan,
    cast,
    copied,
    planned,
    require_no_config,
    stored_dtype,
)
from lorary.algebra.together import needs_kohya, open_together
from lorary.anatomy import FAMILIES
from lorary.anatomy.claims.config import METADATA_KEY, require_file
from lorary.anatomy.claims.metadata import clean
from lorary.replacing import StrPath
from lorary.safetensors.tensors import FLOAT_DTYPES

_Occurrences = Sequence[tuple[int, AdaptedModule]]
_ALL = 1 - 1e-14  # share of energy below which a direction carries nothing


@dataclass(frozen=True, slots=True)
class MergeSettings:
    """How adapters are merged.

    Attributes:
        mode: One of `MODES`; `lorary.algebra.merging.modes` explains them.
        max_rank: Largest rank of a module; None for no limit (`svd`: that of the parts).
        density: Share of the elements that TIES and DARE keep; None for the default.
        seed: Seed of DARE.
        dtype: Number format of the factors, as in `resize_to_rank`; None for that of the first file
            with the module.
        to: Naming of the result, one of `TARGETS` or `ALIASES`; None for that of the first file.
        family: Id of the base model's family, where the files do not show it and their names must
            be converted.
        base: A checkpoint of the base model, for modules whose update depends on it.

    Raises:
        ValueError: A value is out of its range. It is an AlgebraError for the number format.
    """

    mode: str = MODES[0]
    max_rank: int | None = None
    density: float | None = None
    seed: int = 0
    dtype: str | None = None
    to: str | None = None
    family: str | None = None
    base: StrPath | None = None

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            message = f"the mode must be one of {', '.join(MODES)}, not {self.mode!r}"
            raise ValueError(message)
        if self.max_rank is not None and self.max_rank < 1:
            message = "the rank must be at least 1"
            raise ValueError(message)
        if self.density is not None and not 0 < self.density <= 1:
            message = "the density must be above 0 and at most 1"
            raise ValueError(message)
        object.__setattr__(self, "dtype", stored_dtype(self.dtype))


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
        return relative_error(self.energy, self.kept)


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
    paths: Sequence[StrPath],
    out: StrPath,
    *,
    strengths: Sequence[float],
    settings: MergeSettings | None = None,
    on_step: OnStep | None = None,
) -> Merged:
    """Write the merge of some adapters with their strengths.

    One file with strength 1 keeps the bytes of its tensors. Files with different names of the same
    modules are converted to the naming of the first one.

    Args:
        paths: The adapters.
        out: Path of the new file. It replaces an existing one, but never an input or the base
            model. Its folder is created.
        strengths: Strength of each adapter; those with 0 are left out.
        on_step: Called after each tensor that is written.

    Raises:
        AlgebraError: A file has no exact form, the files don't fit together, or `same_file`.
        HeaderError: A header breaks a rule.
        OSError: A file can't be read or written.
        ValueError: The strengths are not as many finite numbers as files, or all are 0.
    """
    settings = settings or MergeSettings()
    if len(paths) != len(strengths) or not all(map(math.isfinite, strengths)):
        message = "give one finite strength for each file"
        raise ValueError(message)
    used = [
        (Path(path), float(weight))
        for path, weight in zip(paths, strengths, strict=True)
        if weight != 0
    ]
    if not used:
        message = "at least one strength must differ from 0"
        raise ValueError(message)
    out = output_path(out, [*paths, *([] if settings.base is None else [settings.base])])
    folder = temporary_place(out)
    files = [path for path, _ in used]
    is_asked = len(files) > 1 or settings.to is not None or settings.base is not None
    families = common_families(files) if is_asked else frozenset()  # reads every header
    with ExitStack() as stack:
        reader = None
        if settings.max_rank is not None:
            reader = partial(read_whole, _opened_base(stack, settings, families))
        adapters = stack.enter_context(_opened(files, folder, settings, families, reader))
        run = _Merge(adapters, [weight for _, weight in used], settings)
        if run.is_copy:
            plan, extra = run.copy()
        else:
            plan, extra = run.plan(), {}
        is_converted = needs_kohya(settings.to, adapters)
        place = out
        if is_converted:
            temporary = TemporaryDirectory(prefix=".lorary-", dir=folder)
            place = Path(stack.enter_context(temporary), out.name)
        elif not extra:
            require_no_config(out, (one for own in adapters for one in own.all_modules.values()))
        sources = [
            (path.name, weight, adapter.file.metadata)
            for (path, weight), adapter in zip(used, adapters, strict=True)
        ]
        metadata = {**merged_metadata(sources, run.operation()), **extra}
        written = write_weights(place, plan, metadata, adds_hash=True, on_step=on_step)
        if is_converted and settings.to is not None:
            written = convert(
                place, to=settings.to, out=out, family=settings.family, among=families
            ).out
    return Merged(written, tuple(run.results.values()))


def _opened_base(
    stack: ExitStack, settings: MergeSettings, families: frozenset[str]
) -> BaseWeights | None:
    """Return the weights of the base model, with the names of the family that fits all files."""
    if settings.base is None:
        return None
    base = Path(settings.base)
    require_file(base)
    fitting = {settings.family} if settings.family else families
    family = next((one for one in FAMILIES if one in fitting), None)
    with about(base):
        file = stack.enter_context(WeightFile(base))
    return BaseWeights(file, None if family is None else names_of(family))


@contextmanager
def _opened(
    paths: Sequence[Path],
    folder: Path,
    settings: MergeSettings,
    families: frozenset[str],
    reader: ReadWhole | None,
) -> Iterator[list[Adapter]]:
    """Open the files under one naming, and say what would be needed for the others."""
    with ExitStack() as stack:
        try:
            adapters = stack.enter_context(
                open_together(
                    paths,
                    to=settings.to,
                    family=settings.family,
                    common=families,
                    folder=folder,
                    read_whole=reader,
                )
            )
        except AlgebraError as error:
            is_known = error.facts.get("algorithm") in METHODS and settings.base is None
            if error.code != "no_factors" or not is_known:
                raise
            needed = ["a largest rank (--max-rank)"] if reader is None else []
            if error.facts["algorithm"] in ON_BASE:
                needed.append("the base model (--base)")
            message = f"{error.detail} It can be approximated with {' and '.join(needed)}."
            raise AlgebraError(message, code=error.code, **error.facts) from error
        yield adapters


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
        most = max((module.rank for module in first.modules.values()), default=0)
        is_fit = settings.max_rank is None or (not first.wholes and settings.max_rank >= most)
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
        if settings.base is not None:
            found["base"] = Path(settings.base).name
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
            extra = [one for one in adapter.others if one not in adapter.vectors]
            if extra:
                message = (
                    f"{name} has tensors beside the factors of its modules, such as "
                    f"“{extra[0]}”, which can't be merged."
                )
                raise AlgebraError(message, code="extra_tensors", tensors=extra[:10])
        plan = self._vectors(names)
        for occurrences in align([one.all_modules for one in self.adapters], names).values():
            # The first file with factors gives their names.
            number, module = next(
                (one for one in occurrences if "up" in one[1].tensors), occurrences[0]
            )
            rank = self._rank(occurrences)
            scale = self._scale(occurrences)
            new = NewFactors(
                module, rank, scale, partial(self._merged, occurrences, rank), self.settings.dtype
            )
            plan |= planned(self.adapters[number].file, new)
        return plan

    def _vectors(self, names: Sequence[str]) -> Plan:
        """Plan the sums of differences of biases and norms."""
        found: dict[str, list[tuple[int, tuple[int, ...]]]] = {}
        for number, adapter in enumerate(self.adapters):
            for name in adapter.others:
                found.setdefault(name, []).append((number, adapter.file.tensors[name].shape))
        plan: Plan = {}
        for name, shapes in found.items():
            require_equal_shapes(name, shapes, names)
            numbers = [number for number, _ in shapes]
            tensor = self.adapters[numbers[0]].file.tensors[name]
            dtypes = {self.adapters[number].file.tensors[name].dtype for number in numbers}
            if not dtypes <= FLOAT_DTYPES:
                message = f"“{clean(name)}” has whole numbers."
                raise AlgebraError(message, code="dtype_unsupported", tensor=name)
            dtype = self.settings.dtype or tensor.dtype
            data = partial(self._vector_sum, name, numbers, dtype)
            plan[name] = PlannedTensor(dtype, tensor.shape, data)
        return plan

    def _vector_sum(self, name: str, numbers: Sequence[int], dtype: str) -> Array:
        arrays = [self.adapters[number].file.array(name) for number in numbers]
        total = sum(
            self.weights[number] * array.astype(np.float64)
            for number, array in zip(numbers, arrays, strict=True)
        )
        return cast(np.asarray(total), dtype, name)

    @property
    def _density(self) -> float:
        settings = self.settings
        return settings.density or DENSITIES[settings.mode]

    def _part(self, number: int, module: FactorModule) -> Factors:
        factors = self.adapters[number].factors(module)
        return factors._replace(scale=factors.scale * self.weights[number])

    def _scale(self, occurrences: _Occurrences) -> float:
        """Return the scale of the merged factors, known before they are computed."""
        pairs = self._pairs(occurrences)
        if self.settings.mode in DENSITIES or pairs is None:
            return 1.0
        return joint_scale([module.scale * self.weights[number] for number, module in pairs])

    def _pairs(self, occurrences: _Occurrences) -> Sequence[tuple[int, FactorModule]] | None:
        """Return the modules if all of them have factors."""
        found = [(number, one) for number, one in occurrences if isinstance(one, FactorModule)]
        return found if len(found) == len(occurrences) else None

    def _rank(self, occurrences: _Occurrences) -> int:
        module, most = occurrences[0][1], self.settings.max_rank
        pairs = self._pairs(occurrences)
        if pairs is None:
            rank = min(module.out, module.fan_in)
            if self.settings.mode not in DENSITIES:  # which drop elements
                rank = min(rank, sum(_most_rank(one) for _, one in occurrences))
            return min(most or rank, rank)
        ranks = [one.rank for _, one in pairs]
        rank = min(sum(ranks), module.out, module.fan_in)
        if self.settings.mode == "svd":
            most = most or max(ranks)
        elif self.settings.mode == "linear":
            with naming(module.name):
                values = singular_values(self._joined(pairs))
            rank = min(rank, rank_for_share(values, _ALL))
        return rank if most is None else min(rank, most)

    def _joined(self, occurrences: Sequence[tuple[int, FactorModule]]) -> Factors:
        return joined([self._part(number, module) for number, module in occurrences])

    def _merged(self, occurrences: _Occurrences, rank: int) -> Factors:
        module, pairs = occurrences[0][1], self._pairs(occurrences)
        with naming(module.name):
            if self.settings.mode in DENSITIES or pairs is None:
                found = approximate(self._dense(occurrences), rank)
                factors, total, kept = found.factors, found.energy, found.kept
            else:
                factors = self._joined(pairs)
                if rank < factors.rank:
                    decomposed = decompose(factors)
                    values = decomposed.values
                    total, kept = float((values**2).sum()), float((values[:rank] ** 2).sum())
                    factors = truncated(decomposed, rank)
                else:
                    total = kept = energy(factors)
        self.results[module.name] = MergedModule(module.name, module.block, rank, total, kept)
        return factors

    def _dense(self, occurrences: _Occurrences) -> Delta:
        weights = [self.weights[number] for number, _ in occurrences]
        if self.settings.mode not in DENSITIES:
            total: Delta = np.zeros((occurrences[0][1].out, occurrences[0][1].fan_in), np.float32)
            for weight, occurrence in zip(weights, occurrences, strict=True):
                update = self._delta(*occurrence)
                update *= weight
                total += update
            return total
        deltas: list[Delta] = [self._delta(*one).astype(np.float32) for one in occurrences]
        for delta in deltas:
            energy_of(delta)  # refuses what is not finite, which would be dropped
        if self.settings.mode == "ties":
            return ties(deltas, weights, self._density)
        name, seed = occurrences[0][1].name, self.settings.seed
        masks = [
            dare_mask(delta.shape, self._density, seed=seed, name=name, number=number)
            for delta, (number, _) in zip(deltas, occurrences, strict=True)
        ]
        return dare(deltas, weights, self._density, masks)

    def _delta(self, number: int, module: AdaptedModule) -> Matrix:
        """Return the update of a module in a file, in double precision."""
        if isinstance(module, WholeModule):
            return module.compute()
        assert isinstance(module, FactorModule)  # noqa: S101 - there is no other kind
        return self.adapters[number].factors(module).dense()


def _most_rank(module: AdaptedModule) -> int:
    if isinstance(module, WholeModule):
        return module.most_rank
    assert isinstance(module, FactorModule)  # noqa: S101 - there is no other kind
    return module.rank


def _needs_config(adapter: Adapter) -> bool:
    """Return whether a scale comes from the configuration beside the file."""
    modules = adapter.modules.values()
    return any("alpha" not in module.tensors and module.scale != 1 for module in modules)

"""Extracts an adapter from two checkpoints: the factors of what changed in each weight.

One weight is in memory at a time. Modules are named as their checkpoint names them:

| checkpoint | adapter |
|---|---|
| diffusers UNet | `unet.<module>.lora_A.weight` |
| diffusers transformer | `transformer.<module>.lora_A.weight` |
| original transformer | `diffusion_model.<module>.lora_A.weight` |
| original Stable Diffusion | `lora_unet_<module>.lora_down.weight`, `lora_te…` |

Source: kohya's `networks/extract_lora_from_models.py` for the idea and the names of SD.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lorary.algebra.checkpoints import ENCODERS, OUTER, WEIGHT, require_unscaled
from lorary.algebra.errors import AlgebraError, about, naming
from lorary.algebra.files import Array, OnStep, WeightFile, WrittenFile, output_path, write_weights
from lorary.algebra.matrices.dense import approximate
from lorary.algebra.matrices.gram import Factors
from lorary.algebra.metadata.rules import OPERATION
from lorary.algebra.storing import (
    KOHYA_ENDINGS,
    PEFT_ENDINGS,
    FactorPair,
    Plan,
    planned_alpha,
    planned_pair,
    stored_dtype,
)
from lorary.anatomy.claims.config import require_file
from lorary.anatomy.families import family_index
from lorary.anatomy.keys.conventions import naming_style
from lorary.replacing import StrPath
from lorary.safetensors.tensors import FLOAT_DTYPES

_ROWS = 256  # rows of a weight that are subtracted at a time


class ExtractedModule(NamedTuple):
    """A module of an extracted adapter.

    Attributes:
        energy: ‖tuned − base‖².
        relative_error: ‖tuned − base − ΔW‖ / ‖tuned − base‖; rounding is not counted.
    """

    name: str
    rank: int
    energy: float
    relative_error: float


@dataclass(frozen=True, slots=True)
class Extracted:
    """An extracted adapter.

    Attributes:
        left_out: Tensors that changed and that an adapter of this form can't have, such as norms,
            biases and weights that no table names.
    """

    out: WrittenFile
    modules: tuple[ExtractedModule, ...]
    left_out: tuple[str, ...]

    @property
    def max_relative_error(self) -> float:
        """Largest relative error of a module."""
        return max(module.relative_error for module in self.modules)


class _Target(NamedTuple):
    """A weight that changed, and how its module is called in the adapter."""

    weight: str
    module: str

    @property
    def is_kohya(self) -> bool:
        """Whether the name is flat, as kohya's tools write it."""
        return self.module.startswith("lora_")


def extract(
    base: StrPath,
    tuned: StrPath,
    out: StrPath,
    *,
    rank: int,
    dtype: str | None = None,
    on_step: OnStep | None = None,
) -> Extracted:
    """Write an adapter that turns one checkpoint into another, as well as a rank allows.

    Args:
        base: The checkpoint before training.
        tuned: The checkpoint after training, with the same names.
        out: Path of the new file. It replaces an existing one, but never an input. Its folder is
            created.
        rank: Largest rank of a module, at least 1.
        dtype: Number format of the factors, as in `resize_to_rank`; by default that of each
            weight in `tuned`, and BF16 for FP8.
        on_step: Called after each tensor that is written.

    Raises:
        AlgebraError: The checkpoints have no changed weight that can be named in an adapter, or
            `same_file`, or `dtype_unsupported`.
        HeaderError: A header breaks a rule.
        OSError: A file can't be read or written.
    """
    dtype = stored_dtype(dtype)
    base, tuned = Path(base), Path(tuned)
    place = output_path(out, [base, tuned])
    with ExitStack() as stack:
        files = []
        for path in (base, tuned):
            with about(path):
                require_file(path)
                files.append(stack.enter_context(WeightFile(path)))
        targets, left_out = _changes(*files)
        results: dict[str, ExtractedModule] = {}
        plan: Plan = {}
        for target in targets:
            plan |= _planned(files, target, rank, dtype, results)
        made = {"operation": "extract", "base": base.name, "tuned": tuned.name, "rank": rank}
        metadata = {
            "modelspec.sai_model_spec": "1.0.1",
            "modelspec.title": f"{tuned.stem}, rank {rank}",
            OPERATION: json.dumps(made, sort_keys=True, separators=(",", ":")),
        }
        written = write_weights(place, plan, metadata, adds_hash=True, on_step=on_step)
    return Extracted(written, tuple(results[target.module] for target in targets), left_out)


def _changes(base: WeightFile, tuned: WeightFile) -> tuple[list[_Target], tuple[str, ...]]:
    """Return the weights that changed and can be named, and the names of all other changes."""
    for file in (base, tuned):
        require_unscaled(file)
    shared = [name for name in tuned.tensors if name in base.tensors]
    if not shared:
        message = "The two checkpoints have no tensors in common."
        raise AlgebraError(message, code="files_differ")
    targets: dict[str, _Target] = {}
    left_out: list[str] = []
    for name in shared:
        if not _is_changed(base, tuned, name):
            continue
        target = _target(name) if _is_weight(base, tuned, name) else None
        if target is None or target.module in targets:
            left_out.append(name)
        else:
            targets[target.module] = target
    if not targets:
        if not left_out:
            message = "The two checkpoints have equal weights."
            raise AlgebraError(message, code="files_differ")
        message = (
            f"None of the {len(left_out):,} tensors that changed, such as “{left_out[0]}”, can be "
            "named in an adapter. Both files must be whole models, such as checkpoints or UNets; "
            "`lorary compare` compares adapters."
        )
        raise AlgebraError(message, code="names_unknown", tensors=left_out[:10])
    return list(targets.values()), tuple(left_out)


def _is_changed(base: WeightFile, tuned: WeightFile, name: str) -> bool:
    if base.tensors[name][:2] != tuned.tensors[name][:2]:  # format and shape
        return True
    first, second = (np.frombuffer(file.raw(name), np.uint8) for file in (base, tuned))
    is_changed = not np.array_equal(first, second)
    base.drop_pages()
    tuned.drop_pages()
    return is_changed


def _is_weight(base: WeightFile, tuned: WeightFile, name: str) -> bool:
    before, after = base.tensors[name], tuned.tensors[name]
    return (
        before.shape == after.shape
        and len(after.shape) >= 2
        and 0 not in after.shape
        and {before.dtype, after.dtype} <= FLOAT_DTYPES
    )


def _target(name: str) -> _Target | None:
    """Return how the module of a weight is called in an adapter, or None."""
    module = name.removesuffix(WEIGHT)
    if module == name:
        return None
    for prefix, flat in ENCODERS.items():
        if module.startswith(prefix) and "embed" not in module:
            return _Target(name, flat + module.removeprefix(prefix).replace(".", "_"))
    outer = OUTER.match(module)
    path = module if outer is None else module[outer.end() :]
    place = family_index().find(path, is_flat=False)
    if place is None:
        return None
    style = naming_style(path, place.naming)
    if style == "sgm":
        return _Target(name, f"lora_unet_{path.replace('.', '_')}")
    prefix = {"unet": "unet", "diffusers": "transformer"}.get(style, "diffusion_model")
    return _Target(name, f"{prefix}.{path}")


def _planned(
    files: list[WeightFile],
    target: _Target,
    rank: int,
    dtype: str | None,
    results: dict[str, ExtractedModule],
) -> Plan:
    tensor = files[1].tensors[target.weight]
    out, *rest = tensor.shape
    rank = min(rank, out, int(np.prod(rest)))
    # Factors of 8 bits would have rounding errors that are not in the reported ones.
    dtype = dtype or ("BF16" if tensor.dtype.startswith("F8_") else tensor.dtype)
    pair = FactorPair(target.module, partial(_factors, files, target, rank, results))
    endings = KOHYA_ENDINGS if target.is_kohya else PEFT_ENDINGS
    plan = planned_pair(pair, target.module, endings, dtype, (rank, *tensor.shape))
    if target.is_kohya:
        plan[f"{target.module}.alpha"] = planned_alpha(float(rank), dtype, ())
    return plan


def _factors(
    files: list[WeightFile], target: _Target, rank: int, results: dict[str, ExtractedModule]
) -> Factors:
    before, after = (file.array(target.weight) for file in files)
    with naming(target.module):
        found = approximate(_difference(before, after), rank)
    results[target.module] = ExtractedModule(
        target.module, rank, found.energy, found.relative_error
    )
    del before, after
    for file in files:
        file.drop_pages()
    return found.factors


def _difference(before: Array, after: Array) -> Array:
    """Return after − before in F32, as a matrix; the subtraction itself is in F64."""
    first, second = (array.reshape(array.shape[0], -1) for array in (before, after))
    found = np.empty(first.shape, np.float32)
    for row in range(0, len(first), _ROWS):
        rows = slice(row, row + _ROWS)
        found[rows] = second[rows].astype(np.float64) - first[rows].astype(np.float64)
    return found

"""Resizes adapters: the best approximation of each module by factors of a smaller rank.

The approximation is the truncated singular value decomposition of the update (Eckart and Young
1936). As in kohya's `resize_lora.py`, the scale stays: alpha' = alpha / rank · rank'.

Source: https://github.com/kohya-ss/sd-scripts, `networks/resize_lora.py`; unlike it, the update is
never formed, and no rank is increased by one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lorary.algebra.errors import AlgebraError, naming
from lorary.algebra.files import (
    DATA_HASH,
    WrittenFile,
    canonical_header,
    output_path,
    write_weights,
)
from lorary.algebra.matrices.gram import (
    Factors,
    Matrix,
    decompose,
    energy,
    rank_for_share,
    singular_values,
    truncated,
)
from lorary.algebra.metadata.rules import OPERATION, operation_on, resized_metadata
from lorary.algebra.modules import Adapter, FactorModule, open_adapter
from lorary.algebra.storing import (
    NewFactors,
    Plan,
    bytes_per_rank,
    copied,
    planned,
    require_no_config,
    stored_dtype,
)
from lorary.replacing import StrPath


class ResizedModule(NamedTuple):
    """A module before and after.

    Attributes:
        energy: ‖ΔW‖² before.
        kept: ‖ΔW‖² after; rounding to the number format is not counted.
    """

    name: str
    block: str
    rank_before: int
    rank: int
    energy: float
    kept: float


@dataclass(frozen=True, slots=True)
class Resized:
    """A resized file, with what was kept of each module."""

    out: WrittenFile
    modules: tuple[ResizedModule, ...]

    @property
    def kept(self) -> float:
        """Share of the energy that was kept, 1 for a file that changes nothing."""
        total = sum(module.energy for module in self.modules)
        return sum(module.kept for module in self.modules) / total if total > 0 else 1.0


def resize_to_rank(path: StrPath, out: StrPath, *, rank: int, dtype: str | None = None) -> Resized:
    """Write an adapter whose modules have at most a rank.

    Args:
        path: The adapter.
        out: Path of the new file. It replaces an existing one, but never the input. Its folder is
            created.
        rank: Largest rank, at least 1. Modules of a smaller rank are copied.
        dtype: Number format of the factors: fp32, fp16, bf16, fp8_e4m3 or fp8_e5m2, or
            safetensors' name for it, such as F32; by default those in the file.

    Raises:
        AlgebraError: The file has no exact form, its numbers are not finite, `same_file`, or
            `dtype_unsupported`.
        HeaderError: The header breaks a rule.
        OSError: A file can't be read or written.
        ValueError: The rank is below 1.
    """
    if rank < 1:
        message = "the rank must be at least 1"
        raise ValueError(message)
    dtype = stored_dtype(dtype)
    place = output_path(out, [path])
    with open_adapter(path) as adapter:
        ranks = {name: _smaller(rank, module) for name, module in adapter.modules.items()}
        return _write(adapter, place, ranks, dtype)


def resize_to_share(
    path: StrPath, out: StrPath, *, share: float, dtype: str | None = None
) -> Resized:
    """Write an adapter whose modules have the smallest ranks that keep a share of their energy.

    Args:
        share: Share of ‖ΔW‖² that each module keeps, in (0, 1].

    Raises:
        AlgebraError, HeaderError, OSError: As in `resize_to_rank`.
        ValueError: The share is out of its range.
    """
    if not 0 < share <= 1:
        message = "the share must be above 0 and at most 1"
        raise ValueError(message)
    dtype = stored_dtype(dtype)
    place = output_path(out, [path])
    with open_adapter(path) as adapter:
        ranks = {
            name: rank_for_share(_values(adapter, module), share)
            for name, module in adapter.modules.items()
        }
        return _write(adapter, place, ranks, dtype)


def resize_to_bytes(
    path: StrPath, out: StrPath, *, size_bytes: int, dtype: str | None = None
) -> Resized:
    """Write an adapter of at most a size that keeps as much energy as possible.

    Ranks are given where a byte keeps the most energy, and every module keeps at least rank 1.

    Raises:
        AlgebraError: As in `resize_to_rank`, or `size_too_small`.
        HeaderError, OSError: As in `resize_to_rank`.
    """
    dtype = stored_dtype(dtype)
    place = output_path(out, [path])
    with open_adapter(path) as adapter:
        return _write(adapter, place, _ranks_for_bytes(adapter, size_bytes, dtype), dtype)


def _smaller(rank: int, module: FactorModule) -> int:
    """Return the new rank of a module: no update has more than the smaller side of its weight."""
    return module.rank if rank >= module.rank else min(rank, module.out, module.fan_in)


def _values(adapter: Adapter, module: FactorModule) -> Matrix:
    with naming(module.name):
        return singular_values(adapter.factors(module))


def _ranks_for_bytes(adapter: Adapter, size_bytes: int, dtype: str | None) -> dict[str, int]:
    modules = list(adapter.modules.values())
    costs = np.array([bytes_per_rank(adapter.file, module, dtype) for module in modules])
    values = [_values(adapter, module) for module in modules]
    # The header is the longest with the full ranks: it has no more digits with smaller ones.
    plan = _plan(adapter, {module.name: module.rank for module in modules}, dtype, {})
    metadata = _metadata(adapter, dict.fromkeys(adapter.modules, 1))
    if DATA_HASH in adapter.file.metadata:
        metadata[DATA_HASH] = f"0x{'0' * 64}"
    head = canonical_header(plan, metadata)
    full = sum(tensor.size_bytes for tensor in plan.values())
    # With other ranks, alphas may need F32.
    alphas = [plan[one.tensors["alpha"]] for one in modules if "alpha" in one.tensors]
    full += sum(max(0, 4 - alpha.size_bytes) for alpha in alphas)
    fixed = (
        len(head)
        + full
        - sum(module.rank * int(cost) for module, cost in zip(modules, costs, strict=True))
    )
    left = size_bytes - fixed - _SLACK_BYTES - int(costs.sum())
    if left < 0:
        least = size_bytes - left
        message = f"Rank 1 in every module takes {least:,} bytes; {size_bytes:,} are allowed."
        raise AlgebraError(message, code="size_too_small", least_bytes=least)
    owners = np.repeat(np.arange(len(modules)), [len(own) - 1 for own in values])
    gains = np.concatenate([own[1:] ** 2 for own in values])
    ranks = np.ones(len(modules), dtype=int)
    for place in np.argsort(-gains / costs[owners], kind="stable"):
        owner = owners[place]
        if gains[place] > 0 and costs[owner] <= left:
            left -= int(costs[owner])
            ranks[owner] += 1
    return {module.name: int(rank) for module, rank in zip(modules, ranks, strict=True)}


_SLACK_BYTES = 64
"""Bytes by which the metadata may grow with other ranks."""


def _metadata(adapter: Adapter, ranks: Mapping[str, int]) -> dict[str, str]:
    modules = adapter.modules.values()
    scales = [(ranks[module.name], module.scale) for module in modules]
    found = resized_metadata(adapter.file.metadata, scales)
    if any(ranks[module.name] < module.rank for module in modules):
        made = {"operation": "resize", "max_rank": max(ranks.values())}
        found[OPERATION] = operation_on(adapter.file.metadata, made)
    return found


def _write(adapter: Adapter, out: Path, ranks: Mapping[str, int], dtype: str | None) -> Resized:
    require_no_config(out, adapter.modules.values())
    results: dict[str, ResizedModule] = {}
    plan = _plan(adapter, ranks, dtype, results)
    has_hash = DATA_HASH in adapter.file.metadata
    written = write_weights(out, plan, _metadata(adapter, ranks), adds_hash=has_hash)
    return Resized(written, tuple(results[name] for name in adapter.modules))


def _plan(
    adapter: Adapter,
    ranks: Mapping[str, int],
    dtype: str | None,
    results: dict[str, ResizedModule],
) -> Plan:
    plan = copied(adapter.file, list(adapter.others))
    for name, module in adapter.modules.items():
        compute = partial(_resized, adapter, module, ranks[name], results)
        plan |= planned(adapter.file, NewFactors(module, ranks[name], module.scale, compute, dtype))
    return plan


def _resized(
    adapter: Adapter, module: FactorModule, rank: int, results: dict[str, ResizedModule]
) -> Factors:
    factors = adapter.factors(module)
    with naming(module.name):
        if rank >= module.rank:
            total = kept = energy(factors)
        else:
            found = decompose(factors)
            total, kept = (float((own**2).sum()) for own in (found.values, found.values[:rank]))
            factors = truncated(found, rank)
    results[module.name] = ResizedModule(module.name, module.block, module.rank, rank, total, kept)
    return factors

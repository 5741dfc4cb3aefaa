"""Checks of the adapter's own structure: pairs, ranks, number formats, strangers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lorary.anatomy.algorithms import is_complete
from lorary.anatomy.findings import Finding, finding
from lorary.anatomy.metadata import clean, number
from lorary.safetensors.dtypes import FLOAT_DTYPES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lorary.anatomy.modules import Module, Scan
    from lorary.safetensors import Header, TensorInfo

__all__ = ["metadata_rank_findings", "module_findings", "other_tensor_findings"]

_SHOWN = 10
_FULL_SHARE = 0.2  # of the file's bytes, above which full weights are worth a warning
_WHOLE_NUMBER_ROLES = frozenset({"alpha", "on_input", "shira_indices"})


def module_findings(modules: Sequence[Module], header: Header) -> Iterator[Finding]:
    """Modules that a loader would refuse or apply wrongly."""
    tensors = header.tensors.values()
    halves = [m.name for m in modules if not _is_whole(m)]
    if halves:
        message = f"{len(halves):,} of {len(modules):,} modules lack a tensor of their pair."
        yield _about("pair_incomplete", message, halves)
    broken = [m.name for m in modules if m.dims.is_broken]
    if broken:
        message = f"{len(broken):,} modules have two halves of different rank."
        yield _about("rank_mismatch", message, broken)
    empty = []
    if any(begin == end for _, _, begin, end in tensors):
        empty = [m.name for m in modules if _has_empty(m)]
    if empty:
        message = f"{len(empty):,} modules have a tensor without elements."
        yield _about("tensor_empty", message, empty)
    whole = []
    if not FLOAT_DTYPES.issuperset(tensor[0] for tensor in tensors):
        whole = [m.name for m in modules if _has_whole_numbers(m)]
    if whole:
        message = f"{len(whole):,} modules store weights as whole numbers."
        yield _about("tensor_not_float", message, whole)


def _is_whole(module: Module) -> bool:
    for name in module.algorithms:
        if not is_complete(name, module.roles):
            return False
    return bool(module.algorithms) or set(module.roles) != {"alpha"}


def _has_empty(module: Module) -> bool:
    return any(begin == end for _, _, begin, end in module.roles.values())


def _has_whole_numbers(module: Module) -> bool:
    for role, tensor in module.roles.items():
        if tensor.dtype not in FLOAT_DTYPES and role not in _WHOLE_NUMBER_ROLES:
            return True
    return False


def _about(code: str, message: str, names: Sequence[str]) -> Finding:
    shown = [clean(name) for name in names[:_SHOWN]]
    return finding(code, message, count=len(names), modules=shown)


def other_tensor_findings(scan: Scan, header: Header) -> Iterator[Finding]:
    """Tensors that no adapter method uses."""
    others = scan.others
    if not others:
        return
    full = {name: t for name, t in others.items() if _is_full_weight(name, t)}
    share = sum(t.size_bytes for t in full.values()) / max(1, header.size_bytes)
    if share > _FULL_SHARE:
        message = (
            f"Full weights of {len(full):,} modules take {share:.0%} of the file. "
            "This is more than a plain adapter."
        )
        yield finding("full_weights", message, count=len(full), tensors=_names(full))
    rest = {name: t for name, t in others.items() if share <= _FULL_SHARE or name not in full}
    if rest:
        message = f"{len(rest):,} tensors belong to no known adapter method."
        yield finding("unknown_keys", message, count=len(rest), tensors=_names(rest))


def _is_full_weight(name: str, tensor: TensorInfo) -> bool:
    return name.endswith(".weight") and len(tensor.shape) in {2, 4}


def _names(tensors: Mapping[str, TensorInfo]) -> list[str]:
    return [clean(name) for name in list(tensors)[:_SHOWN]]


def metadata_rank_findings(
    metadata: Mapping[str, str], rank: int | None, alpha: float | None
) -> Iterator[Finding]:
    """Rank and alpha in the metadata are notes that mergers and resizers leave behind."""
    noted_rank = number(metadata.get("ss_network_dim"))
    if rank is not None and noted_rank is not None and noted_rank != rank:
        message = f"The metadata says rank {noted_rank:g}, the tensors have rank {rank}."
        yield finding("rank_differs", message, declared=noted_rank, found=rank)
    noted_alpha = number(metadata.get("ss_network_alpha"))
    if alpha is not None and noted_alpha is not None and abs(noted_alpha - alpha) > 1e-3 * alpha:
        message = f"The metadata says alpha {noted_alpha:g}, the file stores {alpha:g}."
        yield finding("alpha_differs", message, declared=noted_alpha, found=alpha)

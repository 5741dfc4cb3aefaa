"""Checks of the adapter's own structure: pairs, ranks, number formats, twins, strangers."""

from __future__ import annotations

import math
import re
from operator import attrgetter, eq
from typing import TYPE_CHECKING

from lorary.anatomy.claims.metadata import clean
from lorary.anatomy.findings.finding import Finding, counted, finding
from lorary.anatomy.keys.algorithms import is_complete
from lorary.anatomy.modules.duplicate_targets import find_twins
from lorary.anatomy.modules.module_table import modules_of
from lorary.safetensors.dtypes import FLOAT_DTYPES
from lorary.safetensors.tensors import Tensors

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lorary.anatomy.modules.adapted import Module, Scan
    from lorary.safetensors import Header, TensorInfo

__all__ = ["leftover_findings", "module_findings", "other_tensor_findings"]

_SHOWN = 10
_FULL_SHARE = 0.2  # of the file's bytes, above which full weights are worth a warning
_WHOLE_NUMBER_ROLES = frozenset({"alpha", "on_input", "scalar"})
_INDICES = "indices"  # SHiRA's and VB-LoRA's places of numbers
_LONE = frozenset({"alpha", "scalar", "rescale"})
_MATRIX_DIMENSIONS = frozenset({2, 3, 4, 5})
_MOST_KERNEL = 1_024

_FULL = re.compile(r"(.{1,512}?)(?:\.modules_to_save)?(?:\.[\w-]{1,512})?\.(weight|bias)")
_CHECKPOINT = (
    "model.diffusion_model.", "model_ema.", "first_stage_model.", "cond_stage_model.",
    "conditioner.embedders.", "denoiser.sigmas", "alphas_cumprod", "betas", "vae.",
    "text_encoders.", "optimizer.", "optimizer_state.",
)  # fmt: skip

_IS_BROKEN = attrgetter("is_broken")


def module_findings(modules: Sequence[Module], header: Header) -> Iterator[Finding]:
    """Modules that a loader would refuse or apply wrongly."""
    yield from _halves(modules)
    if any(map(_IS_BROKEN, modules_of(modules).sizes)):
        broken = [module.name for module in modules if module.dims.is_broken]
        message = (
            f"{counted(len(broken), 'module', 'has', 'have')} two halves of different rank, which "
            "no program can multiply. Save the adapter again."
        )
        yield _about("rank_mismatch", message, broken)
    yield from _magnitudes(modules)
    yield from _empty(header)
    yield from _whole_numbers(modules, header)
    yield from _twins(modules)


def _about(code: str, message: str, names: Sequence[str]) -> Finding:
    shown = [clean(name) for name in names[:_SHOWN]]
    return finding(code, message, count=len(names), modules=shown)


def _halves(modules: Sequence[Module]) -> Iterator[Finding]:
    # Thousands of modules have a few different sets of tensors.
    kinds = modules_of(modules).groups.kinds
    odd = {kind for kind in kinds if not (kind[0] and _is_whole(*kind))}
    halves, lone = [], []
    for module in modules if odd else ():
        kind = (module.algorithms, tuple(module.roles))
        if kind in odd and module.algorithms:
            halves.append(module.name)
        elif kind in odd and _LONE.issuperset(module.roles):
            lone.append(module.name)
    if halves:
        message = (
            f"{counted(len(halves), 'module', 'lacks', 'lack')} a tensor that the method needs, as "
            f"when half of a pair was lost ({len(modules):,} modules in all). Most programs stop "
            "there: save the adapter again."
        )
        yield _about("pair_incomplete", message, halves)
    if lone:
        message = (
            f"{counted(len(lone), 'module', 'has', 'have')} an alpha and nothing that it would "
            "scale. Programs skip it; the training may have left the module out."
        )
        yield _about("alpha_orphan", message, lone)


def _is_whole(algorithms: tuple[str, ...], roles: tuple[str, ...]) -> bool:
    return all(is_complete(name, roles) for name in algorithms)


def _magnitudes(modules: Sequence[Module]) -> Iterator[Finding]:
    """DoRA's magnitudes have a number for each row of the weight, or for each column."""
    if not any("magnitude" in roles for _, roles in modules_of(modules).groups.kinds):
        return
    odd = [
        module.name
        for module in modules
        if "magnitude" in module.roles and not _fits(module.roles["magnitude"], module)
    ]
    if odd:
        message = (
            f"{counted(len(odd), 'module', 'has', 'have')} a DoRA magnitude that fits neither "
            "the outputs nor the inputs. Save the adapter again."
        )
        yield _about("magnitude_mismatch", message, odd)


def _fits(magnitude: TensorInfo, module: Module) -> bool:
    out, fan_in = module.dims.out, module.dims.fan_in
    if out is None or fan_in is None:
        return True
    length = math.prod(magnitude.shape)
    if sum(side != 1 for side in magnitude.shape) > 1:
        return False
    if length in {out, fan_in}:
        return True
    # Columns of a convolution: inputs, without the kernel's area.
    is_flat = "down" in module.roles and len(module.roles["down"].shape) == 2
    return (
        not is_flat
        and length > 0
        and fan_in % length == 0
        and fan_in // length <= _MOST_KERNEL
        and (module.dims.is_conv or len(magnitude.shape) > 2)
    )


def _empty(header: Header) -> Iterator[Finding]:
    tensors = Tensors.of(header.tensors)
    if not any(map(eq, tensors.begins, tensors.ends)):
        return
    empty = [name for name, tensor in tensors.items() if tensor.begin == tensor.end]
    message = f"{counted(len(empty), 'tensor', 'has', 'have')} no elements. Save the adapter again."
    yield finding("tensor_empty", message, count=len(empty), tensors=_names(empty))


def _whole_numbers(modules: Sequence[Module], header: Header) -> Iterator[Finding]:
    if FLOAT_DTYPES.issuperset(Tensors.of(header.tensors).dtypes):
        return
    whole = [module.name for module in modules if _has_whole_numbers(module)]
    if whole:
        message = (
            f"{counted(len(whole), 'module', 'stores', 'store')} weights in a format that no "
            "adapter is loaded from. Save it as F32, F16, BF16 or F8."
        )
        yield _about("tensor_not_float", message, whole)


def _has_whole_numbers(module: Module) -> bool:
    return any(
        tensor.dtype not in FLOAT_DTYPES
        and role not in _WHOLE_NUMBER_ROLES
        and not role.endswith(_INDICES)
        for role, tensor in module.roles.items()
    )


def _twins(modules: Sequence[Module]) -> Iterator[Finding]:
    same, fused = find_twins(modules)
    if same:
        message = (
            f"{counted(len(same), 'module', 'is', 'are')} adapted a second time under another "
            "name. Programs that know both names apply the adapter twice: keep one of them."
        )
        yield _twin_finding("module_twice", message, same)
    if fused:
        message = (
            f"{counted(len(fused), 'module', 'is', 'are')} also part of a fused module that the "
            "file adapts. Programs that know both apply the adapter twice: keep one form."
        )
        yield _twin_finding("fused_and_split", message, fused)


def _twin_finding(code: str, message: str, pairs: Sequence[tuple[str, str]]) -> Finding:
    shown = [[clean(name), clean(twin)] for name, twin in pairs[:_SHOWN]]
    return finding(code, message, count=len(pairs), pairs=shown)


def other_tensor_findings(scan: Scan, header: Header) -> Iterator[Finding]:
    """Tensors beside the adapter's: leftovers of a model, full weights, strangers."""
    rest = dict(scan.others)
    if not rest:
        return
    leftovers = {name: t for name, t in rest.items() if name.startswith(_CHECKPOINT)}
    if leftovers:
        rest = {name: t for name, t in rest.items() if name not in leftovers}
        message = (
            f"{counted(len(leftovers), 'tensor', 'belongs', 'belong')} to a whole model, not to "
            f"the adapter ({_share(leftovers, header):.0%} of the file). Programs may ignore that "
            "or take the file for a checkpoint: save the adapter alone."
        )
        yield _strangers("checkpoint_leftovers", message, leftovers)
    full = _full_weights(rest)
    share = _share(full, header)
    if share > _FULL_SHARE:
        message = (
            f"Full weights take {share:.0%} of the file (tensors: {len(full):,}). This is more "
            "than a plain adapter: say what they are for, or leave them out."
        )
        yield _strangers("full_weights", message, full)
    elif full:
        message = (
            f"Full weights, such as a head that was trained whole, lie beside the adapter "
            f"(tensors: {len(full):,}). Most image programs skip them."
        )
        yield _strangers("modules_saved", message, full)
    rest = {name: tensor for name, tensor in rest.items() if name not in full}
    if rest:
        message = (
            f"{counted(len(rest), 'tensor', 'belongs', 'belong')} to no known adapter method. "
            "Programs skip that, or know more than this check."
        )
        yield _strangers("unknown_keys", message, rest)


def _share(tensors: Mapping[str, TensorInfo], header: Header) -> float:
    return sum(tensor.size_bytes for tensor in tensors.values()) / max(1, header.size_bytes)


def _full_weights(tensors: Mapping[str, TensorInfo]) -> dict[str, TensorInfo]:
    """Weights of whole modules, with their biases."""
    names = {}
    for name, tensor in tensors.items():
        found = _FULL.fullmatch(name)
        if found:
            is_matrix = found[2] == "weight" and len(tensor.shape) in _MATRIX_DIMENSIONS
            names[name] = (found[1], is_matrix)
    whole = {stem for stem, is_matrix in names.values() if is_matrix}
    return {name: tensors[name] for name, (stem, _) in names.items() if stem in whole}


def _strangers(code: str, message: str, tensors: Mapping[str, TensorInfo]) -> Finding:
    return finding(code, message, count=len(tensors), tensors=_names(list(tensors)))


def _names(names: Sequence[str]) -> list[str]:
    return [clean(name) for name in names[:_SHOWN]]


def leftover_findings(scan: Scan, kind: str) -> Iterator[Finding]:
    """Adapter tensors in a file that is no adapter, such as a checkpoint after a careless merge."""
    if kind == "adapter" or not scan.role_tensors:
        return
    names = [module.name for module in scan.modules if module.algorithms]
    if kind == "checkpoint" and names:
        message = (
            f"{counted(len(names), 'module', 'of an adapter lies', 'of an adapter lie')} in this "
            "checkpoint. If the adapter was merged into it, nobody needs them."
        )
        yield _about("adapter_leftovers", message, names)

"""Checks an adapter's structure: pairs, ranks, number formats, duplicates and other tensors."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter, eq
from typing import TYPE_CHECKING

from lorary.anatomy.claims.metadata import clean
from lorary.anatomy.findings.finding import Finding, counted, finding
from lorary.anatomy.keys.algorithms import is_complete
from lorary.anatomy.keys.repeated_prefixes import repeated_prefixes
from lorary.anatomy.modules.duplicate_targets import find_duplicates
from lorary.anatomy.modules.module_table import modules_of
from lorary.safetensors import Header, TensorInfo
from lorary.safetensors.tensors import FLOAT_DTYPES, Tensors

if TYPE_CHECKING:
    from lorary.anatomy.modules.adapted import Module, Scan

_SHOWN = 10
_FULL_SHARE = 0.2  # of the file's bytes, above which full weights are worth a warning
_INTEGER_ROLES = frozenset({"alpha", "on_input", "scalar"})
_INDICES = "indices"  # suffix of SHiRA's and VB-LoRA's positions of values
_SCALES = frozenset({"alpha", "scalar", "rescale"})
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
    """Yield findings about modules that a loader would refuse or apply wrongly."""
    yield from _incomplete(modules)
    if any(map(_IS_BROKEN, modules_of(modules).sizes)):
        broken = [module.name for module in modules if module.dims.is_broken]
        message = (
            f"{counted(len(broken), 'module', 'has', 'have')} two matrices of different rank, "
            "which can't be multiplied. Save the adapter again."
        )
        yield _finding("rank_mismatch", message, broken)
    yield from _magnitudes(modules)
    yield from _empty(header)
    yield from _integers(modules, header)
    yield from _duplicates(modules)
    yield from _repeated(modules)


def _finding(code: str, message: str, names: Iterable[str], key: str = "modules") -> Finding:
    """Return a finding with the number of names; its evidence lists the first of them."""
    names = list(names)
    return finding(code, message, count=len(names), **{key: list(map(clean, names[:_SHOWN]))})


def _incomplete(modules: Sequence[Module]) -> Iterator[Finding]:
    # Thousands of modules have only a few different sets of tensors.
    kinds = modules_of(modules).groups.kinds
    incomplete = {kind for kind in kinds if not (kind[0] and _is_complete(*kind))}
    pairs, scales = [], []
    for module in modules if incomplete else ():
        kind = (module.algorithms, tuple(module.roles))
        if kind in incomplete and module.algorithms:
            pairs.append(module.name)
        elif kind in incomplete and _SCALES.issuperset(module.roles):
            scales.append(module.name)
    if pairs:
        message = (
            f"{counted(len(pairs), 'module', 'lacks', 'lack')} a tensor that the algorithm needs, "
            f"such as one half of a pair ({len(modules):,} modules in all). Most programs can't "
            "load the file: save the adapter again."
        )
        yield _finding("pair_incomplete", message, pairs)
    if scales:
        message = (
            f"{counted(len(scales), 'module', 'has', 'have')} an alpha but no weights to scale. "
            "Programs ignore it. Perhaps the training left the module out."
        )
        yield _finding("alpha_orphan", message, scales)


def _is_complete(algorithms: tuple[str, ...], roles: tuple[str, ...]) -> bool:
    return all(is_complete(name, roles) for name in algorithms)


def _magnitudes(modules: Sequence[Module]) -> Iterator[Finding]:
    """Yield a finding if a DoRA magnitude matches neither the rows nor the columns."""
    if not any("magnitude" in roles for _, roles in modules_of(modules).groups.kinds):
        return
    wrong = [
        module.name
        for module in modules
        if "magnitude" in module.roles and not _fits(module.roles["magnitude"], module)
    ]
    if wrong:
        message = (
            f"{counted(len(wrong), 'module', 'has', 'have')} a DoRA magnitude whose size matches "
            "neither the outputs nor the inputs. Save the adapter again."
        )
        yield _finding("magnitude_mismatch", message, wrong)


def _fits(magnitude: TensorInfo, module: Module) -> bool:
    out, fan_in = module.dims.out, module.dims.fan_in
    if out is None or fan_in is None:
        return True
    length = math.prod(magnitude.shape)
    if sum(side != 1 for side in magnitude.shape) > 1:
        return False
    if length in {out, fan_in}:
        return True
    # A convolution may have one number for each input channel.
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
    yield _finding("tensor_empty", message, empty, "tensors")


def _integers(modules: Sequence[Module], header: Header) -> Iterator[Finding]:
    if FLOAT_DTYPES.issuperset(Tensors.of(header.tensors).dtypes):
        return
    found = [module.name for module in modules if _has_integers(module)]
    if found:
        message = (
            f"{counted(len(found), 'module', 'stores', 'store')} weights in a number format that "
            "programs don't load adapters from. Save it as F32, F16, BF16 or F8."
        )
        yield _finding("tensor_not_float", message, found)


def _has_integers(module: Module) -> bool:
    return any(
        tensor.dtype not in FLOAT_DTYPES
        and role not in _INTEGER_ROLES
        and not role.endswith(_INDICES)
        for role, tensor in module.roles.items()
    )


def _duplicates(modules: Sequence[Module]) -> Iterator[Finding]:
    same, fused = find_duplicates(modules)
    if same:
        message = (
            f"{counted(len(same), 'module', 'is', 'are')} adapted a second time under another "
            "name. Programs that know both names apply the adapter twice: keep one of them."
        )
        yield _pair_finding("module_twice", message, same)
    if fused:
        message = (
            f"{counted(len(fused), 'module', 'is', 'are')} also part of a fused module that the "
            "file adapts. Programs that know both apply the adapter twice: keep one form."
        )
        yield _pair_finding("fused_and_split", message, fused)


def _repeated(modules: Sequence[Module]) -> Iterator[Finding]:
    columns = modules_of(modules).columns
    rows = zip(columns.names, columns.places, strict=True)
    heads = repeated_prefixes(name for name, place in rows if place is not None)
    if not heads:
        return
    names = [name for name in columns.names if name.startswith(tuple(heads))]
    message = (
        f"{counted(len(names), 'module', 'has', 'have')} a prefix that is written twice or names a "
        f"wrapper (`{clean(min(heads.values()))}`). Programs that compare whole names do not "
        "load them: rename the tensors."
    )
    yield _finding("prefix_repeated", message, names)


def _pair_finding(code: str, message: str, pairs: Sequence[tuple[str, str]]) -> Finding:
    shown = [[clean(name), clean(other)] for name, other in pairs[:_SHOWN]]
    return finding(code, message, count=len(pairs), pairs=shown)


def other_tensor_findings(scan: Scan, header: Header) -> Iterator[Finding]:
    """Yield findings about tensors beside the adapter: a model's, full weights, and others."""
    rest = dict(scan.others)
    if not rest:
        return
    leftovers = {name: t for name, t in rest.items() if name.startswith(_CHECKPOINT)}
    if leftovers:
        rest = {name: t for name, t in rest.items() if name not in leftovers}
        message = (
            f"{counted(len(leftovers), 'tensor', 'belongs', 'belong')} to a whole model, not to "
            f"the adapter ({_share(leftovers, header):.0%} of the file). Programs may ignore "
            "them or read the file as a checkpoint: save the adapter alone."
        )
        yield _finding("checkpoint_leftovers", message, leftovers, "tensors")
    full = _full_weights(rest)
    share = _share(full, header)
    if share > _FULL_SHARE:
        message = (
            f"Full weights take {share:.0%} of the file (tensors: {len(full):,}). An adapter "
            "doesn't need them: say what they are for, or remove them."
        )
        yield _finding("full_weights", message, full, "tensors")
    elif full:
        message = (
            f"The file also has full weights, such as a head that was trained as a whole "
            f"(tensors: {len(full):,}). Most image programs ignore them."
        )
        yield _finding("modules_saved", message, full, "tensors")
    rest = {name: tensor for name, tensor in rest.items() if name not in full}
    if rest:
        message = (
            f"{counted(len(rest), 'tensor', 'belongs', 'belong')} to no known adaptation "
            "algorithm. Programs may ignore them."
        )
        yield _finding("unknown_keys", message, rest, "tensors")


def _share(tensors: Mapping[str, TensorInfo], header: Header) -> float:
    return sum(tensor.size_bytes for tensor in tensors.values()) / max(1, header.size_bytes)


def _full_weights(tensors: Mapping[str, TensorInfo]) -> dict[str, TensorInfo]:
    """Return the weights of whole modules, with their biases."""
    names = {}
    for name, tensor in tensors.items():
        found = _FULL.fullmatch(name)
        if found:
            is_matrix = found[2] == "weight" and len(tensor.shape) in _MATRIX_DIMENSIONS
            names[name] = (found[1], is_matrix)
    whole = {stem for stem, is_matrix in names.values() if is_matrix}
    return {name: tensors[name] for name, (stem, _) in names.items() if stem in whole}


def leftover_findings(scan: Scan, kind: str) -> Iterator[Finding]:
    """Yield a finding if a checkpoint still has adapter tensors, as after a careless merge."""
    if kind == "adapter" or not scan.role_tensors:
        return
    names = [module.name for module in scan.modules if module.algorithms]
    if kind == "checkpoint" and names:
        message = (
            f"This checkpoint has {len(names):,} modules of an adapter. If the adapter was merged "
            "into it, remove them."
        )
        yield _finding("adapter_leftovers", message, names)

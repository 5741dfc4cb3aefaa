"""Scans a header: groups tensors into adapted modules, looks them up and measures them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

from lorary.anatomy.families import Place, encoder_index, family_index
from lorary.anatomy.keys.algorithms import order, refine
from lorary.anatomy.keys.conventions import convention_name, naming_style
from lorary.anatomy.keys.repeated_prefixes import without_repeated_prefix
from lorary.anatomy.keys.tensor_names import Prefix, Role, layer_of, split_key, split_prefix
from lorary.anatomy.modules.module_table import Columns, Groups, Module, Modules, Roles, grouped
from lorary.anatomy.modules.shapes import Dims, measure
from lorary.safetensors import Header, TensorInfo
from lorary.safetensors.tensors import DTYPE_BITS, Tensors

# Groups the tensors of a file into modules, by their names alone.
#
# The result is cached for a few files, because adapters of one trainer and base model have the same
# names in the same order: a hub sees the same few thousand names again and again.


_FLAT_BLOCK = re.compile(r"(.{0,512}?(?:blocks?|layers?|refiner))[._](\d{1,512})(?:[._]|$)")
# Names of tensors that all modules share, such as vector banks.
_SHARED = frozenset({"base_model", "xlora_classifier"})
_NORM_SCALE = "_norm.scale"
_PAIRED = frozenset({("down", "up"), ("down", "up", "alpha"), ("alpha", "down", "up")})

Identity = tuple[str, str, str, tuple[str, ...], "Place | None", str]
"""Part, block, convention, algorithms, table entry and layer of a module."""

_Group = dict[Role, int]  # role to the index of its tensor in the file
_MAX_CACHED = 6_000  # tensors; a result takes a few hundred bytes for each


class NamedModule(NamedTuple):
    """A module without its tensors: what its name shows, and the indices of its tensors."""

    name: str
    roles: tuple[Role, ...]
    indices: list[tuple[str, int]]
    identity: Identity


class PairColumns(NamedTuple):
    """Modules as columns, if all are plain pairs with the same roles in the same order."""

    indices: Mapping[str, tuple[int, ...]]  # role to the indices of its tensors in the file
    columns: Columns  # the modules' fields that don't depend on tensors
    groups: Groups  # groups of similar modules


class NameGroups(NamedTuple):
    """The tensors of a file, grouped by their names."""

    names: tuple[str, ...]  # names of all tensors
    modules: list[NamedModule]
    pairs: PairColumns | None  # the same modules as columns, if all of them are plain pairs
    others: dict[str, int]  # tensors that aren't part of an adapter, with their indices
    shared: dict[str, int]  # tensors that all modules share, with their indices
    role_tensors: int  # number of tensors with a role, without alphas


def group_names(names: tuple[str, ...]) -> NameGroups:
    """Group the tensors of a file by the module that they adapt."""
    return (_group_names if len(names) <= _MAX_CACHED else _group_names.__wrapped__)(names)


@lru_cache(maxsize=8)
def _group_names(names: tuple[str, ...]) -> NameGroups:
    groups: dict[str, _Group] = {}
    others: dict[str, int] = {}
    role_tensors = 0
    for index, key in enumerate(names):
        split = split_key(key)
        if split is None:
            others[key] = index
            continue
        name, role = split
        groups.setdefault(name, {})[role] = index
        role_tensors += role.algorithm is not None
    if others and role_tensors:
        role_tensors += _adopt_plain_names(groups, others)
    shared = _pop_shared(groups)
    modules = [_named_module(*entry) for entry in groups.items()]
    return NameGroups(names, modules, _pair_columns(modules), others, shared, role_tensors)


def _named_module(name: str, group: _Group) -> NamedModule:
    roles = tuple(group)
    indices = [(role.name, index) for role, index in group.items()]
    return NamedModule(name, roles, indices, identify(name, roles, is_conv=False))


def _pair_columns(modules: Sequence[NamedModule]) -> PairColumns | None:
    roles = tuple(role for role, _ in modules[0].indices) if modules else ()
    if len(modules) < 2 or roles not in _PAIRED:
        return None
    if any(tuple(role for role, _ in module.indices) != roles for module in modules):
        return None
    indices = zip(*([index for _, index in module.indices] for module in modules), strict=True)
    identities: Any = zip(*(module.identity for module in modules), strict=True)
    parts, blocks, conventions, algorithms, places, layers = identities
    columns = Columns(
        names=tuple(module.name for module in modules),
        parts=parts,
        blocks=blocks,
        conventions=conventions,
        algorithms=algorithms,
        places=places,
        layers=layers,
    )
    groups = grouped(columns, [roles] * len(modules))
    return PairColumns(dict(zip(roles, indices, strict=True)), columns, groups)


def _adopt_plain_names(groups: dict[str, _Group], others: dict[str, int]) -> int:
    """Give roles to plain names that belong to an adapter; return how many.

    The `.weight` beside an `.on_input` is the (IA)³ vector. Bare scales of query and key norms
    belong to FLUX control LoRAs, which replace them.
    """
    added = 0
    for name, group in groups.items():
        if any(role.name == "on_input" for role in group):
            vector = others.pop(f"{name}.weight", None)
            if vector is not None:
                group[_VECTOR] = vector
                added += 1
    scales = [key for key in others if key.endswith(_NORM_SCALE)]
    for key in scales:
        groups.setdefault(key.removesuffix(".scale"), {})[_SCALE] = others.pop(key)
    return added + len(scales)


_VECTOR = Role("vector", "ia3", "lycoris")
_SCALE = Role("scale", "bfl-control", None)


def _pop_shared(groups: dict[str, _Group]) -> dict[str, int]:
    """Remove and return the tensors that all modules share, unless there are no others."""
    names = _SHARED.intersection(groups)
    if len(names) == len(groups):
        return {}
    return {
        f"{name}.{role.name}": index
        for name in sorted(names)
        for role, index in groups.pop(name).items()
    }


@lru_cache(maxsize=8_192)
def identify(name: str, roles: tuple[Role, ...], is_conv: bool) -> Identity:  # noqa: FBT001
    """Return part, block, convention, algorithms, place and layer of a module.

    Cached, because modules repeat from file to file with the same tensors.
    """
    prefix, path, part, block, place, style = _locate(name)
    algorithms, dialect = _signature(roles)
    convention = convention_name(prefix, dialect, style)
    has_core = any(role.name == "mid" for role in roles)
    algorithms = refine(algorithms, path, convention, is_conv=is_conv, has_core=has_core)
    return part, block, convention, algorithms, place, _layer(name, roles, is_conv=is_conv)


def _layer(name: str, roles: tuple[Role, ...], *, is_conv: bool) -> str:
    if any(role.name == "diff_m" for role in roles):
        return "modulation"
    found = layer_of(name)
    return "conv" if is_conv and found in {"attention", "other"} else found


@lru_cache(maxsize=512)
def _signature(roles: tuple[Role, ...]) -> tuple[tuple[str, ...], str | None]:
    """Return the algorithms and the dialect of a set of suffixes."""
    shown = {role.algorithm for role in roles if role.algorithm is not None}
    dialects = [role.dialect for role in roles if role.dialect is not None]
    # Other trainers also use LyCORIS' suffixes for magnitudes and differences.
    dialects = [dialect for dialect in dialects if dialect != "lycoris"] or dialects
    return order(shown), dialects[0] if dialects else None


def _locate(name: str) -> tuple[Prefix, str, str, str, Place | None, str]:
    """Return prefix, path, part, block, table entry and naming style of a module."""
    prefix, path = split_prefix(name)
    if prefix.is_flat:
        path = path.replace(".", "_")  # some files combine a flat prefix with dots
    elif prefix.convention == "comfyui" and prefix.part != "denoiser":
        path = _ENCODER_LEVEL.sub("", path)
    part, place = _place(prefix, path)
    if place is None:
        rest = without_repeated_prefix(prefix, path)
        again = (part, None) if rest is None else _place(prefix, rest)
        if rest is not None and again[1] is not None:
            (part, place), path = again, rest
    block = _block(path) if place is None else place.block
    style = naming_style(path, None if place is None else place.naming)
    return prefix, path, part, block if part == "denoiser" else part, place, style


_ENCODER_LEVEL = re.compile(r"^(?:\w{1,512}\.)?transformer\.(?!h\.|resblocks\.)")


# Wrappers of the model that some trainers leave in the names. `model.layers` is excluded: it
# belongs to language models, whose names some denoisers share.
_WRAPPERS = re.compile(
    r"(?:(?:_orig_mod|diffusion_model|dit|model(?!\.layers\.)|module|net|pipe|transformer|unet)\.)"
    r"{1,256}"
)


def _place(prefix: Prefix, path: str) -> tuple[str, Place | None]:
    if prefix.part != "denoiser":
        place = encoder_index().find(path, is_flat=prefix.is_flat)
        if place is None and path[:6] in {"model.", "model_"}:  # inside its language model
            place = encoder_index().find(path[6:], is_flat=prefix.is_flat)
        return prefix.part, place
    place = family_index().find(path, is_flat=prefix.is_flat)
    if place is None and ".to." in path:  # some trainers of Z-Image write `to.q`
        place = family_index().find(path.replace(".to.", ".to_"), is_flat=False)
    if place is None and prefix.convention in {"peft", "bare"}:
        encoder = encoder_index().find(path, is_flat=False)
        if encoder is not None:
            return "text_encoder", encoder
        wrapper = _WRAPPERS.match(path)
        if wrapper is not None:
            place = family_index().find(path[wrapper.end() :], is_flat=False)
    return "denoiser", place


_STACK = re.compile(r"(?:^|\.)(\w{0,64}?(?:blocks?|layers?|refiner)|h)\.(\d{1,5})(?:\.|$)")


def _block(path: str) -> str:
    """Return the block of a module that no table has, such as `layers.3`."""
    if path.startswith("mid_block_"):
        return "mid_block"
    if "." not in path:
        found = _FLAT_BLOCK.match(path)
        return f"{found[1]}.{found[2]}" if found else path
    first, _, rest = path.partition(".")
    second = rest.partition(".")[0]
    if second.isdigit():
        return f"{first}.{second}"
    found = None if "block" in first else _STACK.search(path)
    return f"{found[1]}.{found[2]}" if found else first


__all__ = ["Module", "Scan", "scan"]

_FLAGS = frozenset({"alpha", "on_input", "scalar", "shira_indices", "supertuning_indices"})
_OFT = ("oft",)
_BOFT = ("boft",)


@dataclass(frozen=True, slots=True)
class Scan:
    """The modules and other tensors of a file.

    Attributes:
        shared: Adapter tensors that all modules share, such as a vector bank.
    """

    modules: Modules  # adapted modules
    others: Mapping[str, TensorInfo]  # tensors that aren't part of an adapter
    role_tensors: int  # number of tensors with a role, without alphas
    shared: Mapping[str, TensorInfo] = field(default_factory=dict)
    names: tuple[str, ...] = ()  # names of all tensors


def scan(header: Header) -> Scan:
    """Group the tensors of a file by the module that they adapt."""
    tensors = Tensors.of(header.tensors)
    found = group_names(tensors.names)
    modules = None if found.pairs is None else _paired(found.pairs, tensors)
    if modules is None:
        rows = list(tensors.values())
        modules = Modules([_module(module, rows) for module in found.modules])
    return Scan(
        modules,
        _named(found.others, tensors),
        found.role_tensors,
        _named(found.shared, tensors),
        found.names,
    )


def _named(indices: Mapping[str, int], tensors: Tensors) -> dict[str, TensorInfo]:
    return dict(zip(indices, tensors.at(list(indices.values())), strict=True))


def _paired(pairs: PairColumns, tensors: Tensors) -> Modules | None:
    """Return all modules at once, or None if one of them isn't a pair of matrices."""
    shapes = tensors.shapes
    both = [
        (shapes[down], shapes[up])
        for down, up in zip(pairs.indices["down"], pairs.indices["up"], strict=True)
    ]
    # Thousands of modules have only a few different sizes.
    different = Counter(both)
    if any(len(down) != 2 or len(up) != 2 for down, up in different):
        return None
    dims = {pair: _dims(*pair) for pair in different}
    parameters = {(down, up): prod(down) + prod(up) for down, up in different}
    columns = pairs.columns._replace(
        dims=list(map(dims.__getitem__, both)),
        roles=Roles(tensors, pairs.indices),
        parameters=list(map(parameters.__getitem__, both)),
    )
    sizes: Counter[Dims] = Counter()
    for pair, count in different.items():
        sizes[dims[pair]] += count
    return Modules.of_columns(columns, pairs.groups, sizes)


def _dims(down: tuple[int, ...], up: tuple[int, ...]) -> Dims:
    return Dims(up[0], down[1], down[0], is_broken=up[1] != down[0])


def _module(module: NamedModule, tensors: Sequence[TensorInfo]) -> Module:
    name, parts, indices, identity = module
    roles = {role: tensors[place] for role, place in indices}
    dims = measure(roles)
    if dims[3]:
        identity = identify(name, parts, is_conv=True)
    part, block, convention, algorithms, place, layer = identity
    if algorithms == _OFT:
        blocks = roles.get("oft_blocks")
        if blocks is not None and len(blocks.shape) == 4:
            algorithms = _BOFT  # LyCORIS' OFT and BOFT differ only in the number of dimensions
        elif name.startswith("oft_"):
            dims = dims._replace(
                rank=None
            )  # kohya's setting is the number of blocks, not their size
    return Module(
        name, part, block, convention, algorithms, dims, roles, place, layer, _parameters(roles)
    )


def _parameters(roles: Mapping[str, TensorInfo]) -> int:
    count = 0
    for role, (dtype, _, begin, end) in roles.items():
        if role not in _FLAGS:
            count += (end - begin) * 8 // DTYPE_BITS[dtype]
    return count

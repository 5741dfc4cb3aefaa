"""Adapted modules of a file: tensor names grouped, placed and measured."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from lorary.anatomy.algorithms import order, refine
from lorary.anatomy.conventions import convention_name, naming_style
from lorary.anatomy.families import encoder_index, family_index
from lorary.anatomy.keys import Prefix, Role, split_key, split_prefix
from lorary.anatomy.layers import layer_of
from lorary.anatomy.shapes import Dims, measure
from lorary.safetensors.dtypes import DTYPE_BITS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lorary.anatomy.families import Place
    from lorary.safetensors import Header, TensorInfo

__all__ = ["Module", "Scan", "scan"]

_FLAGS = frozenset({"alpha", "on_input", "scalar", "shira_indices", "supertuning_indices"})
_FLAT_BLOCK = re.compile(r"(.*?(?:blocks?|layers?|refiner))[._](\d+)(?:[._]|$)")
# Tensors that stand beside the modules: banks and projections that all of them share.
_SHARED = frozenset({"base_model", "xlora_classifier"})
_NORM_SCALE = "_norm.scale"


class Module(NamedTuple):
    """One module of the base model that the file adapts.

    A named tuple for the same reason as `TensorInfo`.

    Attributes:
        name: Name in the file, with its prefix.
        part: `denoiser` or a text encoder.
        block: Block of the base model, such as `down_blocks.0`.
        convention: Id of the file convention.
        algorithms: Its methods, the leading one first.
        dims: Sizes of the base weight.
        roles: Role to tensor.
        place: What the tables know under this name, None for nothing.
    """

    name: str
    part: str
    block: str
    convention: str
    algorithms: tuple[str, ...]
    dims: Dims
    roles: Mapping[str, TensorInfo]
    place: Place | None

    @property
    def parameters(self) -> int:
        """Trained numbers: everything but alphas, flags and indices."""
        count = 0
        for role, (dtype, _, begin, end) in self.roles.items():
            if role not in _FLAGS:
                count += (end - begin) * 8 // DTYPE_BITS[dtype]
        return count

    @property
    def layer(self) -> str:
        """Kind of layer: a key of `lorary.anatomy.layers.LAYERS`."""
        if "diff_m" in self.roles:
            return "modulation"
        found = layer_of(self.name)
        return "conv" if self.dims.is_conv and found in {"attention", "other"} else found


@dataclass(frozen=True, slots=True)
class Scan:
    """What the names of a file hold.

    Attributes:
        modules: Adapted modules.
        others: Tensors that no adapter method uses.
        role_tensors: Tensors with a role, alphas left out.
        shared: Tensors of an adapter method that all modules share, such as a vector bank.
    """

    modules: tuple[Module, ...]
    others: Mapping[str, TensorInfo]
    role_tensors: int
    shared: Mapping[str, TensorInfo] = field(default_factory=dict)


_Group = dict[Role, "TensorInfo"]


def scan(header: Header) -> Scan:
    """Group the tensors of a file by the module that they adapt."""
    groups: dict[str, _Group] = {}
    others: dict[str, TensorInfo] = {}
    counted = 0
    for key, tensor in header.tensors.items():
        split = split_key(key)
        if split is None:
            others[key] = tensor
            continue
        name, role = split
        group = groups.get(name)
        if group is None:
            groups[name] = {role: tensor}
        else:
            group[role] = tensor
        counted += role.algorithm is not None
    if others and counted:
        counted += _adopt(groups, others)
    shared = _set_shared_apart(groups)
    modules = tuple(_module(name, group) for name, group in groups.items())
    return Scan(modules, others, counted, shared)


def _adopt(groups: dict[str, _Group], others: dict[str, TensorInfo]) -> int:
    """Take tensors with plain names for what they are beside adapter tensors.

    The `.weight` beside an `.on_input` is the (IA)³ vector; bare scales of query and key norms
    belong to FLUX control LoRAs, which replace them.
    """
    adopted = 0
    for name, group in groups.items():
        if any(role.name == "on_input" for role in group):
            vector = others.pop(f"{name}.weight", None)
            if vector is not None:
                group[_VECTOR] = vector
                adopted += 1
    scales = [key for key in others if key.endswith(_NORM_SCALE)]
    for key in scales:
        groups.setdefault(key.removesuffix(".scale"), {})[_SCALE] = others.pop(key)
    return adopted + len(scales)


_VECTOR = Role("vector", "ia3", "lycoris")
_SCALE = Role("scale", "bfl-control", None)


def _set_shared_apart(groups: dict[str, _Group]) -> dict[str, TensorInfo]:
    """Take out what all modules share, unless nothing else is there."""
    names = _SHARED.intersection(groups)
    if not names or len(names) == len(groups):
        return {}
    return {
        f"{name}.{role.name}": tensor
        for name in sorted(names)
        for role, tensor in groups.pop(name).items()
    }


def _module(name: str, group: _Group) -> Module:
    roles = {role.name: tensor for role, tensor in group.items()}
    dims = measure(roles)
    part, block, convention, algorithms, place = _identify(name, tuple(group), dims.is_conv)
    if algorithms == _OFT:
        blocks = roles.get("oft_blocks")
        if blocks is not None and len(blocks.shape) == 4:
            algorithms = _BOFT  # LyCORIS tells the two by the number of dimensions only
        elif name.startswith("oft_"):
            dims = dims._replace(rank=None)  # kohya trains a number of blocks, not their size
    return tuple.__new__(Module, (name, part, block, convention, algorithms, dims, roles, place))


_OFT = ("oft",)
_BOFT = ("boft",)
_Identity = tuple[str, str, str, tuple[str, ...], "Place | None"]


@lru_cache(maxsize=8_192)
def _identify(name: str, roles: tuple[Role, ...], is_conv: bool) -> _Identity:  # noqa: FBT001
    """Part, block, convention, algorithms and place of a module.

    Cached, because modules repeat from file to file with the same tensors.
    """
    prefix, path, part, block, place, style = _locate(name)
    algorithms, dialect = _signature(roles)
    convention = convention_name(prefix, dialect, style)
    has_core = any(role.name == "mid" for role in roles)
    algorithms = refine(algorithms, path, convention, is_conv=is_conv, has_core=has_core)
    return part, block, convention, algorithms, place


@lru_cache(maxsize=512)
def _signature(roles: tuple[Role, ...]) -> tuple[tuple[str, ...], str | None]:
    """Algorithms and dialect that a set of suffixes shows; files repeat a few sets."""
    shown = {role.algorithm for role in roles if role.algorithm is not None}
    dialects = [role.dialect for role in roles if role.dialect is not None]
    # LyCORIS' suffixes for magnitudes and differences stand beside everybody's pairs.
    telling = [dialect for dialect in dialects if dialect != "lycoris"] or dialects
    return order(shown), telling[0] if telling else None


def _locate(name: str) -> tuple[Prefix, str, str, str, Place | None, str]:
    """Prefix, path, part, block, place and naming style of a module."""
    prefix, path = split_prefix(name)
    if prefix.is_flat:
        path = path.replace(".", "_")  # some files mix the prefix of one with the dots of another
    elif prefix.convention == "comfyui" and prefix.part != "denoiser":
        path = _ENCODER_LEVEL.sub("", path)
    part, place = _place(prefix, path)
    block = _block(path) if place is None else place.block
    style = naming_style(path, None if place is None else place.naming)
    return prefix, path, part, block if part == "denoiser" else part, place, style


_ENCODER_LEVEL = re.compile(r"^(?:\w+\.)?transformer\.(?!h\.|resblocks\.)")


def _place(prefix: Prefix, path: str) -> tuple[str, Place | None]:
    if prefix.part != "denoiser":
        return prefix.part, encoder_index().find(path, is_flat=prefix.is_flat)
    place = family_index().find(path, is_flat=prefix.is_flat)
    if place is None and ".to." in path:  # some trainers of Z-Image write `to.q`
        place = family_index().find(path.replace(".to.", ".to_"), is_flat=False)
    if place is None and prefix.convention in {"peft", "bare"}:
        encoder = encoder_index().find(path, is_flat=False)
        if encoder is not None:
            return "text_encoder", encoder
        inner = path.removeprefix("transformer.").removeprefix("unet.")
        if inner != path:
            place = family_index().find(inner, is_flat=False)
    return "denoiser", place


_STACK = re.compile(r"(?:^|\.)(\w{0,64}?(?:blocks?|layers?|refiner)|h)\.(\d{1,5})(?:\.|$)")


def _block(path: str) -> str:
    """Block of a module that no table has: `layers.3` of `model.layers.3.self_attn.q_proj`."""
    if "." not in path:
        found = _FLAT_BLOCK.match(path)
        return f"{found[1]}.{found[2]}" if found else path
    first, _, rest = path.partition(".")
    second = rest.partition(".")[0]
    if second.isdigit():
        return f"{first}.{second}"
    found = None if "block" in first else _STACK.search(path)
    return f"{found[1]}.{found[2]}" if found else first

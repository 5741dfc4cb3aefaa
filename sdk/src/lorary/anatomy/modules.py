"""Adapted modules of a file: tensor names grouped, placed and measured."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from lorary.anatomy.algorithms import order, refine
from lorary.anatomy.families import Place, block_name, encoder_index, family_index
from lorary.anatomy.keys import Prefix, Role, convention_name, split_key, split_prefix
from lorary.anatomy.shapes import Dims, measure
from lorary.safetensors.dtypes import DTYPE_BITS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lorary.safetensors import Header, TensorInfo

__all__ = ["Module", "Scan", "scan"]

_FLAGS = frozenset({"alpha", "on_input", "scalar"})
_FLAT_BLOCK = re.compile(r"(.*?(?:blocks?|layers?))[._](\d+)(?:[._]|$)")


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
        """Trained numbers: everything but alphas and flags."""
        count = 0
        for role, (dtype, _, begin, end) in self.roles.items():
            if role not in _FLAGS:
                count += (end - begin) * 8 // DTYPE_BITS[dtype]
        return count


@dataclass(frozen=True, slots=True)
class Scan:
    """What the names of a file hold.

    Attributes:
        modules: Adapted modules.
        others: Tensors that no adapter method uses.
        role_tensors: Tensors with a role, alphas left out.
    """

    modules: tuple[Module, ...]
    others: Mapping[str, TensorInfo]
    role_tensors: int


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
    counted += _adopt_vectors(groups, others)
    return Scan(tuple(_module(name, group) for name, group in groups.items()), others, counted)


def _adopt_vectors(groups: dict[str, _Group], others: dict[str, TensorInfo]) -> int:
    """Take the `.weight` beside an `.on_input` as the (IA)³ vector that it is."""
    adopted = 0
    if not others:
        return adopted
    for name, group in groups.items():
        if any(role.name == "on_input" for role in group):
            vector = others.pop(f"{name}.weight", None)
            if vector is not None:
                group[_VECTOR] = vector
                adopted += 1
    return adopted


_VECTOR = Role("vector", "ia3", "lycoris")


def _module(name: str, group: _Group) -> Module:
    roles = {role.name: tensor for role, tensor in group.items()}
    dims = measure(roles)
    prefix, path, part, block, place = _locate(name)
    algorithms, dialect = _signature(tuple(group))
    convention = convention_name(prefix, dialect, place.naming if place else None)
    algorithms = refine(algorithms, roles, path, is_conv=dims.is_conv)
    return tuple.__new__(Module, (name, part, block, convention, algorithms, dims, roles, place))


@lru_cache(maxsize=16_384)
def _locate(name: str) -> tuple[Prefix, str, str, str, Place | None]:
    """Prefix, path, part, block and place of a module; names repeat from file to file."""
    prefix, path = split_prefix(name)
    part, place = _place(prefix, path)
    block = _unplaced_block(path) if place is None else place.block
    return prefix, path, part, block if part == "denoiser" else part, place


@lru_cache(maxsize=512)
def _signature(roles: tuple[Role, ...]) -> tuple[tuple[str, ...], str | None]:
    """Algorithms and dialect that a set of suffixes shows; files repeat a few sets."""
    shown = {role.algorithm for role in roles if role.algorithm is not None}
    return order(shown), next((role.dialect for role in roles if role.dialect), None)


def _place(prefix: Prefix, path: str) -> tuple[str, Place | None]:
    if prefix.part != "denoiser":
        return prefix.part, encoder_index().find(path, is_flat=prefix.is_flat)
    place = family_index().find(path, is_flat=prefix.is_flat)
    if place is None and prefix.convention in {"peft", "bare"}:
        encoder = encoder_index().find(path, is_flat=False)
        if encoder is not None:
            return "text_encoder", encoder
        inner = path.removeprefix("transformer.").removeprefix("unet.")
        place = family_index().find(inner, is_flat=False)
    return "denoiser", place


def _unplaced_block(path: str) -> str:
    if "." in path:
        return block_name(path)
    found = _FLAT_BLOCK.match(path)
    return f"{found[1]}.{found[2]}" if found else path

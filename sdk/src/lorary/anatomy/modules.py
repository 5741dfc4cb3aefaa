"""Adapted modules of a file: tensor names grouped, placed and measured."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from lorary.anatomy.algorithms import module_algorithms
from lorary.anatomy.families import Entry, encoder_index, family_index
from lorary.anatomy.keys import Prefix, Role, convention_name, split_key, split_prefix
from lorary.anatomy.shapes import Dims, measure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lorary.safetensors import Header, TensorInfo

__all__ = ["Module", "Scan", "scan"]

_FLAT_BLOCK = re.compile(r"(.*?(?:blocks?|layers?))[._](\d+)(?:[._]|$)")


class Module(NamedTuple):
    """One module of the base model that the file adapts.

    A named tuple for the same reason as `TensorInfo`.

    Attributes:
        name: Name in the file, with its prefix.
        part: `denoiser` or a text encoder.
        path: Name in the base model, as the file spells it.
        block: Block of the base model, such as `down_blocks.0`.
        convention: Id of the file convention.
        naming: Naming of the base model, None when no table knows the path.
        algorithms: Its methods, the leading one first.
        dims: Sizes of the base weight.
        roles: Role to tensor.
        entries: What the tables know under this name.
    """

    name: str
    part: str
    path: str
    block: str
    convention: str
    naming: str | None
    algorithms: tuple[str, ...]
    dims: Dims
    roles: Mapping[str, TensorInfo]
    entries: tuple[Entry, ...]

    @property
    def parameters(self) -> int:
        """Trained numbers: everything but alphas and flags."""
        return sum(t.elements for role, t in self.roles.items() if role not in _FLAGS)


_FLAGS = frozenset({"alpha", "on_input", "scalar"})


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


def scan(header: Header) -> Scan:
    """Group the tensors of a file by the module that they adapt."""
    groups: dict[str, list[tuple[Role, TensorInfo]]] = {}
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
            groups[name] = [(role, tensor)]
        else:
            group.append((role, tensor))
        counted += role.algorithm is not None
    counted += _adopt_vectors(groups, others)
    return Scan(tuple(_module(name, group) for name, group in groups.items()), others, counted)


def _adopt_vectors(
    groups: dict[str, list[tuple[Role, TensorInfo]]], others: dict[str, TensorInfo]
) -> int:
    """Take the `.weight` beside an `.on_input` as the (IA)³ vector that it is."""
    adopted = 0
    for name, group in groups.items():
        if any(role.name == "on_input" for role, _ in group):
            vector = others.pop(f"{name}.weight", None)
            if vector is not None:
                group.append((Role("vector", "ia3", "lycoris"), vector))
                adopted += 1
    return adopted


def _module(name: str, group: list[tuple[Role, TensorInfo]]) -> Module:
    roles = {role.name: tensor for role, tensor in group}
    prefix, path = split_prefix(name)
    dims = measure(roles)
    part, entries = _place(prefix, path)
    first = entries[0] if entries else None
    dialect = next((role.dialect for role, _ in group if role.dialect), None)
    return Module(
        name=name,
        part=part,
        path=path,
        block=_block(part, path if first is None else first.path),
        convention=convention_name(prefix, dialect, first.naming if first else None),
        naming=first.naming if first else None,
        algorithms=module_algorithms(
            (role.algorithm for role, _ in group), roles, path, is_conv=dims.is_conv
        ),
        dims=dims,
        roles=roles,
        entries=entries,
    )


def _place(prefix: Prefix, path: str) -> tuple[str, tuple[Entry, ...]]:
    if prefix.part != "denoiser":
        found = encoder_index().find(path, is_flat=prefix.is_flat)
        if not found and path.startswith("base_model"):
            found = encoder_index().find(path.partition("model.")[2], is_flat=False)
        return prefix.part, found
    entries = family_index().find(path, is_flat=prefix.is_flat)
    if not entries and prefix.convention in {"peft", "bare"}:
        encoders = encoder_index().find(path, is_flat=False)
        if encoders:
            return "text_encoder", encoders
    if not entries and prefix.convention == "peft":
        for wrapper in ("transformer.", "unet."):
            if path.startswith(wrapper):
                entries = family_index().find(path.removeprefix(wrapper), is_flat=False)
    return "denoiser", entries


def _block(part: str, path: str) -> str:
    if part != "denoiser":
        return part
    first, _, rest = path.partition(".")
    if rest:
        second = rest.partition(".")[0]
        return f"{first}.{second}" if second.isdigit() else first
    found = _FLAT_BLOCK.match(path)
    return f"{found[1]}.{found[2]}" if found else path

"""Scans a header: groups tensors into adapted modules, looks them up and measures them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

from lorary.anatomy.modules.grouping import NamedModule, PairColumns, group_names, identify
from lorary.anatomy.modules.module_table import Module, Modules, Roles
from lorary.anatomy.modules.shapes import Dims, measure
from lorary.safetensors import Header, TensorInfo
from lorary.safetensors.dtypes import DTYPE_BITS
from lorary.safetensors.tensors import Tensors

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

"""Stores modules as columns: thousands of modules have only a few different values in each column.

Rows are built only for modules that are named, or that aren't plain pairs of matrices.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, overload

from lorary.safetensors import TensorInfo
from lorary.safetensors.tensors import Tensors

if TYPE_CHECKING:
    from lorary.anatomy.base_models.module_index import Weights
    from lorary.anatomy.families import Place
    from lorary.anatomy.modules.shapes import Dims

_Value = TypeVar("_Value")

Kind = tuple[tuple[str, ...], tuple[str, ...]]
"""Algorithms and roles of a module."""


class Module(NamedTuple):
    """One module of the base model that the file adapts.

    A named tuple for the same reason as `TensorInfo`.
    """

    name: str  # name in the file, with its prefix
    part: str  # `denoiser` or a text encoder
    block: str  # block of the base model, such as `down_blocks.0`
    convention: str  # id of the file convention
    algorithms: tuple[str, ...]  # its algorithms, the leading one first
    dims: Dims  # sizes of the base weight
    roles: Mapping[str, TensorInfo]  # role to tensor
    place: Place | None  # its entry in the tables of base models, or None
    layer: str = "other"  # kind of layer, one of `lorary.anatomy.keys.tensor_names.LAYERS`
    parameters: int = 0  # number of trained parameters, without alphas, flags and indices


class Columns(NamedTuple):
    """The fields of `Module` for all modules, in the same order."""

    names: Sequence[str] = ()
    parts: Sequence[str] = ()
    blocks: Sequence[str] = ()
    conventions: Sequence[str] = ()
    algorithms: Sequence[tuple[str, ...]] = ()
    dims: Sequence[Dims] = ()
    roles: Sequence[Mapping[str, TensorInfo]] = ()
    places: Sequence[Place | None] = ()
    layers: Sequence[str] = ()
    parameters: Sequence[int] = ()


_Indices = tuple[int, ...]


class Groups(NamedTuple):
    """Indices of similar modules."""

    kinds: Mapping[Kind, int]  # algorithms and roles to number of modules
    parts: Mapping[str, _Indices]  # part to its modules
    blocks: Mapping[str, _Indices]  # block to its modules
    weights: Sequence[tuple[Weights, _Indices]]  # modules of the denoiser by their table entry
    unknown: _Indices  # modules of the denoiser that no table has


def grouped(columns: Columns, roles: Sequence[tuple[str, ...]]) -> Groups:
    """Group modules that are similar by name.

    Args:
        columns: The modules; sizes, tensors and parameters are not used.
    """
    weights: dict[Weights, list[int]] = {}
    unknown: list[int] = []
    for index, (part, place) in enumerate(zip(columns.parts, columns.places, strict=True)):
        if part == "denoiser" and place is None:
            unknown.append(index)
        elif part == "denoiser" and place is not None:
            weights.setdefault(place.weights, []).append(index)
    return Groups(
        Counter(zip(columns.algorithms, roles, strict=True)),
        _by_value(columns.parts),
        _by_value(columns.blocks),
        [(key, tuple(indices)) for key, indices in weights.items()],
        tuple(unknown),
    )


def _by_value(column: Sequence[str]) -> dict[str, _Indices]:
    found: dict[str, list[int]] = {}
    for index, value in enumerate(column):
        found.setdefault(value, []).append(index)
    return {value: tuple(indices) for value, indices in found.items()}


class _LookedUp(Sequence[_Value]):
    """A sequence whose items are looked up on access, by `_item`."""

    @overload
    def __getitem__(self, index: int) -> _Value: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[_Value]: ...
    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self._item(one) for one in range(*index.indices(len(self)))]
        return self._item(index)

    def _item(self, index: int) -> _Value:
        raise NotImplementedError


class Roles(_LookedUp[Mapping[str, "TensorInfo"]]):
    """The roles of modules that all have the same ones; mappings are built on access.

    Args:
        indices: Role to the indices of its tensors, in the modules' order.
    """

    def __init__(self, tensors: Tensors, indices: Mapping[str, Sequence[int]]) -> None:
        self._tensors, self._indices = tensors, indices

    def tensors_of(self, role: str) -> list[TensorInfo]:
        """Return the tensors of one role."""
        return self._tensors.at(self._indices[role])

    def _item(self, index: int) -> Mapping[str, TensorInfo]:
        return {role: self._tensors.row(indices[index]) for role, indices in self._indices.items()}

    def __iter__(self) -> Iterator[Mapping[str, TensorInfo]]:
        rows = zip(*map(self.tensors_of, self._indices), strict=True)
        return (dict(zip(self._indices, row, strict=True)) for row in rows)

    def __len__(self) -> int:
        return len(next(iter(self._indices.values())))


_new: partial[Module] = partial(tuple.__new__, Module)


class Modules(_LookedUp[Module]):
    """The modules of a file, available as rows and as columns."""

    def __init__(self, rows: Iterable[Module] = ()) -> None:
        self.rows = tuple(rows)

    @classmethod
    def of_columns(cls, columns: Columns, groups: Groups, sizes: Mapping[Dims, int]) -> Modules:
        """Return modules that are given as columns."""
        modules = cls.__new__(cls)
        modules.columns, modules.groups, modules.sizes = columns, groups, sizes
        return modules

    @cached_property
    def rows(self) -> tuple[Module, ...]:
        """The modules as named tuples."""
        return tuple(map(_new, zip(*self.columns, strict=True)))

    @cached_property
    def columns(self) -> Columns:
        """Their fields."""
        return Columns(*zip(*self.rows, strict=True))

    @cached_property
    def groups(self) -> Groups:
        """Their groups."""
        return grouped(self.columns, list(map(tuple, self.columns.roles)))

    @cached_property
    def sizes(self) -> Mapping[Dims, int]:
        """Sizes to number of modules."""
        return Counter(self.columns.dims)

    def at(self, indices: Sequence[int]) -> Modules:
        """Return the modules at some indices."""
        return self if len(indices) == len(self) else _Subset(self, indices)

    def tensors_of(self, role: str) -> list[TensorInfo]:
        """Return the tensors of a role that all of them have."""
        roles = self.columns.roles
        if isinstance(roles, Roles):
            return roles.tensors_of(role)
        return [own[role] for own in roles]

    def _item(self, index: int) -> Module:
        if "rows" in self.__dict__:
            return self.rows[index]
        return _new([column[index] for column in self.columns])

    def __iter__(self) -> Iterator[Module]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows if "rows" in self.__dict__ else self.columns.names)


class _ColumnSubset(_LookedUp[_Value]):
    """Some values of a column, looked up on access."""

    def __init__(self, column: Sequence[_Value], indices: Sequence[int]) -> None:
        self._column, self._indices = column, indices

    def _item(self, index: int) -> _Value:
        return self._column[self._indices[index]]

    def __iter__(self) -> Iterator[_Value]:
        return map(self._column.__getitem__, self._indices)

    def __len__(self) -> int:
        return len(self._indices)


class _Subset(Modules):
    """Some modules of a file."""

    def __init__(self, modules: Modules, indices: Sequence[int]) -> None:
        self._modules, self._indices = modules, indices

    @cached_property
    def columns(self) -> Columns:
        """Their fields."""
        columns: Iterable[Sequence[Any]] = self._modules.columns
        return Columns(*(_ColumnSubset(column, self._indices) for column in columns))

    def _item(self, index: int) -> Module:
        return self._modules[self._indices[index]]

    def __len__(self) -> int:
        return len(self._indices)


def modules_of(modules: Sequence[Module]) -> Modules:
    """Return the same modules as `Modules`."""
    return modules if isinstance(modules, Modules) else Modules(modules)

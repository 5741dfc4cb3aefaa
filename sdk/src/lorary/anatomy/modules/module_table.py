"""Modules as columns: thousands of them are counted by a few different values of each field.

Rows are made only for what has to be named, or is no plain pair of matrices.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lorary.anatomy.base_models.module_index import Weights
    from lorary.anatomy.families import Place
    from lorary.anatomy.modules.shapes import Dims
    from lorary.safetensors import TensorInfo
    from lorary.safetensors.tensors import Tensors

__all__ = [
    "Columns",
    "Groups",
    "Kind",
    "Module",
    "Modules",
    "Roles",
    "columns_of",
    "grouped",
    "modules_of",
]

_Value = TypeVar("_Value")

Kind = tuple[tuple[str, ...], tuple[str, ...]]
"""Algorithms of a module, and its roles."""


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
        layer: Kind of layer: a key of `lorary.anatomy.keys.layers.LAYERS`.
        parameters: Trained numbers: everything but alphas, flags and indices.
    """

    name: str
    part: str
    block: str
    convention: str
    algorithms: tuple[str, ...]
    dims: Dims
    roles: Mapping[str, TensorInfo]
    place: Place | None
    layer: str = "other"
    parameters: int = 0


class Columns(NamedTuple):
    """The fields of `Module`, each of all modules, in the modules' order."""

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


_Places = tuple[int, ...]


class Groups(NamedTuple):
    """Modules that are alike, by their places among all.

    Attributes:
        kinds: Algorithms and roles to the number of modules that have them.
        parts: Part to its modules.
        blocks: Block to its modules.
        weights: Modules of the denoiser by what the tables have under their names.
        strangers: Modules of the denoiser that no table has.
    """

    kinds: Mapping[Kind, int]
    parts: Mapping[str, _Places]
    blocks: Mapping[str, _Places]
    weights: Sequence[tuple[Weights, _Places]]
    strangers: _Places


def grouped(columns: Columns, roles: Sequence[tuple[str, ...]]) -> Groups:
    """Put modules together that are alike in what their names tell.

    Args:
        columns: The modules; sizes, tensors and parameters are not looked at.
        roles: Their roles.
    """
    weights: dict[Weights, list[int]] = {}
    strangers: list[int] = []
    for at, (part, place) in enumerate(zip(columns.parts, columns.places, strict=True)):
        if part == "denoiser" and place is None:
            strangers.append(at)
        elif part == "denoiser" and place is not None:
            weights.setdefault(place.weights, []).append(at)
    return Groups(
        Counter(zip(columns.algorithms, roles, strict=True)),
        _by_value(columns.parts),
        _by_value(columns.blocks),
        [(key, tuple(places)) for key, places in weights.items()],
        tuple(strangers),
    )


def _by_value(column: Sequence[str]) -> dict[str, _Places]:
    found: dict[str, list[int]] = {}
    for at, value in enumerate(column):
        found.setdefault(value, []).append(at)
    return {value: tuple(places) for value, places in found.items()}


class Roles(Sequence[Mapping[str, "TensorInfo"]]):
    """Roles of modules that have the same ones, each module's made when it is asked for.

    Args:
        tensors: Tensors of the file.
        places: Role to the places of its tensors in the file, in the modules' order.
    """

    def __init__(self, tensors: Tensors, places: Mapping[str, Sequence[int]]) -> None:
        self._tensors, self._places = tensors, places

    def tensors_of(self, role: str) -> list[TensorInfo]:
        """Tensors of one role."""
        return self._tensors.at(self._places[role])

    @overload
    def __getitem__(self, at: int) -> Mapping[str, TensorInfo]: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Mapping[str, TensorInfo]]: ...
    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return list(self)[at]
        return {role: self._tensors.row(places[at]) for role, places in self._places.items()}

    def __iter__(self) -> Iterator[Mapping[str, TensorInfo]]:
        rows = zip(*map(self.tensors_of, self._places), strict=True)
        return (dict(zip(self._places, row, strict=True)) for row in rows)

    def __len__(self) -> int:
        return len(next(iter(self._places.values())))


_new: partial[Module] = partial(tuple.__new__, Module)


class Modules(Sequence[Module]):
    """The modules of a file, as rows or as columns, whichever is asked for."""

    def __init__(self, rows: Iterable[Module] = ()) -> None:
        self.rows = tuple(rows)

    @classmethod
    def of_columns(cls, columns: Columns, groups: Groups, sizes: Mapping[Dims, int]) -> Modules:
        """Modules that are known by their columns."""
        modules = cls.__new__(cls)
        modules.columns, modules.groups, modules.sizes = columns, groups, sizes
        return modules

    @cached_property
    def rows(self) -> tuple[Module, ...]:
        """The modules one by one."""
        return tuple(map(_new, zip(*self.columns, strict=True)))

    @cached_property
    def columns(self) -> Columns:
        """Their fields."""
        return Columns(*zip(*self.rows, strict=True))

    @cached_property
    def groups(self) -> Groups:
        """Those that are alike."""
        return grouped(self.columns, list(map(tuple, self.columns.roles)))

    @cached_property
    def sizes(self) -> Mapping[Dims, int]:
        """Sizes to the modules that have them: of thousands, a few different."""
        return Counter(self.columns.dims)

    def at(self, places: Sequence[int]) -> Modules:
        """Some of them."""
        return self if len(places) == len(self) else _Chosen(self, places)

    def tensors_of(self, role: str) -> list[TensorInfo]:
        """Tensors of a role that all of them have."""
        roles = self.columns.roles
        if isinstance(roles, Roles):
            return roles.tensors_of(role)
        return [own[role] for own in roles]

    @overload
    def __getitem__(self, at: int) -> Module: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Module]: ...
    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return [self[one] for one in range(*at.indices(len(self)))]
        if "rows" in self.__dict__:
            return self.rows[at]
        return Module(*[column[at] for column in self.columns])

    def __iter__(self) -> Iterator[Module]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows if "rows" in self.__dict__ else self.columns.names)


class _Picked(Sequence[_Value]):
    """Some values of a column, taken when they are asked for."""

    def __init__(self, column: Sequence[_Value], places: Sequence[int]) -> None:
        self._column, self._places = column, places

    @overload
    def __getitem__(self, at: int) -> _Value: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[_Value]: ...
    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return [self._column[place] for place in self._places[at]]
        return self._column[self._places[at]]

    def __iter__(self) -> Iterator[_Value]:
        return map(self._column.__getitem__, self._places)

    def __len__(self) -> int:
        return len(self._places)


class _Chosen(Modules):
    """Some modules of a file."""

    def __init__(self, whole: Modules, places: Sequence[int]) -> None:
        self._whole, self._places = whole, places

    @cached_property
    def columns(self) -> Columns:
        """Their fields."""
        columns: Iterable[Sequence[Any]] = self._whole.columns
        return Columns(*(_Picked(column, self._places) for column in columns))

    @overload
    def __getitem__(self, at: int) -> Module: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Module]: ...
    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return [self._whole[place] for place in self._places[at]]
        return self._whole[self._places[at]]

    def __len__(self) -> int:
        return len(self._places)


def modules_of(modules: Sequence[Module]) -> Modules:
    """The same modules, to be counted."""
    return modules if isinstance(modules, Modules) else Modules(modules)


def columns_of(modules: Sequence[Module]) -> Columns:
    """The fields of some modules."""
    return modules_of(modules).columns

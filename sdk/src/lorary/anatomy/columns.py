"""Modules as columns: thousands of them are counted by a few different values of each field."""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lorary.anatomy.families import Place
    from lorary.anatomy.modules import Module
    from lorary.anatomy.shapes import Dims
    from lorary.safetensors import TensorInfo

__all__ = ["Columns", "Kind", "Modules", "columns_of", "kinds_of"]

Kind = tuple[tuple[str, ...], tuple[str, ...]]
"""Algorithms of a module, and its roles."""


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


class Modules(tuple["Module", ...]):
    """The modules of a file, which are turned into columns once."""

    @cached_property
    def columns(self) -> Columns:
        """Their fields."""
        return Columns(*zip(*self, strict=True))

    @cached_property
    def kinds(self) -> Mapping[Kind, int]:
        """Algorithms and roles to the modules that have them: of thousands, a few different."""
        columns = self.columns
        return Counter(zip(columns.algorithms, map(tuple, columns.roles), strict=True))


def kinds_of(modules: Sequence[Module]) -> Mapping[Kind, int]:
    """Algorithms and roles of some modules, and how many have them."""
    return (modules if isinstance(modules, Modules) else Modules(modules)).kinds


def columns_of(modules: Sequence[Module]) -> Columns:
    """The fields of some modules."""
    if isinstance(modules, Modules):
        return modules.columns
    return Columns(*zip(*modules, strict=True))

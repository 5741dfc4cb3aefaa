"""Modules as columns: thousands of them are counted by a few different values of each field."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lorary.anatomy.families import Place
    from lorary.anatomy.modules import Module
    from lorary.anatomy.shapes import Dims
    from lorary.safetensors import TensorInfo

__all__ = ["Columns", "Modules", "columns_of"]


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


def columns_of(modules: Sequence[Module]) -> Columns:
    """The fields of some modules."""
    if isinstance(modules, Modules):
        return modules.columns
    return Columns(*zip(*modules, strict=True))

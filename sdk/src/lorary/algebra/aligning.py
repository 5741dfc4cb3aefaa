"""Finds the modules that several adapters have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from lorary.algebra.errors import AlgebraError
from lorary.algebra.modules import AdaptedModule
from lorary.anatomy import family_title, inspect_file
from lorary.anatomy.claims.metadata import clean
from lorary.anatomy.keys.tensor_names import split_prefix
from lorary.anatomy.modules.duplicate_targets import projections

One = TypeVar("One", bound=AdaptedModule)
Modules = Sequence[Mapping[str, AdaptedModule]]
"""Name to module of each file."""


def align(
    maps: Sequence[Mapping[str, One]], names: Sequence[str]
) -> Mapping[str, Sequence[tuple[int, One]]]:
    """Return all modules of several adapters with the files that have them.

    Modules are the same if they have the same name. Files that call one module by different names,
    or that spell a part of the base model in different conventions, can't be aligned.

    Args:
        maps: Name to module of each file.
        names: Name of each file, for messages.

    Returns:
        Module name to its occurrences: number of the file, and the module there.

    Raises:
        AlgebraError: `namings_differ` or `modules_differ`.
    """
    clash = _clash(maps)
    if clash is not None:
        (number, module), (earlier, other) = clash
        raise _namings_differ(module, other, names[number], names[earlier])
    found: dict[str, list[tuple[int, One]]] = {}
    for number, modules in enumerate(maps):
        for name, module in modules.items():
            found.setdefault(name, []).append((number, module))
    for name, occurrences in found.items():
        sizes = [(number, (module.out, module.fan_in)) for number, module in occurrences]
        require_equal_shapes(name, sizes, names)
    return found


def require_equal_shapes(
    name: str, shapes: Sequence[tuple[int, tuple[int, ...]]], files: Sequence[str]
) -> None:
    """Refuse a module or tensor that has different shapes in some files.

    Args:
        shapes: Number of a file, and the shape there.
        files: Name of each file.

    Raises:
        AlgebraError: `modules_differ`.
    """
    (first, shape), *others = shapes
    for number, other in others:
        if other != shape:
            message = (
                f"“{clean(name)}” is {_size(shape)} in {files[first]} and {_size(other)} in "
                f"{files[number]}: the files are for different base models."
            )
            raise AlgebraError(message, code="modules_differ", module=name)


def _size(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))


def have_one_naming(maps: Modules) -> bool:
    """Return whether `align` finds the modules that the adapters have in common."""
    return _clash(maps) is None


_Numbered = tuple[int, AdaptedModule]


def _clash(maps: Modules) -> tuple[_Numbered, _Numbered] | None:
    """Return two modules by which files call a projection by different names, or None."""
    spellings = [{(one.part, one.convention) for one in modules.values()} for modules in maps]
    seen: dict[tuple[str, str], _Numbered] = {}
    parts: dict[str, _Numbered] = {}
    for number, modules in enumerate(maps):
        for module in modules.values():
            for key in _projections(module):
                earlier, other = seen.setdefault(key, (number, module))
                if earlier != number and module.name not in maps[earlier]:
                    return (number, module), (earlier, other)
            earlier, other = parts.setdefault(module.part, (number, module))
            is_alike = (module.part, module.convention) in spellings[earlier]
            if earlier != number and not is_alike and module.name not in maps[earlier]:
                return (number, module), (earlier, other)
    return None


def _projections(module: AdaptedModule) -> Iterator[tuple[str, str]]:
    """Yield part and projections, in one spelling for all conventions."""
    path = split_prefix(module.name)[1]
    for projection in projections(path, is_encoder=module.part != "denoiser"):
        yield module.part, projection


def _namings_differ(
    module: AdaptedModule, other: AdaptedModule, name: str, other_name: str
) -> AlgebraError:
    message = (
        f"{other_name} and {name} spell the names of modules differently, such as "
        f"“{clean(other.name)}” ({other.convention}) and “{clean(module.name)}” "
        f"({module.convention})."
    )
    namings = [other.convention, module.convention]
    return AlgebraError(message, code="namings_differ", namings=namings)


def common_families(paths: Sequence[Path]) -> frozenset[str]:
    """Return the families of the base model that fit all adapters; none if none shows its own.

    Raises:
        AlgebraError: `families_differ`.
    """
    earlier: list[tuple[Path, frozenset[str]]] = []
    for path in paths:
        anatomy = inspect_file(path).anatomy
        found = frozenset(() if anatomy is None else anatomy.base.candidates)
        for other, theirs in earlier:
            if found and found.isdisjoint(theirs):
                message = (
                    f"{other.name} is for {_titles(theirs)}, {path.name} for {_titles(found)}."
                )
                raise AlgebraError(
                    message, code="families_differ", families=[sorted(theirs), sorted(found)]
                )
        if found:
            earlier.append((path, found))
    return frozenset.intersection(*(found for _, found in earlier)) if earlier else frozenset()


def _titles(families: frozenset[str]) -> str:
    return " or ".join(family_title(family) for family in sorted(families))

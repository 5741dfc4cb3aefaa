"""Finds the modules that several adapters have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from lorary.algebra.errors import AlgebraError
from lorary.algebra.modules import FactorModule
from lorary.anatomy import family_title, inspect_file
from lorary.anatomy.claims.metadata import clean
from lorary.anatomy.keys.tensor_names import split_prefix
from lorary.anatomy.modules.duplicate_targets import projections

Aligned = Mapping[str, Sequence[tuple[int, FactorModule]]]
"""Module name to its occurrences: number of the file, and the module there."""


def align(maps: Sequence[Mapping[str, FactorModule]], names: Sequence[str]) -> Aligned:
    """Return all modules of several adapters with the files that have them.

    Modules are the same if they have the same name. Files that call one module by different names,
    or that spell a part of the base model in different conventions, can't be aligned.

    Args:
        maps: Name to module of each file.
        names: Name of each file, for messages.

    Raises:
        AlgebraError: `namings_differ` or `modules_differ`.
    """
    _require_one_naming(maps, names)
    found: dict[str, list[tuple[int, FactorModule]]] = {}
    for number, modules in enumerate(maps):
        for name, module in modules.items():
            found.setdefault(name, []).append((number, module))
    for name, occurrences in found.items():
        first, module = occurrences[0]
        for number, other in occurrences[1:]:
            if (other.out, other.fan_in) != (module.out, module.fan_in):
                message = (
                    f"The module “{clean(name)}” is {module.out} × {module.fan_in} in "
                    f"{names[first]} and {other.out} × {other.fan_in} in {names[number]}: the "
                    "files are for different base models."
                )
                raise AlgebraError(message, code="modules_differ", module=name)
    return found


def _require_one_naming(maps: Sequence[Mapping[str, FactorModule]], names: Sequence[str]) -> None:
    """Refuse files that call a projection of the base model by different names."""
    spellings = [{(one.part, one.convention) for one in modules.values()} for modules in maps]
    seen: dict[tuple[str, str], tuple[int, FactorModule]] = {}
    parts: dict[str, tuple[int, FactorModule]] = {}
    for number, modules in enumerate(maps):
        for module in modules.values():
            for key in _projections(module):
                earlier, other = seen.setdefault(key, (number, module))
                if earlier != number and module.name not in maps[earlier]:
                    raise _namings_differ(module, other, names[number], names[earlier])
            earlier, other = parts.setdefault(module.part, (number, module))
            is_alike = (module.part, module.convention) in spellings[earlier]
            if earlier != number and not is_alike and module.name not in maps[earlier]:
                raise _namings_differ(module, other, names[number], names[earlier])


def _projections(module: FactorModule) -> Iterator[tuple[str, str]]:
    """Yield part and projections, in one spelling for all conventions."""
    path = split_prefix(module.name)[1]
    for projection in projections(path, is_encoder=module.part != "denoiser"):
        yield module.part, projection


def _namings_differ(
    module: FactorModule, other: FactorModule, name: str, other_name: str
) -> AlgebraError:
    message = (
        f"{other_name} and {name} spell the names of modules differently, such as "
        f"“{clean(other.name)}” ({other.convention}) and “{clean(module.name)}” "
        f"({module.convention}). Convert one of them first."
    )
    namings = [other.convention, module.convention]
    return AlgebraError(message, code="namings_differ", namings=namings)


def require_one_family(paths: Sequence[Path]) -> None:
    """Refuse adapters that can't be for the same base model.

    Raises:
        AlgebraError: `families_differ`.
    """
    earlier: list[tuple[Path, frozenset[str]]] = []
    for path in paths:
        anatomy = inspect_file(path).anatomy
        candidates = frozenset(() if anatomy is None else anatomy.base.candidates)
        for other, theirs in earlier:
            if candidates and theirs and candidates.isdisjoint(theirs):
                message = (
                    f"{other.name} is for {_titles(theirs)}, {path.name} for {_titles(candidates)}."
                )
                raise AlgebraError(
                    message, code="families_differ", families=[sorted(theirs), sorted(candidates)]
                )
        earlier.append((path, candidates))


def _titles(families: frozenset[str]) -> str:
    return " or ".join(family_title(family) for family in sorted(families))

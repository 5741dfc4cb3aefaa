"""Finds the modules that several adapters have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from lorary.algebra.errors import AlgebraError
from lorary.algebra.modules import FactorModule
from lorary.anatomy import family_title, inspect_file
from lorary.anatomy.claims.metadata import clean

Aligned = Mapping[str, Sequence[tuple[int, FactorModule]]]
"""Module name to its occurrences: number of the file, and the module there."""


def align(maps: Sequence[Mapping[str, FactorModule]], names: Sequence[str]) -> Aligned:
    """Return all modules of several adapters with the files that have them.

    Modules are the same if they have the same name. A part of the base model (the denoiser or a
    text encoder) that two files spell in different conventions can't be aligned.

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
    spellings = [_spellings(modules) for modules in maps]
    for number, own in enumerate(spellings):
        for earlier, others in enumerate(spellings[:number]):
            for part in own.keys() & others.keys():
                if own[part].isdisjoint(others[part]) and maps[number].keys().isdisjoint(
                    maps[earlier]
                ):
                    theirs, ours = ("/".join(sorted(found[part])) for found in (others, own))
                    message = (
                        f"{names[earlier]} spells the modules of the {part.replace('_', ' ')} as "
                        f"{theirs}, {names[number]} as {ours}. Convert one of them first."
                    )
                    raise AlgebraError(message, code="namings_differ", namings=[theirs, ours])


def _spellings(modules: Mapping[str, FactorModule]) -> dict[str, set[str]]:
    """Return part of the base model to the conventions of its modules."""
    found: dict[str, set[str]] = {}
    for module in modules.values():
        found.setdefault(module.part, set()).add(module.convention)
    return found


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

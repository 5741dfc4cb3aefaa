"""What the tensors prove about the base model.

A family is a candidate when its table holds every denoiser module of the file with agreeing
shapes. Text encoders, then the depth of the block stacks, narrow the set; metadata never does.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lorary.anatomy.families import Family, families, family_title

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lorary.anatomy.modules import Module

__all__ = ["Confidence", "Proof", "prove"]

Confidence = Literal["certain", "likely", "ambiguous", "unknown"]

_STRAYS_ALLOWED = 0.05  # changed input layers (inpainting, control) and renamed leftovers
_STRAYS_NEED = 20  # modules, below which a share proves nothing
_UNTABLED = frozenset({"norm", "bias", "modulation", "trainable_tokens"})
_COVERAGE = 0.9  # of a family's blocks, before the depth of a file says something


@dataclass(frozen=True, slots=True)
class Proof:
    """Families that the tensors allow.

    Attributes:
        candidates: Every family that fits, in display order.
        confidence: How sure the answer is.
        evidence: Sentences that give the reasons.
        strays: Denoiser modules that fit none of the candidates.
    """

    candidates: tuple[str, ...]
    confidence: Confidence
    evidence: tuple[str, ...]
    strays: tuple[str, ...] = ()

    @property
    def proven(self) -> str | None:
        """The family, when only one is possible."""
        return self.candidates[0] if len(self.candidates) == 1 else None


def prove(modules: Sequence[Module]) -> Proof:
    """Find the families that a file's modules can belong to."""
    denoiser = _told(modules)
    encoders = _encoders(module for module in modules if module.part != "denoiser")
    if not denoiser:
        return _from_encoders(encoders)
    named, fitting = _count(denoiser)
    total = len(denoiser)
    found = [name for name in families() if fitting[name] == total]
    strays: tuple[str, ...] = ()
    if not found:
        found, strays = _nearly(denoiser, fitting)
        if not found:
            return Proof((), "unknown", (f"No known base model has all {total} modules.",))
    evidence = [_summary(found, total, len(strays))]
    evidence += _ruled_out(denoiser, [name for name in families() if named[name] == total], found)
    found = _narrow_by_encoders(found, encoders, evidence)
    by_depth = _narrow_by_depth(denoiser, found, evidence)
    if len(by_depth) > 1:
        confidence: Confidence = "ambiguous"
    else:
        confidence = "likely" if strays or by_depth != found else "certain"
    return Proof(tuple(by_depth), confidence, tuple(evidence), strays)


def _told(modules: Iterable[Module]) -> list[Module]:
    """Modules of the denoiser, but not norm and bias differences on modules without a table."""
    return [
        module
        for module in modules
        if module.part == "denoiser"
        and (module.place is not None or not _UNTABLED.issuperset(module.algorithms))
    ]


def _count(modules: Iterable[Module]) -> tuple[Counter[str], Counter[str]]:
    """Modules a family has by name, and by name and shape."""
    by_name: dict[frozenset[str], int] = {}
    by_shape: dict[frozenset[str], int] = {}
    for module in modules:
        place = module.place
        if place is not None:
            by_name[place.owners] = by_name.get(place.owners, 0) + 1
            fitting = place.fitting(module.dims)
            by_shape[fitting] = by_shape.get(fitting, 0) + 1
    return _spread(by_name), _spread(by_shape)


def _spread(sets: Mapping[frozenset[str], int]) -> Counter[str]:
    totals: Counter[str] = Counter()
    for owners, count in sets.items():
        for owner in owners:
            totals[owner] += count
    return totals


def _fits(module: Module) -> frozenset[str]:
    return frozenset() if module.place is None else module.place.fitting(module.dims)


def _nearly(
    modules: Sequence[Module], fitting: Mapping[str, int]
) -> tuple[list[str], tuple[str, ...]]:
    """Families that lack only a few of the modules."""
    most = max(fitting.values(), default=0)
    if len(modules) < _STRAYS_NEED or most < (1 - _STRAYS_ALLOWED) * len(modules):
        return [], ()
    found = [name for name in families() if fitting.get(name) == most]
    strays = [module for module in modules if _fits(module).isdisjoint(found)]
    # A block that no family here has is another architecture, however much of the rest fits.
    found = [name for name in found if not any(_is_beyond(families()[name], m) for m in strays)]
    return found, tuple(module.name for module in strays) if found else ()


def _is_beyond(family: Family, module: Module) -> bool:
    stack, _, number = module.block.rpartition(".")
    return number.isdigit() and int(number) >= family.depths.get(stack, 0)


def _summary(found: Sequence[str], total: int, strays: int) -> str:
    titles = " and ".join(family_title(name) for name in found)
    return f"{total - strays} of {total} denoiser modules are in {titles} by name and shape."


def _ruled_out(modules: Sequence[Module], named: Iterable[str], found: Sequence[str]) -> list[str]:
    """One sentence for each family that has the names but not the shapes."""
    reasons = []
    for name in named:
        if name in found:
            continue
        module = next(module for module in modules if name not in _fits(module))
        entries = () if module.place is None else module.place.entries
        entry = next(entry for entry in entries if entry.owner == name)
        reasons.append(
            f"Not {family_title(name)}: {entry.path} is {module.dims.out} × "
            f"{module.dims.fan_in} here and {entry.out} × {entry.fan_in} there."
        )
    return reasons


def _encoders(modules: Iterable[Module]) -> dict[str, frozenset[str]]:
    """Part to the text encoders that all of its modules fit."""
    found: dict[str, frozenset[str]] = {}
    for module in modules:
        fits = _fits(module)
        found[module.part] = found[module.part] & fits if module.part in found else fits
    return found


def _has_encoders(family: Family, encoders: Mapping[str, frozenset[str]]) -> bool:
    return all(
        fits.intersection(family.text_encoders.get(part, ())) for part, fits in encoders.items()
    )


def _from_encoders(encoders: Mapping[str, frozenset[str]]) -> Proof:
    found = tuple(
        name for name, family in families().items() if encoders and _has_encoders(family, encoders)
    )
    if not found:
        return Proof((), "unknown", ("No module of a known base model is adapted.",))
    evidence = "Only text-encoder modules are adapted, and several base models share encoders."
    return Proof(found, "likely" if len(found) == 1 else "ambiguous", (evidence,))


def _narrow_by_encoders(
    found: list[str], encoders: Mapping[str, frozenset[str]], evidence: list[str]
) -> list[str]:
    if not encoders:
        return found
    kept = [name for name in found if _has_encoders(families()[name], encoders)]
    if not kept:
        evidence.append("The text-encoder modules do not fit, and were not counted.")
        return found
    if len(kept) < len(found):
        titles = " and ".join(family_title(name) for name in kept)
        evidence.append(f"Only {titles} has the text encoders that are adapted.")
    return kept


def _narrow_by_depth(modules: Iterable[Module], found: list[str], evidence: list[str]) -> list[str]:
    """Prefer the families whose stacks end where the file's do.

    Only for files that cover nearly all blocks: an adapter of blocks 2 and 3 says nothing about
    how many follow.
    """
    if len(found) < 2:
        return found
    seen: dict[str, set[int]] = {}
    for module in modules:
        stack, _, number = module.block.rpartition(".")
        if number.isdigit():
            seen.setdefault(stack, set()).add(int(number))
    exact = [name for name in found if _is_exact(families()[name], seen)]
    if not exact or len(exact) == len(found):
        return found
    titles = " and ".join(family_title(name) for name in exact)
    evidence.append(f"The block stacks end where those of {titles} do.")
    return exact


def _is_exact(family: Family, seen: Mapping[str, set[int]]) -> bool:
    depths = {stack: family.depths.get(stack, 0) for stack in seen}
    blocks = sum(len(numbers) for numbers in seen.values())
    if not seen or blocks < _COVERAGE * sum(depths.values()):
        return False
    return all(max(seen[stack]) + 1 == depth for stack, depth in depths.items())

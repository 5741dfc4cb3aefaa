"""Determines the base model from the tensors.

A family is a candidate if its table has every denoiser module of the file with the same shape. Text
encoders narrow the set, then weaker steps (`narrowing`). Metadata never adds a family; without a
candidate, its claim is only reported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from lorary.anatomy.base_models.ambiguity import Confidence, doubt, doubt_all, is_only
from lorary.anatomy.base_models.narrowing import (
    Evidence,
    has_encoders,
    listed,
    narrow,
    narrow_by_claim,
    narrow_by_encoders,
)
from lorary.anatomy.base_models.survey import Survey, survey
from lorary.anatomy.families import Family, families, family_index, family_title

if TYPE_CHECKING:
    from lorary.anatomy.claims.base_models import Claims
    from lorary.anatomy.modules.adapted import Module

__all__ = ["Confidence", "Evidence", "Proof", "prove"]

_UNFITTING_ALLOWED = 0.05  # allows changed input layers (inpainting, control) and renamed modules
_UNFITTING_NEED = 20  # modules; a share of fewer proves nothing
_RELATIVE = 0.5  # of the modules by name, for a family to be mentioned
_MAX_RELATIVES = 4


@dataclass(frozen=True, slots=True)
class Proof:
    """Families that the tensors allow.

    Attributes:
        confidence: `proven` if modules, shapes and text encoders leave one family; `narrowed` if
            weaker evidence leaves one, or if several remain; `claimed` if the tensors leave none
            and the metadata names one; `unknown` if they leave none, or if an unknown model looks
            the same.
        expected: Modules of an unrestricted file of the only family, in this file's naming and
            parts; None without a family.
        allowed: The candidates, and those that only the metadata or the file's name exclude.
    """

    candidates: tuple[str, ...]  # all families that fit, in display order
    confidence: Confidence
    evidence: tuple[Evidence, ...]  # the reasons
    unfitting: tuple[str, ...] = ()  # denoiser modules that fit none of the candidates
    expected: int | None = None
    allowed: tuple[str, ...] = ()

    @property
    def family(self) -> str | None:
        """The family, if only one is possible and no unknown model looks the same."""
        is_certain = self.confidence in {"proven", "narrowed"} and len(self.candidates) == 1
        return self.candidates[0] if is_certain else None


def prove(modules: Sequence[Module], claims: Claims) -> Proof:
    """Return the families that a file's modules may belong to."""
    seen = survey(modules)
    if not seen.denoiser:
        return _from_encoders(seen, claims)
    total = len(seen.denoiser)
    found = [name for name, count in seen.fitting.items() if count == total]
    unfitting: tuple[str, ...] = ()
    if not found:
        found, unfitting = _nearly(seen)
        if not found:
            text = f"No known base model has {_all(total, 'module')} by name and shape."
            nothing = Evidence("containment", text, _names(seen.unknown))
            return _without(claims, nothing, *_apart([], seen))
    evidence = [_summary(found, seen, len(unfitting))]
    evidence += _apart(found, seen)
    fitting = narrow_by_encoders(found, seen, evidence)
    allowed = narrow(fitting, seen, claims, evidence)
    left = narrow_by_claim(allowed, claims, evidence)
    if unfitting:
        text = f"{len(unfitting):,} of the {total:,} denoiser modules fit none of them."
        evidence.append(Evidence("strays", text, unfitting[:5]))
    confidence: Confidence = "proven" if len(fitting) == 1 and not unfitting else "narrowed"
    if len(left) == 1:
        if not unfitting and _has_sure_depth(left[0], fitting, seen):
            confidence = "proven"
        confidence = doubt(families()[left[0]], seen, claims, confidence, evidence)
    else:
        confidence = doubt_all(left, seen, claims, evidence)
    proof = Proof(tuple(left), confidence, tuple(evidence), unfitting, allowed=tuple(allowed))
    if proof.family is None:
        return proof
    return replace(proof, expected=seen.expected(families()[left[0]]))


def _has_sure_depth(family: str, fitting: Sequence[str], seen: Survey) -> bool:
    """Return whether the file has all blocks, and others fit only by ComfyUI's spellings."""
    others = [name for name in fitting if name != family]
    return seen.coverage(families()[family]) >= 1 and all(map(seen.is_respelled, others))


def _without(claims: Claims, *evidence: Evidence) -> Proof:
    return Proof((), "unknown" if claims.first is None else "claimed", evidence)


def _all(total: int, what: str = "denoiser module") -> str:
    return f"the one {what}" if total == 1 else f"all {total:,} {what}s"


def _names(modules: Sequence[Module]) -> tuple[str, ...]:
    return tuple(module.name for module in modules[:5])


def _nearly(seen: Survey) -> tuple[list[str], tuple[str, ...]]:
    """Return families that lack only a few of the modules, and these modules."""
    most = max(seen.fitting.values(), default=0)
    total = len(seen.denoiser)
    if total < _UNFITTING_NEED or most < (1 - _UNFITTING_ALLOWED) * total:
        return [], ()
    found = [name for name, count in seen.fitting.items() if count == most]
    bits = sum(family_index().bits[name] for name in found)
    unfitting = [m for group in seen.groups if not group.bits & bits for m in group.modules]
    unfitting += seen.unknown
    # A block that a family doesn't have rules it out, however many other modules fit.
    known = families()
    found = [name for name in found if not any(_is_beyond(known[name], m) for m in unfitting)]
    # Common layers and a few unknown ones are also another architecture.
    if (
        len(found) == 1
        and not any(is_only(found[0], group) for group in seen.groups)
        and not all(_is_widened(found[0], module) for module in unfitting)
    ):
        return [], ()
    return found, tuple(module.name for module in unfitting) if found else ()


def _is_widened(family: str, module: Module) -> bool:
    """Return whether this is an input layer with more channels, as for inpainting and control."""
    place, dims = module.place, module.dims
    if place is None or module.block.rpartition(".")[2].isdigit():
        return False
    rows = [row for row in place.weights.rows if row.owner == family]
    return any(row.shape[0] == dims.out and row.fan_in < (dims.fan_in or 0) for row in rows)


def _is_beyond(family: Family, module: Module) -> bool:
    stack, _, number = module.block.rpartition(".")
    is_number = number.isascii() and number.isdigit()
    return is_number and int(number) >= family.depths.get(stack, 0)


def _summary(found: Sequence[str], seen: Survey, unfitting: int) -> Evidence:
    total = len(seen.denoiser)
    count = _all(total) if not unfitting else f"{total - unfitting:,} of {total:,} denoiser modules"
    how = "by name and shape" if seen.has_shapes else "by name (the shapes are not known)"
    verb = "is" if total == 1 else "are"
    text = f"{count[0].upper()}{count[1:]} {verb} in {listed(found)} {how}."
    return Evidence("containment", text, tuple(group.name for group in seen.groups[:5]))


def _apart(found: Sequence[str], seen: Survey) -> list[Evidence]:
    """Return evidence that tells the families from similar ones."""
    evidence = []
    if len(found) == 1:
        groups = seen.only(found[0])
        if groups:
            path = _path(groups[0].modules[0])
            text = f"`{path}` exists only in {family_title(found[0])}."
            keys = tuple(group.name for group in groups[:5])
            evidence.append(Evidence("exclusive", text, keys))
    known = families()
    total = len(seen.denoiser)
    others = [
        (count, -known[name].order, name)
        for name, count in seen.named.items()
        if name not in found and count >= _RELATIVE * total
    ]
    # One sentence for all similar families that differ in the same way.
    lacks: dict[_Difference, list[str]] = {}
    for _, _, name in sorted(others, reverse=True):
        lacks.setdefault(_difference(name, seen), []).append(name)
    shown = list(lacks.items())[:_MAX_RELATIVES]
    return evidence + [_ruled_out(lack, names) for lack, names in shown]


class _Difference(NamedTuple):
    """How a family differs: a module that it lacks, or the sizes of one."""

    key: str
    path: str
    here: tuple[int | None, int | None] = (None, None)
    there: tuple[int, int] | None = None


def _path(module: Module) -> str:
    return module.name if module.place is None else module.place.path


def _difference(family: str, seen: Survey) -> _Difference:
    """Return the first different shape, or else the first missing module."""
    bit = family_index().bits[family]
    for group in seen.groups:
        if group.weights.owners & bit and not group.bits & bit:
            module = group.modules[0]
            row = next(row for row in group.weights.rows if row.owner == family)
            sizes = (module.dims.out, module.dims.fan_in)
            return _Difference(module.name, _path(module), sizes, (row.shape[0], row.fan_in))
    lacking = (group.modules[0] for group in seen.groups if not group.weights.owners & bit)
    module = next(lacking, None) or seen.unknown[0]
    return _Difference(module.name, _path(module))


def _ruled_out(lack: _Difference, names: Sequence[str]) -> Evidence:
    subject = f"Not {listed(names, 'or')}"
    if lack.there is None:
        return Evidence("absent", f"{subject}: `{lack.path}` is not in it.", (lack.key,))
    here = " × ".join("?" if size is None else f"{size}" for size in lack.here)
    there = " × ".join(map(str, lack.there))
    text = f"{subject}: `{lack.path}` is {there} there, but {here} in this file."
    return Evidence("shape", text, (lack.key,))


def _from_encoders(seen: Survey, claims: Claims) -> Proof:
    if seen.is_llm:
        text = "The modules are those of a language model; the tensors don't show its family."
        return _without(claims, Evidence("encoders", text))
    found = [
        name for name, family in families().items() if seen.encoders and has_encoders(family, seen)
    ]
    if not found:
        text = "No module of a known base model is adapted."
        return _without(claims, Evidence("containment", text))
    text = "Only text-encoder modules are adapted, and several base models share encoders."
    evidence = [
        Evidence("encoders", text, tuple(m.columns.names[0] for m in seen.encoders.values())[:5])
    ]
    left = narrow_by_claim(found, claims, evidence)
    expected = seen.expected(families()[left[0]]) if len(left) == 1 else None
    return Proof(tuple(left), "narrowed", tuple(evidence), (), expected, tuple(found))

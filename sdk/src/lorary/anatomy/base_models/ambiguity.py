"""Decides whether a family is certain, even if no other known family fits.

Base models exist that have no table. A family is certain only if an unknown model can't look the
same: one with the same names, the same width, or fewer of the same blocks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from lorary.anatomy.base_models.narrowing import Evidence
from lorary.anatomy.claims.vocabulary import covers
from lorary.anatomy.families import Family, families, family_index, family_title

if TYPE_CHECKING:
    from lorary.anatomy.base_models.survey import Group, Survey
    from lorary.anatomy.claims.base_models import Claims

Confidence = Literal["proven", "narrowed", "claimed", "unknown"]
_Answer = tuple[Confidence, "Evidence | None"]

_FEW_NAMES = 20  # minimum number of modules without shapes; fewer names prove nothing
_NEARLY_ALL = 0.9  # minimum share of the layers that the same targets select
_COMMON = 5  # families; a name that this many share is a convention, not a sign of descent
_DEEP = 8  # blocks; only deeper stacks can be recognised as too short


def doubt(
    family: Family,
    seen: Survey,
    claims: Claims,
    confidence: Confidence,
    evidence: list[Evidence],
) -> Confidence:
    """Return how certain the only family that fits is.

    Args:
        claims: What the metadata says; a claim of the same family reduces doubts.
        confidence: Confidence by the steps that led to the family.
        evidence: Reasons; those for a doubt are appended.
    """
    found, reason = _worst(family, seen)
    if reason is not None:
        evidence.append(reason)
    if found == "unknown" and claims.first is not None and claims.first.family == family.id:
        return "narrowed"
    return confidence if found == "proven" else found


def doubt_all(
    found: Sequence[str], seen: Survey, claims: Claims, evidence: list[Evidence]
) -> Confidence:
    """Return how certain it is that the file belongs to one of several families.

    Args:
        claims: What the metadata says; there is no doubt if it names one of the families.
        evidence: Reasons; if each family is doubted, that for the nearest one is appended.

    Returns:
        `unknown` if each of the families would have more layers, otherwise `narrowed`.
    """
    known = families()
    answers = {name: _is_cut_short(known[name], seen) for name in found}
    if None in answers.values():
        return "narrowed"
    nearest = max(found, key=lambda name: (seen.coverage(known[name]), known[name].use))
    answer = answers[nearest]
    reason = None if answer is None else answer[1]
    if reason is not None:
        text = f"{reason.text} {family_title(nearest)} is the nearest of those that fit."
        evidence.append(reason._replace(text=text))
    first = claims.first
    is_claimed = first is not None and any(covers(first.family, name) for name in found)
    return "narrowed" if is_claimed else "unknown"


def is_only(family: str, group: Group) -> bool:
    """Return whether only this family has the modules of a group."""
    return family_index().bits[family] == group.bits


def _worst(family: Family, seen: Survey) -> _Answer:
    has_own_names = bool(seen.only(family.id))
    has_one_width = seen.has_shapes and not has_own_names and _has_one_width(family, seen)
    sharing = _sharing(seen)
    if has_one_width and sharing >= _COMMON:
        return "unknown", _width_doubt(family, sharing, seen)
    short = _is_cut_short(family, seen)
    if short is not None:
        return short
    if seen.has_shapes:
        return "narrowed" if has_one_width else "proven", None
    return _names_doubt(family, seen, has_own_names=has_own_names)


def _sharing(seen: Survey) -> int:
    """Return how many designs share the names of each module; a variant is not one of its own."""
    known = families()
    return min(
        sum(not known[name].parents for name in family_index().names(group.weights.owners))
        for group in seen.groups
    )


def _has_one_width(family: Family, seen: Survey) -> bool:
    """Return whether the file has only some layers, all with the model's width on both sides."""
    sizes = {group.sizes for group in seen.groups}
    out, fan_in = next(iter(sizes))
    is_square = out is None or fan_in is None or out == fan_in
    return len(sizes) == 1 and is_square and seen.coverage(family) < _NEARLY_ALL


def _width_doubt(family: Family, sharing: int, seen: Survey) -> Evidence:
    text = (
        f"{sharing} known models share the names of these layers, and there are too few layers "
        f"for their width alone to prove {family_title(family.id)}."
    )
    return Evidence("width", text, tuple(group.name for group in seen.groups[:5]))


def _names_doubt(family: Family, seen: Survey, *, has_own_names: bool) -> _Answer:
    if has_own_names and seen.fitting[family.id] == len(seen.denoiser):
        return "proven" if len(seen.denoiser) >= _FEW_NAMES else "narrowed", None
    if seen.fitting[family.id] == len(seen.denoiser) and seen.coverage(family) >= 1:
        return "narrowed", None
    text = f"Names without shapes do not prove {family_title(family.id)}: others share them."
    return "unknown", Evidence("names", text)


def _deep(family: Family, seen: Survey) -> list[str]:
    """Return the stacks of blocks that are deep enough to be recognised as too short."""
    rows = family.rows[seen.naming(family.id)]
    layers = Counter(row.pattern.partition(".#")[0] for row in rows if ".#" in row.pattern)
    return [
        stack
        for stack, count in sorted(layers.items())
        if count > 1 and family.depths.get(stack, 0) >= _DEEP
    ]


def _is_cut_short(family: Family, seen: Survey) -> _Answer | None:
    """Doubt a family if all blocks are adapted but the family has more of them."""
    short = _cut_short(family, seen)
    if not short:
        return None
    text = (
        f"Every block is adapted, but {', '.join(short)}: a smaller model of the same design "
        f"as {family_title(family.id)} looks like this."
    )
    return "unknown", Evidence("smaller", text)


def _cut_short(family: Family, seen: Survey) -> list[str]:
    """Return stacks with too few blocks, in a file that adapts all blocks equally."""
    short = []
    for stack in _deep(family, seen):
        blocks = seen.stacks.get(stack, {})
        if len(blocks) < 2 or max(blocks) + 1 != len(blocks) or len(set(blocks.values())) > 1:
            return []
        if len(blocks) < family.depths[stack]:
            short.append(f"`{stack}` ends at {len(blocks)} of {family.depths[stack]}")
    return short

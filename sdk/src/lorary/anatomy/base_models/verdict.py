"""The verdict on the base model, from the tensors' proof and the metadata's claims."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from lorary.anatomy.base_models.narrowing import Evidence
from lorary.anatomy.claims.base_models import Claim, Claims, LineageClaim, best_lineage, covers
from lorary.anatomy.claims.metadata import clean
from lorary.anatomy.claims.vocabulary import has_tables, parent_of
from lorary.anatomy.families import families, family_title
from lorary.anatomy.findings.finding import Finding, finding
from lorary.anatomy.modules.module_table import modules_of
from lorary.anatomy.report import Agreement, Base

if TYPE_CHECKING:
    from lorary.anatomy.base_models.proof import Proof
    from lorary.anatomy.modules.adapted import Module

_MOST_NAMED = 10
_MOST_LINEAGES = 8

_ONLY_LINEAGES = {
    "wan_14b_i2v": "Wan 2.1",
    "wan_1_3b": "Wan 2.1",
    "wan_5b": "Wan 2.2",
    "wan_animate": "Wan 2.2",
    "wan_vace_1_3b": "Wan 2.1",
}
"""Families with only one lineage."""


def verdict_of(proof: Proof, claims: Claims, modules: Sequence[Module]) -> Base:
    """Return the verdict from proof and claims; a claim never overrules the proof.

    Args:
        modules: The adapted modules; none if the file is not an adapter.
    """
    possible = [one for one in claims.lineages if _is_possible(one, proof)]
    lineage, source, value = best_lineage(possible)
    evidence = list(map(_readable, proof.evidence))
    if lineage is None and proof.confidence in {"proven", "narrowed"}:
        only = {_ONLY_LINEAGES.get(name) for name in proof.allowed or proof.candidates}
        lineage = only.pop() if len(only) == 1 else None
        if lineage is not None:
            evidence.append(
                Evidence("lineage", f"All of its checkpoints are {lineage}, or derived from it.")
            )
    return Base(
        family=proof.family,
        candidates=proof.candidates,
        confidence=proof.confidence,
        lineage=lineage,
        claimed=_claimed(claims, source, value, possible),
        agreement=_agreement(proof, claims.first, modules),
        evidence=tuple(evidence),
        allowed=proof.allowed or proof.candidates,
    )


def suggest(base: Base) -> Base:
    """Return the verdict with the most used of several candidates as the likely one."""
    if base.confidence != "narrowed" or len(base.candidates) < 2:
        return base
    likely = max(base.candidates, key=lambda name: families()[name].use)
    text = f"{family_title(likely)} is the most used of those that fit."
    return replace(base, likely=likely, evidence=(*base.evidence, Evidence("use", text)))


def _readable(reason: Evidence) -> Evidence:
    """Return a reason without the invisible characters that names in a file may have."""
    if reason.text.isprintable() and all(map(str.isprintable, reason.keys)):
        return reason
    return Evidence(reason.rule, clean(reason.text, 1_000), tuple(map(clean, reason.keys)))


def _is_possible(claim: LineageClaim, proof: Proof) -> bool:
    """Return whether the tensors allow a lineage; always true if its family is unknown."""
    allowed = proof.allowed or proof.candidates
    if claim.family is None or not allowed:
        return True
    return any(covers(claim.family, family) for family in allowed)


def _claimed(
    claims: Claims, source: str | None, value: str | None, possible: Sequence[LineageClaim]
) -> dict[str, object]:
    first = claims.first
    if first is None and not claims.lineages:
        return {}
    return {
        "family": first.family if first else None,
        "source": first.source if first else None,
        "value": clean(first.value) if first else None,
        "lineage_source": source,
        "lineage_value": None if value is None else clean(value),
        "lineages": [
            {
                "lineage": claim.lineage,
                "source": claim.source,
                "value": clean(claim.value),
                "is_refuted": claim not in possible,
            }
            for claim in claims.lineages[:_MOST_LINEAGES]
        ],
        "others": [
            {"family": other.family, "source": other.source, "value": clean(other.value)}
            for other in claims.others
        ],
    }


def _agreement(proof: Proof, claim: Claim | None, modules: Sequence[Module]) -> Agreement:
    if claim is None:
        return "no-claim"
    fits = any(_is_label_of(claim.family, family) for family in proof.candidates)
    if not fits and (proof.confidence == "unknown" or not proof.candidates):
        # Without a candidate, the tensors contradict the claim only if its family has a table.
        fits = not (has_tables(claim.family) and _has_shapes(modules))
    return "agree" if fits else "conflict"


def _is_label_of(claimed: str, family: str | None) -> bool:
    """Return whether a label names a family, or one that it is derived from.

    Trainers write the label of the parent on adapters of derived architectures too.
    """
    while family is not None:
        if covers(claimed, family):
            return True
        family = parent_of(family)
    return False


def _has_shapes(modules: Sequence[Module]) -> bool:
    columns = modules_of(modules).columns
    rows = zip(columns.parts, columns.dims, strict=True)
    return any(part == "denoiser" and dims.fan_in is not None for part, dims in rows)


def verdict_findings(base: Base, proof: Proof) -> Iterator[Finding]:
    """Yield findings about the verdict."""
    titles = [family_title(name) for name in base.candidates]
    claimed = base.claimed.get("family")
    if base.agreement == "conflict":
        yield _conflict(base, str(claimed), titles)
    if not titles:
        message = "The tensors fit no known base model."
        if claimed is not None:
            message = f"{message[:-1]}; the metadata says {family_title(str(claimed))}."
        yield finding("family_unknown", message, claimed=claimed)
    elif base.confidence == "unknown":
        message = f"The tensors fit {_listed(titles, 'or')}, but may belong to an unknown model."
        yield finding("family_unknown", message, candidates=list(base.candidates))
    elif len(titles) > 1:
        message = f"The tensors fit {_listed(titles, 'and')}, and cannot distinguish them."
        if base.likely is not None:
            message += f" {family_title(base.likely)} is the most used of them."
        candidates = list(base.candidates)
        yield finding("family_ambiguous", message, candidates=candidates, likely=base.likely)
    if proof.unfitting:
        count = len(proof.unfitting)
        who = "One module is" if count == 1 else f"{count:,} modules are"
        message = f"{who} not in {_listed(titles, 'or') or 'any known base model'}."
        shown = [clean(name) for name in proof.unfitting[:_MOST_NAMED]]
        yield finding("modules_unknown", message, count=count, modules=shown)


def _conflict(base: Base, claimed: str, titles: Sequence[str]) -> Finding:
    fit = f"the tensors fit {_listed(titles, 'or')}" if titles else "the tensors don't fit it"
    message = f"The metadata says {family_title(claimed)}, but {fit}. The tensors decide."
    return finding(
        "metadata_conflict",
        message,
        claimed=claimed,
        source=base.claimed["source"],
        candidates=list(base.candidates),
    )


def _listed(names: Sequence[str], word: str) -> str:
    """Return `a, b and c`."""
    *first, last = names or ("",)
    return f"{', '.join(first)} {word} {last}" if first else last

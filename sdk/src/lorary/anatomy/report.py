"""Anatomy of a file: everything that its header proves and claims."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lorary.anatomy.claims import claimed_family
from lorary.anatomy.families import family_title

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lorary.anatomy.modules import Module
    from lorary.anatomy.proof import Confidence, Proof
    from lorary.anatomy.triggers import CommonTag, TriggerWord

__all__ = ["Agreement", "Anatomy", "Block", "Verdict", "blocks_of", "judge", "rank_counts"]

Agreement = Literal["agree", "conflict", "unclaimed", "unproven", "unknown"]
AlphaSource = Literal["read", "declared", "absent"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The family answer with its evidence.

    Attributes:
        declared: What a person says; always None here, the registry fills it.
        claimed: What the metadata says.
        proven: What the tensors prove, None unless only one family is possible.
        candidates: Every family that the tensors allow.
        confidence: How sure the proof is.
        agreement: How claim and proof stand to each other.
        evidence: Sentences that give the reasons.
    """

    declared: str | None
    claimed: str | None
    proven: str | None
    candidates: tuple[str, ...]
    confidence: Confidence
    agreement: Agreement
    evidence: tuple[str, ...]

    def to_dict(self) -> dict[str, object]:
        """Plain JSON values."""
        return {
            "declared": self.declared,
            "claimed": self.claimed,
            "proven": self.proven,
            "candidates": list(self.candidates),
            "confidence": self.confidence,
            "agreement": self.agreement,
            "evidence": list(self.evidence),
        }


@dataclass(frozen=True, slots=True)
class Block:
    """A block of the base model: how many of its modules are adapted, with how many numbers."""

    name: str
    modules: int
    parameters: int

    def to_dict(self) -> dict[str, object]:
        """Plain JSON values."""
        return {"name": self.name, "modules": self.modules, "parameters": self.parameters}


@dataclass(frozen=True, slots=True)
class Anatomy:
    """What the header of an adapter proves and claims.

    Attributes:
        kind: `adapter`, or what the file is instead.
        algorithm: Leading adaptation method.
        algorithms: Every method in the file, most used first.
        convention: Leading file convention.
        conventions: Every convention in the file, most used first.
        family: Base-model family, when the tensors prove exactly one.
        verdict: The family answer with its evidence.
        lineage: Checkpoint it was trained on, by the metadata's word.
        rank: Most common rank.
        ranks: Rank to number of modules without a kernel.
        conv_ranks: Rank to number of modules with a kernel larger than one.
        alpha: Most common alpha.
        alpha_source: `read` from the tensors, `declared` by the metadata, or `absent`.
        parts: `denoiser`, `text_encoder`, … to number of adapted modules.
        modules: Adapted modules.
        blocks: Adapted blocks, in the file's order.
        parameters: Trained numbers.
        dtypes: Number format to number of tensors.
        tensors: Tensors in the file.
        size_bytes: Size of the file.
        trigger_words: Words that wake it, best first.
        common_tags: Frequent caption tags.
        training: Facts about the training.
        title: Title in the metadata.
        description: Description in the metadata.
        recommended_strength: Strength that the metadata recommends.
        metadata_keys: Number of metadata keys.
    """

    kind: str
    algorithm: str | None
    algorithms: tuple[str, ...]
    convention: str | None
    conventions: tuple[str, ...]
    family: str | None
    verdict: Verdict
    lineage: str | None
    rank: int | None
    ranks: dict[int, int]
    conv_ranks: dict[int, int]
    alpha: float | None
    alpha_source: AlphaSource
    parts: dict[str, int]
    modules: int
    blocks: tuple[Block, ...]
    parameters: int
    dtypes: dict[str, int]
    tensors: int
    size_bytes: int
    trigger_words: tuple[TriggerWord, ...]
    common_tags: tuple[CommonTag, ...]
    training: dict[str, object]
    title: str | None
    description: str | None
    recommended_strength: float | None
    metadata_keys: int

    def to_dict(self) -> dict[str, object]:
        """Plain JSON values, as the API returns them."""
        return {
            "kind": self.kind,
            "algorithm": self.algorithm,
            "algorithms": list(self.algorithms),
            "convention": self.convention,
            "conventions": list(self.conventions),
            "family": self.family,
            "verdict": self.verdict.to_dict(),
            "lineage": self.lineage,
            "rank": self.rank,
            "ranks": {str(rank): modules for rank, modules in self.ranks.items()},
            "conv_ranks": {str(rank): modules for rank, modules in self.conv_ranks.items()},
            "alpha": self.alpha,
            "alpha_source": self.alpha_source,
            "parts": dict(self.parts),
            "modules": self.modules,
            "blocks": [block.to_dict() for block in self.blocks],
            "parameters": self.parameters,
            "dtypes": dict(self.dtypes),
            "tensors": self.tensors,
            "size_bytes": self.size_bytes,
            "trigger_words": [word.to_dict() for word in self.trigger_words],
            "common_tags": [tag.to_dict() for tag in self.common_tags],
            "training": dict(self.training),
            "title": self.title,
            "description": self.description,
            "recommended_strength": self.recommended_strength,
            "metadata_keys": self.metadata_keys,
        }


def judge(proof: Proof, metadata: Mapping[str, str]) -> Verdict:
    """Set the metadata's claim beside the tensors' proof; the claim never overrules it."""
    claimed, key = claimed_family(metadata)
    evidence = proof.evidence
    if claimed is not None:
        evidence = (*evidence, f"The metadata ({key}) says {family_title(claimed)}.")
    return Verdict(
        declared=None,
        claimed=claimed,
        proven=proof.proven,
        candidates=proof.candidates,
        confidence=proof.confidence,
        agreement=_agreement(proof, claimed),
        evidence=evidence,
    )


def _agreement(proof: Proof, claimed: str | None) -> Agreement:
    if claimed is None:
        return "unclaimed" if proof.candidates else "unknown"
    if not proof.candidates:
        return "unproven"
    if claimed not in proof.candidates:
        return "conflict"
    return "agree" if proof.proven else "unproven"


def blocks_of(modules: Iterable[Module]) -> tuple[Block, ...]:
    """Sum the modules of each block, in the file's order."""
    sums: dict[str, list[int]] = {}
    for module in modules:
        block = sums.setdefault(module.block, [0, 0])
        block[0] += 1
        block[1] += module.parameters
    return tuple(Block(name, *counts) for name, counts in sums.items())


def rank_counts(modules: Sequence[Module]) -> tuple[dict[int, int], dict[int, int]]:
    """Rank to number of modules, without and with a kernel; the most common first."""
    linear: Counter[int] = Counter()
    conv: Counter[int] = Counter()
    for module in modules:
        if module.dims.rank is not None:
            (conv if module.dims.is_conv else linear)[module.dims.rank] += 1
    return dict(linear.most_common()), dict(conv.most_common())

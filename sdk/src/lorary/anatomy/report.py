"""The anatomy of a file as one document: everything that its header proves and claims.

`docs/anatomy.md` explains each field. `SCHEMA` is the version of the document's shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

from lorary.anatomy.keys.tensor_names import LAYERS as LAYER_KINDS

if TYPE_CHECKING:
    from lorary.anatomy.base_models.proof import Confidence, Evidence
    from lorary.anatomy.claims.lineage_evidence import LineageEvidence
    from lorary.anatomy.claims.triggers import CommonTag, TriggerWord

__all__ = [
    "LAYER_KINDS",
    "SCHEMA",
    "Agreement",
    "Anatomy",
    "Base",
    "Block",
    "FileFacts",
    "Layers",
    "Notes",
]

SCHEMA = 2
"""Version of the document. Within a version, fields may be added but never changed or removed."""

Agreement = Literal["agree", "conflict", "no-claim"]


@dataclass(frozen=True, slots=True)
class FileFacts:
    """The file itself.

    Attributes:
        name: Its name, without invisible characters.
        size_bytes: Size of the whole file.
        header_bytes: Length of the JSON header with its padding.
        tensors: Number of tensors.
    """

    name: str
    size_bytes: int
    header_bytes: int
    tensors: int

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Base:
    """The verdict on the base model, with its evidence.

    Attributes:
        family: Architecture, None with no candidate or several.
        candidates: All architectures that the file may belong to.
        allowed: All architectures that the tensors allow: the candidates, and those that only the
            metadata or the file's name exclude.
        confidence: `proven` by the tensors alone, `narrowed` to a set or by weaker evidence,
            `claimed` by the metadata only, or `unknown`.
        lineage: Checkpoint that the metadata claims.
        claimed: The metadata's claims with their sources; empty without any.
        agreement: Whether claim and tensors agree.
        evidence: Reasons, in the order in which they narrowed the set.
        likely: The most used of several candidates, as a suggestion for people. None with a family,
            and if an unknown model may look the same.
        checkpoint_ids: Metadata key to hash or number of the checkpoint that the trainer wrote.
        lineage_evidence: Estimates about the checkpoint, for and against some.
    """

    family: str | None
    candidates: tuple[str, ...]
    confidence: Confidence
    lineage: str | None
    claimed: Mapping[str, object]
    agreement: Agreement
    evidence: tuple[Evidence, ...]
    likely: str | None = None
    allowed: tuple[str, ...] = ()
    checkpoint_ids: tuple[tuple[str, str], ...] = ()
    lineage_evidence: tuple[LineageEvidence, ...] = ()

    @property
    def deciding_claim(self) -> str | None:
        """The metadata key, or the file's name, that chose among the families that fit."""
        is_chosen = any(reason.rule == "claim" for reason in self.evidence)
        is_open = self.family is None or self.confidence == "proven"
        return str(self.claimed["source"]) if is_chosen and not is_open else None

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON values."""
        return {
            "family": self.family,
            "candidates": list(self.candidates),
            "allowed": list(self.allowed),
            "likely": self.likely,
            "confidence": self.confidence,
            "lineage": self.lineage,
            "claimed": dict(self.claimed),
            "agreement": self.agreement,
            "evidence": [reason.to_dict() for reason in self.evidence],
            "checkpoint_ids": [{"key": key, "value": text} for key, text in self.checkpoint_ids],
            "lineage_evidence": [one.to_dict() for one in self.lineage_evidence],
        }


@dataclass(frozen=True, slots=True)
class Block:
    """A block of the base model, with its adapted modules and their parameters."""

    name: str
    modules: int
    parameters: int

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON values."""
        return {"name": self.name, "modules": self.modules, "parameters": self.parameters}


@dataclass(frozen=True, slots=True)
class Layers:
    """What is adapted.

    Attributes:
        modules: Number of adapted modules.
        linear: Rank to number of modules without a kernel, most common first.
        conv: Rank to number of modules with a kernel larger than one, most common first.
        expected: Modules of an unrestricted file of this family, None if unknown.
        kinds: Each of `LAYER_KINDS` to its number of modules.
        blocks: Adapted blocks, in the file's order.
    """

    modules: int
    linear: Mapping[int, int]
    conv: Mapping[int, int]
    expected: int | None
    kinds: Mapping[str, int]
    blocks: tuple[Block, ...]

    @property
    def comparable(self) -> int:
        """Number of modules to compare with `expected`, which excludes norms."""
        return self.modules - self.kinds.get("norm", 0)

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON values."""
        return {
            "modules": self.modules,
            "linear": _histogram(self.linear),
            "conv": _histogram(self.conv),
            "expected": self.expected,
            "kinds": dict(self.kinds),
            "blocks": [block.to_dict() for block in self.blocks],
        }


@dataclass(frozen=True, slots=True)
class Notes:
    """What `__metadata__` says about the file as a whole.

    Attributes:
        keys: Number of keys.
        size_bytes: UTF-8 bytes of all keys and values.
        writer: Program that trained or wrote the file, if known.
        title: Title that the author or trainer gave.
        description: The author's description, shortened.
        author: The author.
        license: The licence that the metadata claims.
        usage_hint: The author's usage hint.
        recommended_strength: Strength that the author recommends.
        tags: The first of the author's tags, in lower case.
        names: The first keys, without invisible characters.
    """

    keys: int
    size_bytes: int
    writer: str | None
    title: str | None
    description: str | None
    author: str | None
    license: str | None
    usage_hint: str | None
    recommended_strength: float | None
    tags: tuple[str, ...]
    names: tuple[str, ...]

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON values."""
        fields = asdict(self) | {"tags": list(self.tags), "names": list(self.names)}
        return {"keys": fields.pop("keys"), "bytes": fields.pop("size_bytes"), **fields}


@dataclass(frozen=True, slots=True)
class Anatomy:
    """What the header of a file proves and claims.

    Attributes:
        file: The file itself.
        kind: `adapter`, or another kind of file.
        algorithm: Leading adaptation algorithm.
        algorithms: Algorithm to number of modules, most common first.
        convention: Leading file convention.
        base: The verdict on the base model.
        rank: Most common rank, the larger one of a tie, of modules without a kernel if there are
            any; the declared rank if the tensors show none.
        ranks: Rank to number of modules, most common first.
        alpha: Most common alpha.
        alphas_read: Number of alphas read from the file; 0 if `alpha` is only declared.
        parts: `denoiser`, `text_encoder`, … to number of adapted modules.
        layers: What is adapted.
        parameters: Number of trained parameters.
        dtypes: Number format to number of tensors.
        trigger_words: Trigger words, best first.
        common_tags: Frequent caption tags.
        training: Facts about the training.
        metadata: What the metadata says about the file as a whole.
    """

    file: FileFacts
    kind: str
    algorithm: str | None
    algorithms: Mapping[str, int]
    convention: str | None
    base: Base
    rank: int | None
    ranks: Mapping[int, int]
    alpha: float | None
    alphas_read: int
    parts: Mapping[str, int]
    layers: Layers
    parameters: int
    dtypes: Mapping[str, int]
    trigger_words: tuple[TriggerWord, ...]
    common_tags: tuple[CommonTag, ...]
    training: Mapping[str, object]
    metadata: Notes

    @property
    def family(self) -> str | None:
        """The base model's architecture, if only one is possible."""
        return self.base.family

    @property
    def modules(self) -> int:
        """Number of adapted modules."""
        return self.layers.modules

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Adapted blocks, in the file's order."""
        return self.layers.blocks

    @property
    def title(self) -> str | None:
        """Title in the metadata."""
        return self.metadata.title

    @property
    def description(self) -> str | None:
        """Description in the metadata."""
        return self.metadata.description

    @property
    def recommended_strength(self) -> float | None:
        """Strength that the metadata recommends."""
        return self.metadata.recommended_strength

    def to_dict(self) -> dict[str, object]:
        """Return the document without its findings, as plain JSON values."""
        return {
            "schema": SCHEMA,
            "file": self.file.to_dict(),
            "kind": self.kind,
            "algorithm": self.algorithm,
            "algorithms": dict(self.algorithms),
            "convention": self.convention,
            "base": self.base.to_dict(),
            "rank": {
                "mode": self.rank,
                "min": min(self.ranks, default=None),
                "max": max(self.ranks, default=None),
                "histogram": _histogram(self.ranks),
            },
            "alpha": {"mode": _number(self.alpha), "values_read": self.alphas_read},
            "parts": dict(self.parts),
            "layers": self.layers.to_dict(),
            "parameters": self.parameters,
            "dtypes": dict(self.dtypes),
            "trigger_words": [word.to_dict() for word in self.trigger_words],
            "common_tags": [tag.to_dict() for tag in self.common_tags],
            "training": dict(self.training),
            "metadata": self.metadata.to_dict(),
        }


def _histogram(counts: Mapping[int, int]) -> dict[str, int]:
    return {str(value): number for value, number in counts.items()}


def _number(value: float | None) -> float | None:
    """Return whole numbers as integers: `8`, not `8.0`."""
    return int(value) if value is not None and float(value).is_integer() else value

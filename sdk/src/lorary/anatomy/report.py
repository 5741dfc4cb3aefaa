"""The anatomy of a file: everything that its header proves and claims, as one document.

`docs/anatomy.md` explains each field of the document. Its shape is versioned by `SCHEMA`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lorary.anatomy.base_models.proof import Confidence, Evidence
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
"""Version of the document. A field may be added within a version, never changed or removed."""

LAYER_KINDS = ("attention", "mlp", "conv", "norm", "modulation", "embedder", "other")
"""What an adapted module does in the base model."""

Agreement = Literal["agree", "conflict", "no-claim"]

_MOST_KEYS = 5


@dataclass(frozen=True, slots=True)
class FileFacts:
    """The file itself.

    Attributes:
        name: Its name, without invisible characters.
        size_bytes: Size of the whole file.
        header_bytes: Length of the JSON header with its padding.
        tensors: Tensors in it.
    """

    name: str
    size_bytes: int
    header_bytes: int
    tensors: int

    def to_dict(self) -> dict[str, object]:
        """Plain JSON values."""
        return {
            "name": self.name,
            "size_bytes": self.size_bytes,
            "header_bytes": self.header_bytes,
            "tensors": self.tensors,
        }


@dataclass(frozen=True, slots=True)
class Base:
    """The verdict on the base model, with its evidence.

    Attributes:
        family: Architecture, None when more than one candidate remains, or none.
        candidates: Every architecture that the file can belong to.
        allowed: Every architecture that the tensors allow: the candidates, and those that only the
            file's own word speaks against.
        confidence: `proven` by the tensors alone, `narrowed` to a set or by weaker signs,
            `claimed` by the metadata only, or `unknown`.
        lineage: Checkpoint behind the architecture, by the metadata's word.
        claimed: The metadata's claims with their sources; empty without any.
        agreement: How claim and tensors stand to each other.
        evidence: Reasons, in the order in which they narrowed the set.
        likely: The most used of several candidates: a suggestion for people, never a proof. None
            with a family, and when an unknown model may look the same.
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

    def to_dict(self) -> dict[str, object]:
        """Plain JSON values."""
        return {
            "family": self.family,
            "candidates": list(self.candidates),
            "allowed": list(self.allowed),
            "likely": self.likely,
            "confidence": self.confidence,
            "lineage": self.lineage,
            "claimed": dict(self.claimed),
            "agreement": self.agreement,
            "evidence": [
                {"rule": rule, "text": text, "keys": list(keys[:_MOST_KEYS])}
                for rule, text, keys in self.evidence
            ],
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
class Layers:
    """What is adapted.

    Attributes:
        modules: Adapted modules.
        linear: Rank to number of modules without a kernel, most common first.
        conv: Rank to number of modules with a kernel larger than one, most common first.
        expected: Modules that an unrestricted file of this family has, None when not known.
        kinds: Every one of `LAYER_KINDS` to its number of modules.
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
        """Modules to set beside the expected ones, which no norm is counted to."""
        return self.modules - self.kinds.get("norm", 0)

    def to_dict(self) -> dict[str, object]:
        """Plain JSON values."""
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
    """What `__metadata__` says about the file as a whole; values that are no facts stay in it.

    Attributes:
        keys: Number of its keys.
        size_bytes: UTF-8 bytes of keys and values together.
        writer: Program that trained or wrote the file, when it can be told.
        title: Title that author or trainer gave.
        description: The author's description, shortened.
        author: Who made it.
        license: Its licence, by the metadata's word.
        usage_hint: How to use it, by the author.
        recommended_strength: Strength that the author recommends.
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
    names: tuple[str, ...]

    def to_dict(self) -> dict[str, object]:
        """Plain JSON values."""
        return {
            "keys": self.keys,
            "bytes": self.size_bytes,
            "writer": self.writer,
            "title": self.title,
            "description": self.description,
            "author": self.author,
            "license": self.license,
            "usage_hint": self.usage_hint,
            "recommended_strength": self.recommended_strength,
            "names": list(self.names),
        }


@dataclass(frozen=True, slots=True)
class Anatomy:
    """What the header of a file proves and claims.

    Attributes:
        file: The file itself.
        kind: `adapter`, or what the file is instead.
        algorithm: Leading adaptation method.
        algorithms: Every method to its number of modules, most first.
        convention: Leading file convention.
        base: The verdict on the base model.
        rank: Most common rank of modules without a kernel (of those with one, where there are
            no others), ties to the larger; the declared one where no tensor shows any.
        ranks: Rank to number of modules, most common first.
        alpha: Most common alpha.
        alphas_read: Alphas read from the file; 0 when `alpha` is only declared.
        parts: `denoiser`, `text_encoder`, … to number of adapted modules.
        layers: What is adapted.
        parameters: Trained numbers.
        dtypes: Number format to number of tensors.
        trigger_words: Words that wake it, best first.
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
        """The base model's architecture, when only one is possible."""
        return self.base.family

    @property
    def modules(self) -> int:
        """Adapted modules."""
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
        """The document without its findings, as plain JSON values."""
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
            "trigger_words": _documents(self.trigger_words),
            "common_tags": _documents(self.common_tags),
            "training": dict(self.training),
            "metadata": self.metadata.to_dict(),
        }


def _documents(found: Sequence[TriggerWord | CommonTag]) -> list[dict[str, object]]:
    return [one.to_dict() for one in found]


def _histogram(counts: Mapping[int, int]) -> dict[str, int]:
    return {str(value): number for value, number in counts.items()}


def _number(value: float | None) -> float | None:
    """Whole numbers without a fraction: `8`, not `8.0`."""
    return int(value) if value is not None and float(value).is_integer() else value

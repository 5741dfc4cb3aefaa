"""How well published files are known: counts of right answers over the recorded headers.

`python -m tests.lorary.scores` prints the table and every miss; `test_reference.py` holds the
counts to their bounds.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lorary.anatomy import FAMILIES, analyse
from lorary.anatomy.claims.config import AdapterConfig
from lorary.anatomy.families import family_index
from lorary.anatomy.modules.adapted import scan
from tests.lorary import reference

if TYPE_CHECKING:
    from collections.abc import Iterator

MEASURED = frozenset(
    {"published", "published_keys", "published_partial", "whole_file", "library_generated"}
)
"""Origins whose names and shapes are those of real files."""

KINDS = {
    "lora": "adapter",
    "checkpoint_transformer": "checkpoint",
    "checkpoint_unet": "checkpoint",
    "checkpoint_llm": "checkpoint",
    "checkpoint_part": "checkpoint",
    "motion_adapter": "motion_module",
    "t2i_adapter": "other",
}
"""The recorded kind to ours, where they differ."""

UNTOLD = {
    "rslora": "lora",
    "alora": "lora",
    "lora_pattern": "lora",
    "p_tuning": "prompt_tuning",
    "prefix_tuning": "prompt_tuning",
}
"""Algorithms that only `adapter_config.json` tells, to what their tensors show."""


@dataclass(slots=True)
class Score:
    """Answers to one question."""

    right: int = 0
    misses: list[str] = field(default_factory=list)

    def add(self, name: str, *, expected: object, found: object) -> None:
        """Count one answer."""
        if expected == found:
            self.right += 1
        else:
            self.misses.append(f"{name}: {found!r} instead of {expected!r}")

    @property
    def total(self) -> int:
        """Questions asked."""
        return self.right + len(self.misses)

    @property
    def share(self) -> float:
        """Part of the answers that are right, in [0, 1]."""
        return self.right / max(1, self.total)


@dataclass(slots=True)
class Scores:
    """Every question of the recorded headers."""

    kind: Score = field(default_factory=Score)
    algorithm: Score = field(default_factory=Score)
    algorithm_by_config: Score = field(default_factory=Score)
    convention: Score = field(default_factory=Score)
    rank: Score = field(default_factory=Score)
    rank_by_config: Score = field(default_factory=Score)
    alpha_by_config: Score = field(default_factory=Score)
    truth_among_adapters: Score = field(default_factory=Score)
    unique_adapters: Score = field(default_factory=Score)
    unique_where_told: Score = field(default_factory=Score)
    family_or_likely: Score = field(default_factory=Score)
    wrong_unique: list[str] = field(default_factory=list)


def document_of(truth: dict[str, Any], *, config: AdapterConfig | None = None) -> dict[str, Any]:
    """The document of a recorded header; tensors without a recorded shape are scalars."""
    found = analyse(reference.header_of(truth), name=truth["name"], config=config)
    document: dict[str, Any] = json.loads(json.dumps(found.to_dict()))
    return document


def config_of(truth: dict[str, Any]) -> AdapterConfig | None:
    """The `adapter_config.json` that was saved beside the file, if it was recorded."""
    _, mark, text = (truth.get("notes") or "").partition("adapter_config:")
    return AdapterConfig.parse(text.strip().encode()) if mark else None


def has_shapes(truth: dict[str, Any]) -> bool:
    """Whether every tensor's shape was recorded."""
    return all(entry["shape"] is not None for entry in truth["tensors"].values())


def measure() -> Scores:
    """Ask every question of every recorded header."""
    scores = Scores()
    for name in reference.names("lora_headers"):
        truth = reference.load("lora_headers", name)
        document = document_of(truth)
        _ask_family(scores, name, truth, document)
        if truth["origin"] in MEASURED:
            scores.kind.add(
                name, expected=KINDS.get(truth["kind"], truth["kind"]), found=document["kind"]
            )
            scores.convention.add(
                name, expected=truth["known_convention"], found=document["convention"]
            )
            if truth["is_adapter"]:
                _ask_method(scores, name, truth, document)
    return scores


def _ask_method(scores: Scores, name: str, truth: dict[str, Any], document: dict[str, Any]) -> None:
    algorithm, rank = truth["known_algorithm"], truth["known_rank"]
    scores.algorithm.add(
        name, expected=UNTOLD.get(algorithm, algorithm), found=document["algorithm"]
    )
    if rank:
        scores.rank.add(name, expected=rank, found=document["rank"]["mode"])
    config = config_of(truth)
    if config is None:
        return
    whole = document_of(truth, config=config)
    scores.algorithm_by_config.add(name, expected=algorithm, found=whole["algorithm"])
    if rank:
        scores.rank_by_config.add(name, expected=rank, found=whole["rank"]["mode"])
    if truth["known_alpha"] is not None:
        scores.alpha_by_config.add(
            name, expected=truth["known_alpha"], found=whole["alpha"]["mode"]
        )


def _ask_family(scores: Scores, name: str, truth: dict[str, Any], document: dict[str, Any]) -> None:
    """Ask for the base model of adapters; other files must not name a wrong one."""
    family, base = truth["known_family"], document["base"]
    if base["family"] not in {None, family}:
        scores.wrong_unique.append(f"{name}: {base['family']} instead of {family}")
    is_asked = truth["origin"] in MEASURED and truth["complete"] and has_shapes(truth)
    if not (is_asked and truth["is_adapter"] and family in FAMILIES):
        return
    scores.truth_among_adapters.add(name, expected=True, found=family in base["candidates"])
    scores.unique_adapters.add(name, expected=family, found=base["family"])
    if not _rivals(truth):
        scores.unique_where_told.add(name, expected=family, found=base["family"])
    best = base["family"] or base["likely"]
    scores.family_or_likely.add(name, expected=family, found=best)


def _rivals(truth: dict[str, Any]) -> set[str]:
    """Other families that have every denoiser module of a header, by name and shape."""
    fits = [
        set()
        if module.place is None
        else set(family_index().names(module.place.weights.fitting(*module.dims[:2])))
        for module in scan(reference.header_of(truth)).modules
        if module.part == "denoiser"
    ]
    return set.intersection(*fits) - {truth["known_family"]} if fits else set(FAMILIES)


def lines(scores: Scores) -> Iterator[str]:
    """Every score with its misses, as text."""
    for label in Scores.__dataclass_fields__:
        score = getattr(scores, label)
        title = label.replace("_", " ")
        if isinstance(score, Score):
            yield f"{title:24} {score.right}/{score.total} {score.share:.1%}"
            misses = score.misses
        else:
            yield f"{title:24} {len(score)}"
            misses = score
        yield from (f"    {miss}" for miss in misses)


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in lines(measure()))

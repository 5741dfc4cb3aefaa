"""Evidence about the checkpoint behind an adapter that names none, or a wrong one.

Each piece is an estimate with its source, and decides nothing: captions can be copied, clocks can
be wrong, and a mix has the habits of its parts. `lineage_signs.json` has the facts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from typing import Any, Literal

from lorary.anatomy.claims.lineages import lineages
from lorary.anatomy.claims.metadata import first_text
from lorary.anatomy.claims.tag_statistics import TagShares
from lorary.anatomy.claims.vocabulary import covers
from lorary.anatomy.tables import read_table

_LEAST_SHARE = 0.1  # of the training images, for a tag to be a habit
_MARGIN = timedelta(days=30)  # test versions, time zones and clocks that are a little wrong
_MOST = 8
_FIRST_DAY = date(2022, 8, 1)  # Stable Diffusion did not exist before; the clock is wrong
_HASH_KEYS = ("ss_new_sd_model_hash", "ss_sd_model_hash")
_NAME_KEY = "ss_sd_model_name"

ESTIMATED = "estimated"
"""The confidence of all such evidence."""


@dataclass(frozen=True, slots=True)
class LineageEvidence:
    """A piece of evidence for or against a checkpoint.

    Attributes:
        rule: `training_start`, `quality_tags` or `prediction`.
        source: Address of the fact that the evidence rests on.
    """

    lineage: str
    stance: Literal["for", "against"]
    rule: str
    text: str  # a sentence for people
    source: str
    keys: tuple[str, ...]  # metadata keys that show it

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON values."""
        return {
            "lineage": self.lineage,
            "stance": self.stance,
            "confidence": ESTIMATED,
            "rule": self.rule,
            "text": self.text,
            "source": self.source,
            "keys": list(self.keys),
        }


@cache
def _signs() -> Mapping[str, Any]:
    signs: Mapping[str, Any] = read_table("claims/lineage_signs.json")
    return signs


def lineage_evidence(
    families: Collection[str], training: Mapping[str, object], tags: TagShares
) -> tuple[LineageEvidence, ...]:
    """Return the evidence about the checkpoint, at most eight pieces.

    Args:
        families: Families that the tensors allow.
        training: Facts about the training.
        tags: Statistics of the captions.
    """
    if not families:
        return ()
    found = [
        *_by_tags(families, tags),
        *_by_prediction(families, training),
        *_by_start(families, training),
    ]
    return tuple(found[:_MOST])


def _by_tags(families: Collection[str], tags: TagShares) -> Iterator[LineageEvidence]:
    for sign in _signs()["tags"]:
        if not set(sign["families"]) & set(families):
            continue
        habits = [tag for tag in sign["tags"] if _share(tags, tag) >= _LEAST_SHARE]
        if habits:
            shown = ", ".join(f"`{tag}`" for tag in habits[:3])
            text = f"The captions have {shown}, as those of {sign['lineage']} do."
            keys = ("ss_tag_frequency",)
            yield LineageEvidence(
                sign["lineage"], "for", "quality_tags", text, sign["source"], keys
            )


def _share(tags: TagShares, tag: str) -> float:
    return max(tags.shares.get(tag, 0.0), tags.shares.get(tag.replace("_", " "), 0.0))


def _by_prediction(
    families: Collection[str], training: Mapping[str, object]
) -> Iterator[LineageEvidence]:
    is_v = str(training.get("prediction_type") or "").lower() in {"v", "v_prediction"}
    if not is_v or training.get("zero_terminal_snr") is not True:
        return
    keys = ("modelspec.prediction_type", "ss_zero_terminal_snr")
    habit = "Trained with v-prediction and zero terminal SNR"
    for sign in _signs()["prediction"]:
        if not set(sign["families"]) & set(families):
            continue
        for lineage in sign["fits"]:
            text = f"{habit}, as {lineage} V-Pred was."
            yield LineageEvidence(lineage, "for", "prediction", text, sign["source"], keys)
        for lineage in sign["contradicts"]:
            text = f"{habit}; {lineage} predicts the noise."
            yield LineageEvidence(lineage, "against", "prediction", text, sign["source"], keys)


def _by_start(
    families: Collection[str], training: Mapping[str, object]
) -> Iterator[LineageEvidence]:
    started = _day(training.get("started_at"))
    if started is None or started < _FIRST_DAY:
        return
    table = lineages()
    for lineage, (released, source) in _signs()["releases"].items():
        day = date.fromisoformat(released)
        of = table.family_of(lineage)
        if of is None or started + _MARGIN >= day or not any(covers(of, one) for one in families):
            continue
        text = f"The training started on {started}, before {lineage} was published ({day})."
        yield LineageEvidence(
            lineage, "against", "training_start", text, source, ("ss_training_started_at",)
        )


def _day(value: object) -> date | None:
    try:
        return datetime.fromisoformat(value).date() if isinstance(value, str) else None
    except ValueError:
        return None


def checkpoint_ids(metadata: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return hashes and numbers of the checkpoint that a trainer wrote, with their keys.

    A number is the name of a file that is named after its version on Civitai, `290640.safetensors`.
    """
    found = []
    for key in _HASH_KEYS:
        text = (first_text(metadata, key) or "").lower().removeprefix("0x")
        is_hash = len(text) in {8, 10, 64} and not set(text) - set("0123456789abcdef")
        if is_hash and not text.startswith("e3b0c442") and text.strip("0"):
            found.append((key, text))
    name = (first_text(metadata, _NAME_KEY) or "").replace("\\", "/").rpartition("/")[2]
    stem = name.partition(".")[0]
    if stem.isascii() and stem.isdigit() and len(stem) <= 12:
        found.append((_NAME_KEY, stem))
    return tuple(found)

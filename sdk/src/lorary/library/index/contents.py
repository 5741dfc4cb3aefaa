"""Reads what is in a file: its hashes and its anatomy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from lorary.anatomy import Inspection, inspect_file
from lorary.client.errors import Corrupt, reading_file
from lorary.client.finding.by_hash import digests_of
from lorary.client.progress import OnProgress
from lorary.library.index.walking import key_of

_MOST_SESSION = 64
_LARGEST = 2**63 - 1  # of SQLite's integers


@dataclass(frozen=True, slots=True)
class Content:
    """What is in a file. Values that the header does not show are None."""

    key: str
    sha256: str
    data_sha256: str
    autov1: str
    kind: str | None = None
    family: str | None = None
    candidates: str | None = None  # JSON
    base: str | None = None  # JSON: what else the anatomy says about the base model
    lineage: str | None = None
    algorithm: str | None = None
    rank: int | None = None
    alpha: float | None = None
    expert: str | None = None  # half of Wan 2.2, by the header
    trainer: str | None = None
    session: str | None = None
    epochs: int | None = None
    steps: int | None = None
    title: str | None = None
    description: str | None = None
    author: str | None = None
    license: str | None = None
    strength: float | None = None
    words: str | None = None  # JSON
    has_words: bool = False  # whether a trigger word is more than a guess
    refusal_code: str | None = None
    refusal: str | None = None

    def row(self) -> Mapping[str, object]:
        """Return column → value."""
        return asdict(self)


def read_content(path: Path, key: str, on_progress: OnProgress) -> Content:
    """Read a file.

    Args:
        key: Its identity when it was seen.

    Raises:
        FileMissing: it cannot be read.
        Corrupt: it was changed while it was read.
    """
    with reading_file(path):
        inspection = inspect_file(path)
        digests = digests_of(path, on_progress)
        is_same = key_of(path.stat()) == key
    if not is_same:
        message = f"{path} was changed while it was read. Scan it again."
        raise Corrupt(message)
    facts = _refused(inspection) if inspection.anatomy is None else _facts(inspection)
    return Content(key, digests.sha256, digests.data, digests.autov1, **facts)  # type: ignore[arg-type]  # by name


def _refused(inspection: Inspection) -> dict[str, object]:
    first = inspection.findings[0]
    return {"refusal_code": first.code, "refusal": first.message}


def _facts(inspection: Inspection) -> dict[str, object]:
    anatomy, header = inspection.anatomy, inspection.header
    if anatomy is None or header is None:
        return {}
    base, training = anatomy.base, anatomy.training
    words = anatomy.trigger_words
    return {
        "kind": anatomy.kind,
        "family": base.family,
        "candidates": json.dumps(base.candidates) if base.family is None else None,
        "base": json.dumps(
            {
                "confidence": base.confidence,
                "allowed": base.allowed,
                "likely": base.likely,
                "claimed": base.claimed.get("family"),
                "agreement": base.agreement,
                "deciding_claim": base.deciding_claim,
            }
        ),
        "lineage": base.lineage,
        "algorithm": anatomy.algorithm,
        "rank": _whole(anatomy.rank),
        "alpha": anatomy.alpha,
        "expert": _text(training.get("expert")),
        "trainer": _text(training.get("trainer")),
        "session": header.metadata.get("ss_session_id", "")[:_MOST_SESSION] or None,
        "epochs": _whole(training.get("epochs")),
        "steps": _whole(training.get("steps")),
        "title": anatomy.title,
        "description": anatomy.description,
        "author": anatomy.metadata.author,
        "license": anatomy.metadata.license,
        "strength": anatomy.recommended_strength,
        "words": json.dumps([word.to_dict() for word in words]),
        "has_words": any(word.confidence != "low" for word in words),
    }


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and abs(value) <= _LARGEST else None

"""The description of a version, and the columns copied from its anatomy."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from django.utils.translation import gettext as _

from lorary.anatomy import FAMILIES
from lorary.client.transfers.details import (
    LIMITS,
    MAX_TRIGGER_CHARACTERS,
    MAX_TRIGGER_WORDS,
    STRENGTH_LIMIT,
)
from lorary.library import variants
from registry.blobs.anatomies import Facts, facts_of
from registry.errors import Invalid
from registry.models import File, Version
from registry.versions import selectors as version_selectors

#: Columns that ``describe`` and ``measure`` write.
COLUMNS = (
    "label",
    "notes",
    "declared_family",
    "lineage",
    "trigger_words",
    "optional_trigger_words",
    "strength",
    "strength_min",
    "strength_max",
    *Facts._fields,
    "size_bytes",
)


@dataclass(frozen=True, slots=True)
class Details:
    """A user's description of a version; None means not given, strengths are multipliers.

    If no trigger words are given, they are read from the file, or copied from the latest version if
    the file has none. Optional ones are copied from the latest version. An empty list means that
    there are none.
    """

    label: str = ""
    notes: str = ""
    declared_family: str = ""
    lineage: str = ""
    trigger_words: Sequence[str] | None = None
    optional_trigger_words: Sequence[str] | None = None
    strength: float | None = None
    strength_min: float | None = None
    strength_max: float | None = None

    @classmethod
    def of(cls, version: Version) -> Details:
        """Return the current description of a version."""
        values: dict[str, Any] = {one.name: getattr(version, one.name) for one in fields(cls)}
        words = ("trigger_words", "optional_trigger_words")
        return cls(**values | {name: tuple(values[name]) for name in words})


#: Returns changed details for the current ones.
Edit = Callable[[Details], Details]


def describe(version: Version, details: Details) -> None:
    """Set the description of a version; trigger words default to the file's or the latest ones."""
    version.label, version.notes = details.label.strip(), details.notes.strip()
    version.declared_family, version.lineage = details.declared_family, details.lineage.strip()
    words = details.trigger_words
    if words is None:
        words = _words_of_file(version) or _words_before(version)
    version.trigger_words = _cleaned(words)
    optional = details.optional_trigger_words
    if optional is None:
        offered = version.adapter.latest_version
        optional = offered.optional_trigger_words if offered else []
    required = set(version.trigger_words)
    version.optional_trigger_words = [w for w in _cleaned(optional) if w not in required]
    version.strength = details.strength
    version.strength_min, version.strength_max = details.strength_min, details.strength_max


def _cleaned(words: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(" ".join(word.split()) for word in words if word.strip()))


def _words_of_file(version: Version) -> list[str]:
    """Return the trigger words from the primary file's metadata, without guessed ones."""
    document = document_of(version)
    stated = [word for word in document.get("trigger_words", ()) if word["confidence"] != "low"]
    return [word["text"] for word in stated][:MAX_TRIGGER_WORDS]


def _words_before(version: Version) -> list[str]:
    """Return the trigger words of the latest version."""
    offered = version.adapter.latest_version
    return [] if offered is None else list(offered.trigger_words)


def document_of(version: Version) -> dict[str, Any]:
    """Return the anatomy of the primary file; empty if there is none."""
    return version_selectors.document_of(version, version.primary_file)


def measure(version: Version) -> None:
    """Copy the values that lists filter by and show from the anatomy to the version's columns."""
    files: list[File] = list(version.files)
    version.size_bytes = sum(file.size_bytes for file in files)
    primary = next(file for file in files if file.is_primary)
    document = version_selectors.document_of(version, primary)
    facts = facts_of_file(document, primary, version.declared_family)
    for column, value in facts._asdict().items():
        setattr(version, column, value)


def facts_of_file(document: Mapping[str, Any], file: File | None, declared: str) -> Facts:
    """Return the facts of a version's primary file; half of a pair implies its family."""
    candidates = (document.get("base") or {}).get("candidates") or ()
    half = variants.half_family(file.variant, candidates) if file else ""
    return facts_of(document, declared or half)


def check(details: Details) -> None:
    """Refuse invalid details.

    Raises:
        Invalid: ``facts["fields"]`` has a sentence for each.
    """
    faults: dict[str, str] = {}
    if len(details.label) > LIMITS["label"]:
        faults["label"] = _("A label can have at most 48 characters.")
    if len(details.notes) > LIMITS["notes"]:
        faults["notes"] = _("Notes can have at most 20,000 characters.")
    if len(details.lineage) > LIMITS["lineage"]:
        faults["lineage"] = _("A lineage can have at most 64 characters.")
    if details.declared_family and details.declared_family not in FAMILIES:
        faults["family"] = _("Known base models are: %(all)s.") % {"all": ", ".join(FAMILIES)}
    for field in ("trigger_words", "optional_trigger_words"):
        if fault := _trigger_fault(getattr(details, field) or ()):
            faults[field] = fault
    if fault := _strength_fault(details):
        faults["strength"] = fault
    if faults:
        raise Invalid(" ".join(faults.values()), fields=faults)


def _trigger_fault(words: Sequence[str]) -> str:
    if len(words) > MAX_TRIGGER_WORDS:
        return _("A version can have at most %(n)d trigger words.") % {"n": MAX_TRIGGER_WORDS}
    if any(len(word) > MAX_TRIGGER_CHARACTERS or not word.isprintable() for word in words):
        return _("A trigger phrase can have at most 200 printable characters.")
    return ""


def _strength_fault(details: Details) -> str:
    strengths = [
        value
        for value in (details.strength, details.strength_min, details.strength_max)
        if value is not None
    ]
    if any(not math.isfinite(value) or abs(value) > STRENGTH_LIMIT for value in strengths):
        return _("Enter a strength from -10 to 10.")
    low, high = details.strength_min, details.strength_max
    if low is not None and high is not None and low > high:
        return _("The minimum strength is above the maximum.")
    return ""

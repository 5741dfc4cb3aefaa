"""The details of a push, and the limits that hubs have for them."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lorary.client.errors import Invalid
from lorary.client.models import rating_fault
from lorary.client.names import as_list

if TYPE_CHECKING:
    from lorary.client.http.session import Session

#: Maximum length of each text, in characters.
LIMITS: Mapping[str, int] = {
    "title": 120, "licence": 64, "label": 48, "notes": 20_000, "lineage": 64,
}  # fmt: skip
MAX_TRIGGER_WORDS = 32
MAX_TRIGGER_CHARACTERS = 200
STRENGTH_LIMIT = 10.0


@dataclass(frozen=True, slots=True)
class Details:
    """Details of an adapter and a version that the user gives; None and empty mean "not given".

    A text in the place of several words or tags is one.

    Attributes:
        title: Title of a new adapter; derived from the file by default.
        kind: Kind of a new adapter: style, character, concept, …
        visibility: public, unlisted or private; a new adapter is public by default.
        trigger_words: Phrases that activate the adapter; by default those in the file.
        optional_trigger_words: Phrases that change the effect, but are not needed for it.
        family: Base-model family, if the tensors cannot prove it.
        lineage: Checkpoint that it was trained on.
        label: Short name of the version.
        notes: What is new in the version.
        strength: Recommended strength.
        rating: Content rating of a new adapter: general, suggestive, mature or explicit.
        card: Text of a new adapter's page, in Markdown.
        tags: Tags of a new adapter.
        licence: Licence of a new adapter; by default the one in the file, unless README.md has one.
    """

    title: str = ""
    kind: str = ""
    visibility: str = ""
    trigger_words: str | Sequence[str] = ()
    optional_trigger_words: str | Sequence[str] = ()
    family: str = ""
    lineage: str = ""
    label: str = ""
    notes: str = ""
    strength: float | None = None
    rating: str = ""
    card: str = ""
    tags: str | Sequence[str] = ()
    licence: str = ""

    def __post_init__(self) -> None:
        for name in ("trigger_words", "optional_trigger_words", "tags"):
            object.__setattr__(self, name, tuple(as_list(getattr(self, name))))

    def faults(self) -> dict[str, str]:
        """Return a sentence for each field that a hub would refuse.

        The family is left out: a hub may know more of them, see `require_known_family`.
        """
        faults = {
            name: f"It can have at most {most:,} characters."
            for name, most in LIMITS.items()
            if len(getattr(self, name).strip()) > most
        }
        for name in ("trigger_words", "optional_trigger_words"):
            if fault := _trigger_fault(getattr(self, name)):
                faults[name] = fault
        if self.rating and (fault := rating_fault(self.rating)):
            faults["rating"] = fault
        strength = self.strength
        if strength is not None and not (
            math.isfinite(strength) and abs(strength) <= STRENGTH_LIMIT
        ):
            faults["strength"] = f"Enter a strength from -{STRENGTH_LIMIT:g} to {STRENGTH_LIMIT:g}."
        return faults

    def require_valid(self) -> None:
        """Refuse details that a hub would refuse.

        Raises:
            Invalid: ``facts["fields"]`` has a sentence for each.
        """
        faults = self.faults()
        if faults:
            sentences = " ".join(f"{name}: {fault}" for name, fault in faults.items())
            msg = f"{sentences} Nothing was sent."
            raise Invalid(msg, facts={"fields": faults})


def require_known_family(session: Session, family: str, consequence: str = "") -> None:
    """Refuse a base model that the hub does not know; it is asked about unknown ones alone.

    Args:
        consequence: A sentence for the end of the message.

    Raises:
        Invalid: as by `Details.require_valid`.
    """
    if not family:
        return
    from lorary.anatomy import FAMILIES  # noqa: PLC0415 - takes 0.1 s

    if family in FAMILIES:
        return
    with naming_family(family, consequence):
        session.json("GET", "adapters", query={"family": family, "limit": 1})


@contextlib.contextmanager
def naming_family(family: str, consequence: str = "") -> Iterator[None]:
    """Name similar base models if the hub refuses one that it does not know.

    Args:
        consequence: A sentence for the end of the message.

    Raises:
        Invalid: as by `Details.require_valid`.
    """
    try:
        yield
    except Invalid as error:
        from lorary.anatomy import FAMILIES  # noqa: PLC0415 - as above

        fields = error.facts.get("fields")
        is_other = not isinstance(fields, dict) or "family" not in fields
        if is_other or not family or family in FAMILIES:
            raise
        fault = _unknown_family(family)
        msg = f"family: {fault} {consequence}".rstrip()
        raise Invalid(msg, facts={"fields": {"family": fault}}) from error


def _unknown_family(family: str) -> str:
    from lorary.anatomy.families import FAMILIES, similar_families  # noqa: PLC0415 - as above

    close = similar_families(family)
    meant = f"Did you mean {' or '.join(close)}?" if close else f"Known ids: {', '.join(FAMILIES)}."
    return f"“{family[:48]}” is not a known base model. {meant}"


def _trigger_fault(words: Sequence[str]) -> str:
    if len(words) > MAX_TRIGGER_WORDS:
        return f"A version can have at most {MAX_TRIGGER_WORDS} trigger words."
    stripped = [word.strip() for word in words]
    if not all(stripped):
        return "A trigger phrase must not be empty."
    if any(len(word) > MAX_TRIGGER_CHARACTERS or not word.isprintable() for word in stripped):
        return f"A trigger phrase can have at most {MAX_TRIGGER_CHARACTERS} printable characters."
    return ""

"""Finds relatives of a file by asking a hub with its sketch, where no hash is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lorary.client.http.json_answers import Record
from lorary.client.models import File, Version, found_file

if TYPE_CHECKING:
    from lorary.client.http.session import Session


@dataclass(frozen=True, slots=True)
class Relative:
    """A version whose weights are a copy of a file's, or resemble them.

    Attributes:
        relation: ``same_file``, ``same_weights``, ``number_format``, ``renamed``, ``strength``,
            ``resized``, ``part``, ``same_run`` or ``related``.
        direction: ``from`` if the file was made from this one, ``to`` if this one was made from it,
            "" if that can't be told.
        cosine: Cosine of the two updates, -1 to 1, estimated from sketches.
        strength: Size of the file's update, divided by that of this one.
        version: The version, without its files.
        file: The file.
    """

    relation: str
    direction: str
    cosine: float
    strength: float
    version: Version
    file: File
    data: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def read(cls, value: object) -> Relative:
        """Read a result of ``POST relatives``."""
        record = Record(value, "relative")
        version, file = record.mapping("version"), record.mapping("file")
        return record.into(
            cls,
            cosine=record.number("cosine") or 0.0,
            strength=record.number("strength") or 0.0,
            version=Version.read(version),
            file=File.read(file),
        )

    @property
    def document(self) -> dict[str, object]:
        """The relative as JSON values."""
        facts = {
            "relation": self.relation,
            "direction": self.direction,
            "cosine": round(self.cosine, 4),
            "strength": round(self.strength, 4),
        }
        return found_file(self.version, self.file, facts)


def find_relatives(session: Session, sketch: Mapping[str, object]) -> tuple[Relative, ...]:
    """Return the relatives of a file, the closest first.

    Args:
        sketch: Result of ``lorary.algebra.recognition.documents.sketch_document``.
    """
    answer = session.json("POST", "relatives", data=dict(sketch), is_repeatable=True)
    return tuple(Relative.read(item) for item in Record(answer, "answer").items("results"))

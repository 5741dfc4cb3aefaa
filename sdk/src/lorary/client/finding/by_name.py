"""Finds versions by the names of their files, where no hash is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lorary.client.http.json_answers import Record
from lorary.client.models import File, Version

if TYPE_CHECKING:
    from lorary.client.http.session import Session

#: Maximum number of names per request, and characters of a name.
MAX_NAMES, MAX_CHARS = 100, 255


@dataclass(frozen=True, slots=True)
class Named:
    """A file of a version that has a name.

    Attributes:
        version: The newest published version of its adapter with such a file, without its files.
        file: The file.
    """

    version: Version
    file: File
    data: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def read(cls, value: object) -> Named:
        """Read a match of ``POST file-names``."""
        record = Record(value, "match")
        version, file = record.mapping("version"), record.mapping("file")
        return record.into(cls, version=Version.read(version), file=File.read(file))


def find_named(session: Session, names: Sequence[str]) -> dict[str, tuple[Named, ...]]:
    """Return name → matches, one for each adapter; names that are too long have none."""
    asked = [name for name in dict.fromkeys(names) if 0 < len(name) <= MAX_CHARS]
    found: dict[str, tuple[Named, ...]] = dict.fromkeys(names, ())
    for start in range(0, len(asked), MAX_NAMES):
        data = {"names": asked[start : start + MAX_NAMES]}
        answer = session.json("POST", "file-names", data=data, is_repeatable=True)
        for item in Record(answer, "answer").items("results"):
            result = Record(item, "result")
            matches = tuple(Named.read(one) for one in result.items("matches"))
            found[result.text("name")] = matches
    return found

"""Finds what Lorary recorded about a file in the folders above it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from lorary.client.errors import LoraryError
from lorary.client.transfers.folders import Entry, Folder


@dataclass(frozen=True, slots=True)
class Records:
    """The records of folders, each read once; one that cannot be read is empty."""

    _read: dict[Path, Mapping[str, Entry]] = field(default_factory=dict)

    def entry_of(self, path: Path) -> Entry | None:
        """Return the entry of a file that Lorary wrote; names in a record may contain ``/``."""
        for parent in path.parents:
            if entries := self._of(parent):
                entry = entries.get(path.relative_to(parent).as_posix())
                if entry is not None:
                    return entry
        return None

    def _of(self, place: Path) -> Mapping[str, Entry]:
        if place not in self._read:
            folder = Folder(place)
            with suppress(LoraryError):
                folder.load()
            self._read[place] = folder.entries
        return self._read[place]

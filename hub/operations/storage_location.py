"""Where the files of a hub were moved to, kept beside its rows: ``<data>/storage_url``.

``manage.py storage move`` writes it last, so it is the switch: from then on it is what
``LORARY_STORAGE`` means when it is unset, and a hub that names another place does not start.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from registry.durable import flush

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["moved_to", "note_move"]

_FILE = "storage_url"


def moved_to(data: Path) -> str:
    """Return the address that the files of this data directory were moved to, "" if never."""
    try:
        return (data / _FILE).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""


def note_move(data: Path, url: str) -> None:
    """Write the address; it is there as a whole or not at all."""
    draft = data / f".{_FILE}.{os.getpid()}"
    with draft.open("w", encoding="utf-8") as handle:
        handle.write(f"{url}\n")
        handle.flush()
        os.fsync(handle.fileno())
    draft.replace(data / _FILE)
    flush(data)

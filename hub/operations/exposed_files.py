"""Finds data that other users of this machine can read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import connection

from registry import storage
from registry.local_files import is_open

if TYPE_CHECKING:
    from collections.abc import Iterator


def exposed() -> list[Path]:
    """Return folders and files that other users can read, except those inside a closed folder."""
    data = settings.LORARY.data
    closed = [] if is_open(data) else [data]
    return [path for path in _places(data) if is_open(path) and not _lies_in(path, closed)]


def _places(data: Path) -> Iterator[Path]:
    yield data
    if connection.vendor == "sqlite":
        yield Path(connection.settings_dict["NAME"])
    place = storage.parse_location(settings.LORARY.storage)
    if isinstance(place, Path):
        yield place


def _lies_in(path: Path, folders: list[Path]) -> bool:
    return any(folder in path.parents for folder in folders)

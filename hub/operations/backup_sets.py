"""The sets of a folder of backups: their manifests, and which sets are kept.

An incomplete set never replaces a complete one: ``keep`` sets are kept, and ``keep`` complete ones.
After a file was lost or damaged, old sets are still deleted, but not the last ones that have the
file, and there are never more than twice ``keep`` sets.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

from django.utils.translation import gettext as _

from hub.plurals import counted
from registry import storage
from registry.blobs import migrate_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from registry.blobs.migrate_store import Named

FORMAT = 1
#: Losing up to this many files never raises an alarm, even on a small hub.
IGNORED_LOSS = 5
#: Keys of a manifest with files that could not be saved; older ones only have ``missing``.
NOT_SAVED = ("missing", "damaged", "failed")
#: Keys that every manifest has, and the types of their values.
REQUIRED = {"made_at": str, "rows": str, "rows_sha256": str, "blobs_sha256": str, "blobs": int}


class BackupInvalid(Exception):
    """A backup does not exist, or is incomplete or damaged, as the message says."""


class SetShrunk(Exception):
    """The newest set has far fewer files than an earlier one; the message says what to do."""


@dataclass(frozen=True, slots=True)
class BackupSet:
    """A finished set."""

    name: str  # name of its folder
    made_at: datetime  # of an unreadable set: when its manifest was written
    blobs: int = 0  # number of files that its rows refer to
    lacking: int = 0  # number of those that neither the set nor a bucket has
    bytes: int = 0  # their total size, without the rows
    release: str = ""  # that of the hub; "" in sets of earlier ones
    has_files: bool = True  # False: it has only the rows
    has_fewer: bool = False  # whether it is intended that it has far fewer files than earlier ones
    is_readable: bool = True  # whether its manifest is valid

    @property
    def is_whole(self) -> bool:
        """Whether every file that its rows refer to is in the set, or was in a bucket."""
        return self.is_readable and not self.lacking


def sets(folder: Path) -> list[BackupSet]:
    """Return the finished sets, oldest first, whatever the names of their folders.

    Raises:
        OSError: the folder or a set in it does not exist or cannot be read.
    """
    has_sets = "sets" in os.listdir(folder)  # noqa: PTH208 - a folder that is missing is an error
    found = [_described(place) for place in (folder / "sets").iterdir()] if has_sets else []
    return sorted(filter(None, found), key=lambda one: (one.made_at, one.name))


def chosen(folder: Path, name: str | None = None) -> BackupSet:
    """Return a set by its name; without one the newest complete set.

    If none is complete, it is the newest readable one.

    Raises:
        BackupInvalid: the set does not exist.
        OSError: see ``sets``.
    """
    found = sets(folder)
    if not found:
        raise BackupInvalid(none_in(folder))
    if name is not None:
        found = [one for one in found if one.name == name]
    if found:
        return max(found, key=lambda one: (one.is_whole, one.is_readable, one.made_at))
    message = f"{name} is not a finished backup in {folder}."
    raise BackupInvalid(message)


def none_in(folder: Path) -> str:
    """Return a sentence about a folder without finished sets."""
    return f"There are no backups in {folder}."


def manifest_of(place: Path) -> dict[str, Any]:
    """Return the manifest of a set.

    Raises:
        BackupInvalid: the set is unfinished, damaged, or of another release.
        PermissionError: this user cannot read it.
    """
    try:
        manifest: dict[str, Any] = json.loads((place / "manifest.json").read_text(encoding="utf-8"))
    except PermissionError:
        raise
    except (OSError, ValueError) as error:
        message = f"{place.name} is not a finished backup: {error}"
        raise BackupInvalid(message) from error
    number = manifest.get("format") if isinstance(manifest, dict) else None
    if number is not None and number != FORMAT:
        message = f"{place.name} has format {number}; this release reads {FORMAT}."
        raise BackupInvalid(message)
    if number is None or not _is_complete(manifest):
        message = f"{place / 'manifest.json'} is damaged: it lacks values. Use another set."
        raise BackupInvalid(message)
    return manifest


def _is_complete(manifest: dict[str, Any]) -> bool:
    """Return whether a manifest has every required value; its time must have a zone."""
    if not all(isinstance(manifest.get(key), kind) for key, kind in REQUIRED.items()):
        return False
    try:
        return datetime.fromisoformat(manifest["made_at"]).tzinfo is not None
    except ValueError:
        return False


def require_as_written(file: Path, sha256: str) -> None:
    """Raise BackupInvalid unless a file of a set has the given sha256."""
    problem = "its sha256 is wrong"
    try:
        with file.open("rb") as handle:
            if hashlib.file_digest(handle, "sha256").hexdigest() == sha256:
                return
    except OSError as error:
        problem = error.strerror or str(error)
    message = f"{file} is damaged: {problem}. Use another set."
    raise BackupInvalid(message)


def prune(folder: Path, keep: int) -> tuple[int, OSError | None]:
    """Delete the sets that are not kept, and the files that no remaining set refers to.

    Files that were withdrawn from the hub therefore disappear from its backups as well.

    Returns:
        Number of deleted files, and the first error; what cannot be deleted does not stop it.

    Raises:
        SetShrunk: the newest set has far fewer files than an earlier one; nothing is deleted.
        BackupInvalid: the list of files of a kept set is unreadable; nothing is deleted.
    """
    found = sets(folder)
    _require_no_loss(found)
    whole = [one for one in found if one.is_whole]
    kept = {one.name for one in (*found[-keep:], *whole[-keep:])}
    named = {bytes.fromhex(sha256) for name in kept for sha256 in _kept_in(folder / "sets" / name)}
    errors, target, count = list[OSError](), files_of(folder), 0
    for place in sorted((folder / "sets").iterdir()):
        if place.name not in kept:
            try:
                shutil.rmtree(place)
            except OSError as error:
                errors.append(error)
                with suppress(BackupInvalid, OSError):  # it is no set any more
                    named |= {bytes.fromhex(sha256) for sha256 in _kept_in(place)}
    for digest in migrate_store.sizes(target):
        if digest not in named:
            try:
                target.delete(digest.hex())
                count += 1
            except OSError as error:
                errors.append(error)
    return count, next(iter(errors), None)


@contextmanager
def new_set(place: Path) -> Iterator[Path]:
    """Create the folder of a set, and remove it after an error: its rows may fill the disk."""
    place.mkdir(parents=True, mode=0o700)
    try:
        yield place
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise


def files_of(folder: Path) -> storage.LocalStore:
    """Return the store with the files of all sets."""
    return storage.LocalStore(folder / "files")


def named_in(place: Path) -> Iterator[Named]:
    """Yield sha256 and size of each file that the rows of a set refer to."""
    with (place / "blobs.txt").open(encoding="ascii") as lines:
        for line in lines:
            sha256, size = line.split()
            yield sha256, int(size)


def write(file: Path, text: str) -> None:
    """Write a file with mode 600, atomically."""
    with writing(file) as opened:
        opened.write(text)


@contextmanager
def writing(file: Path) -> Iterator[TextIO]:
    """Open a file with mode 600 for writing; it appears under its name when all is written."""
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as opened:
        yield opened
        opened.flush()
        os.fsync(opened.fileno())
    draft.replace(file)


def _require_no_loss(found: list[BackupSet]) -> None:
    """Raise SetShrunk if the newest set has less than half of the files of an earlier one.

    A set with ``has_fewer`` becomes the one that later sets are compared with.
    """
    before = 0
    for one in reversed(found):
        before = max(before, one.blobs)
        if one.has_fewer:
            break
    now = found[-1].blobs if found else 0
    if now < before / 2 and before - now > IGNORED_LOSS:
        text = _(
            "the newest set contains %(now)s, an earlier one %(before)s. Check "
            "LORARY_DATABASE_URL and whether files were lost. If they were removed on purpose, "
            "pass --prune-anyway once."
        )
        raise SetShrunk(text % {"now": counted(now, "file"), "before": f"{before:,}"})


def _kept_in(place: Path) -> Iterator[str]:
    require_as_written(place / "blobs.txt", manifest_of(place)["blobs_sha256"])
    for sha256, _size in named_in(place):
        yield sha256


def lacking_in(manifest: dict[str, Any]) -> int:
    """Return how many files that the rows of a set refer to neither it nor a bucket has.

    Sets of rows alone by earlier releases do not say whether a bucket had the files.
    """
    if manifest.get("with_files", True) or manifest.get("is_in_bucket", False):
        return sum(len(manifest.get(what, ())) for what in NOT_SAVED)
    count: int = manifest["blobs"]
    return count


def _described(place: Path) -> BackupSet | None:
    """Return a set, None if it is unfinished."""
    try:
        written = (place / "manifest.json").stat().st_mtime
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        return _read(place)
    except (BackupInvalid, KeyError, TypeError, ValueError):
        return BackupSet(place.name, datetime.fromtimestamp(written, UTC), is_readable=False)


def _read(place: Path) -> BackupSet:
    manifest = manifest_of(place)
    return BackupSet(
        place.name,
        datetime.fromisoformat(manifest["made_at"]),
        manifest["blobs"],
        lacking_in(manifest),
        manifest.get("bytes", 0),
        manifest.get("release", ""),
        has_files=manifest.get("with_files", True),
        has_fewer=manifest.get("has_fewer", False),
    )

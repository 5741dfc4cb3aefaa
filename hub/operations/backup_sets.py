"""The sets of a folder of backups: what each says of itself, and which are kept.

A set that is not whole never pushes out one that is: ``keep`` sets are kept, and beside them as
many whole ones. So a file that is lost or damaged neither ends retention nor costs the sets that
have it, and there are never more than twice ``keep``.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _

from hub.plurals import counted
from registry import storage
from registry.blobs import migrate_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from registry.blobs.migrate_store import Named

FORMAT = 1
#: So many files fewer are an evening's work, however small the hub.
HANDFUL = 5
#: What a manifest has of files that could not be saved; ``missing`` alone in older ones.
NOT_SAVED = ("missing", "damaged", "failed")


class BackupInvalid(Exception):
    """There is no such backup, or it is not whole; the text says what is wrong."""


class Shrunk(Exception):
    """The newest set has far fewer files than others; the text says what to do."""


@dataclass(frozen=True, slots=True)
class BackupSet:
    """A set that was finished.

    Attributes:
        name: Of its folder: when it was made.
        blobs: Files that its rows name.
        lacking: Those of them that could not be saved then.
        has_fewer: Whether somebody said that it is right to have far fewer than those before.
        is_readable: Whether its manifest is one.
    """

    name: str
    blobs: int = 0
    lacking: int = 0
    has_fewer: bool = False
    is_readable: bool = True

    @property
    def is_whole(self) -> bool:
        """Whether it had every file that its rows name."""
        return self.is_readable and not self.lacking


def sets(folder: Path) -> list[BackupSet]:
    """Return the sets that were finished, the oldest first."""
    places = sorted(file.parent for file in folder.glob("sets/*/manifest.json"))
    return [_described(place) for place in places]


def chosen(folder: Path, name: str | None = None) -> BackupSet:
    """Return a set by its name, the newest when there is none.

    Raises:
        BackupInvalid: there is no such set.
    """
    found = sets(folder)
    if name is not None:
        found = [one for one in found if one.name == name]
    if found:
        return found[-1]
    wanted = f"{name} is no finished backup" if name else "There is no finished backup"
    message = f"{wanted} in {folder}."
    raise BackupInvalid(message)


def manifest_of(place: Path) -> dict[str, Any]:
    """Return what a set says of itself.

    Raises:
        BackupInvalid: it is not finished, damaged, or of another release.
    """
    try:
        manifest: dict[str, Any] = json.loads((place / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        message = f"{place.name} is no finished backup: {error}"
        raise BackupInvalid(message) from error
    if manifest["format"] != FORMAT:
        message = f"{place.name} has format {manifest['format']}; this release reads {FORMAT}."
        raise BackupInvalid(message)
    return manifest


def require_as_written(file: Path, sha256: str) -> None:
    """Raise BackupInvalid unless a file of a set is what was written."""
    if file.exists():
        with file.open("rb") as handle:
            if hashlib.file_digest(handle, "sha256").hexdigest() == sha256:
                return
    message = f"{file} is not what was written: it is damaged. Take another set."
    raise BackupInvalid(message)


def prune(folder: Path, keep: int) -> int:
    """Remove all sets but those that are kept, and the files that only they named.

    What was withdrawn from the hub so leaves its backups, too.

    Returns:
        How many files.

    Raises:
        Shrunk: the newest set names far fewer files than one before it; nothing is removed.
        BackupInvalid: a set that is kept no longer says which files it names; nothing is removed.
    """
    found = sets(folder)
    _require_no_loss(found)
    whole = [one for one in found if one.is_whole]
    kept = {one.name for one in (*found[-keep:], *whole[-keep:])}
    named = {bytes.fromhex(sha256) for name in kept for sha256 in _kept_in(folder / "sets" / name)}
    for place in (folder / "sets").iterdir():
        if place.name not in kept:
            shutil.rmtree(place)
    target, count = files_of(folder), 0
    for digest in migrate_store.sizes(target):
        if digest not in named:
            target.delete(digest.hex())
            count += 1
    return count


def files_of(folder: Path) -> storage.LocalStore:
    """Return the store that the files of all sets are in."""
    return storage.LocalStore(folder / "files")


def named_in(place: Path) -> Iterator[Named]:
    """Yield digest and length of each file that the rows of a set name."""
    with (place / "blobs.txt").open(encoding="ascii") as lines:
        for line in lines:
            sha256, size = line.split()
            yield sha256, int(size)


def write(file: Path, text: str) -> None:
    """Write a file that only its owner reads; it is there as a whole or not at all."""
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as opened:
        opened.write(text)
        opened.flush()
        os.fsync(opened.fileno())
    draft.replace(file)


def _require_no_loss(found: list[BackupSet]) -> None:
    """Raise Shrunk when the newest set names less than half of the files of another.

    What was said to be right once is what later sets are compared with.
    """
    before = 0
    for one in reversed(found):
        before = max(before, one.blobs)
        if one.has_fewer:
            break
    now = found[-1].blobs if found else 0
    if now < before / 2 and before - now > HANDFUL:
        text = _(
            "this one contains %(now)s, an earlier one %(before)s. Check LORARY_DATABASE_URL "
            "and whether files were lost. If they were removed on purpose, pass "
            "--prune-anyway once."
        )
        raise Shrunk(text % {"now": counted(now, "file"), "before": f"{before:,}"})


def _kept_in(place: Path) -> Iterator[str]:
    require_as_written(place / "blobs.txt", manifest_of(place)["blobs_sha256"])
    for sha256, _size in named_in(place):
        yield sha256


def _described(place: Path) -> BackupSet:
    try:
        manifest = manifest_of(place)
    except BackupInvalid:
        return BackupSet(place.name, is_readable=False)
    lacking = sum(len(manifest.get(what, ())) for what in NOT_SAVED)
    return BackupSet(place.name, manifest["blobs"], lacking, manifest.get("has_fewer", False))

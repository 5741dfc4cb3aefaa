"""Backups of a running hub, and hubs made from them.

```
<folder>/files/blobs/ab/cd/<sha256>      every file that a set names, once; a blob store
<folder>/sets/20261126T045000.000Z/
    manifest.json                        written last: a set without it does not count
    rows.sqlite3 or rows.dump            the rows
    blobs.txt                            sha256 and length of each file that these rows name
    secret_key                           if it was kept in the data directory
```

Order: files, rows, files. A row that names a blob is committed after the blob has its address, and
a blob loses it only after days without a reference. So whatever a copy of the rows names had its
bytes at that moment; the files that were copied before cannot be lost by what is swept meanwhile,
and the second pass, which takes seconds, brings those that came during the first. Files that no
copy of the rows names are harmless.

Uploads that are open are not in a backup: after a restore they ask for their bytes again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management import call_command
from django.utils import timezone

from hub import dumps
from registry import storage
from registry.services import carrying, moving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from registry.services.carrying import Carried
    from registry.services.moving import Named, Progress, Tally

__all__ = ["BackupInvalid", "Made", "Restored", "latest", "make", "prune", "put_back", "sets"]

FORMAT = 1


class BackupInvalid(Exception):
    """There is no such backup, or it is not whole; the text says what is wrong."""


@dataclass(frozen=True, slots=True)
class Made:
    """A backup.

    Attributes:
        name: Of the set.
        blobs: Files that its rows name; ``bytes`` is their length together.
        files: What became of them; those not stored anywhere are missing.
    """

    name: str
    blobs: int
    bytes: int
    files: Tally

    @property
    def is_whole(self) -> bool:
        """Whether every file that the rows name is in it."""
        return self.files.is_whole


@dataclass(frozen=True, slots=True)
class Restored:
    """A hub that was put back."""

    name: str
    files: Tally
    uploads: Carried


def make(folder: Path, *, with_files: bool = True, progress: Progress | None = None) -> Made:
    """Add a set to a folder of backups.

    Args:
        folder: Where backups are; made when it is not there.
        with_files: Also files. Without, only rows: for a bucket that is kept safe by itself.
        progress: Gets files and bytes copied so far.

    Raises:
        RowsRefused: the rows cannot be copied.
        StorageFull: there is no room; earlier sets are as they were.
    """
    target = _files_of(folder)
    if with_files:
        first = moving.copy(source=storage.store(), target=target, progress=progress)
    name = timezone.now().strftime("%Y%m%dT%H%M%S.%f")[:-3] + "Z"
    place = folder / "sets" / name
    place.mkdir(parents=True, mode=0o700)
    rows = place / dumps.file_name()
    blobs = dumps.dump(rows)
    told = moving.Tally()
    if with_files:
        told = moving.copy(source=storage.store(), target=target, blobs=blobs, progress=progress)
        told.done, told.bytes_done = told.done + first.done, told.bytes_done + first.bytes_done
        told.present = max(0, told.present - first.done)
    _keep_secret(place)
    _write(place / "blobs.txt", "".join(f"{sha256} {size}\n" for sha256, size in blobs))
    made = Made(name, len(blobs), sum(size for _sha256, size in blobs), told)
    _write(place / "manifest.json", json.dumps(_manifest(rows, made, with_files=with_files)))
    return made


def sets(folder: Path) -> list[str]:
    """Return the names of the sets that were finished, the oldest first."""
    return sorted(file.parent.name for file in folder.glob("sets/*/manifest.json"))


def latest(folder: Path) -> str:
    """Return the newest set.

    Raises:
        BackupInvalid: there is none.
    """
    if found := sets(folder):
        return found[-1]
    message = f"There is no finished backup in {folder}."
    raise BackupInvalid(message)


def prune(folder: Path, keep: int) -> int:
    """Remove all sets but the newest, and the files that only they named; returns how many files.

    What was withdrawn from the hub so leaves its backups, too.
    """
    kept = set(sets(folder)[-keep:])
    for place in (folder / "sets").iterdir():
        if place.name not in kept:
            shutil.rmtree(place)
    named = {
        bytes.fromhex(sha256) for name in kept for sha256, _ in _blobs_of(folder / "sets" / name)
    }
    target, count = _files_of(folder), 0
    for digest in moving.sizes(target):
        if digest not in named:
            target.delete(digest.hex())
            count += 1
    return count


def put_back(folder: Path, name: str, *, progress: Progress | None = None) -> Restored:
    """Make a hub from a set: its files into the store, then its rows into an empty database.

    Until the rows are there, which happens at once, it may be cut off and repeated.

    Raises:
        BackupInvalid: there is no such set, or it is damaged; nothing was changed.
        RowsRefused: the database is not empty, or refuses.
        StorageFull: there is no room for the files.
    """
    place = folder / "sets" / name
    rows = _checked_rows(place)
    dumps.require_empty()
    files = moving.copy(
        source=_files_of(folder),
        target=storage.store(),
        blobs=_blobs_of(place),
        progress=progress,
    )
    dumps.restore(rows)
    call_command("migrate", verbosity=0)
    if (secret := place / "secret_key").exists():
        _write(settings.LORARY.data / "secret_key", secret.read_text(encoding="utf-8"))
    return Restored(name, files, carrying.settle(store=storage.store()))


def _checked_rows(place: Path) -> Path:
    """Return the file with the rows of a set.

    Raises:
        BackupInvalid: it is not what was written.
    """
    try:
        manifest: dict[str, Any] = json.loads((place / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        message = f"{place.name} is no finished backup: {error}"
        raise BackupInvalid(message) from error
    if manifest["format"] != FORMAT:
        message = f"{place.name} has format {manifest['format']}; this release reads {FORMAT}."
        raise BackupInvalid(message)
    rows: Path = place / manifest["rows"]
    if rows.name != dumps.file_name():
        message = f"{place.name} has {rows.name}; LORARY_DATABASE_URL names another kind."
        raise BackupInvalid(message)
    for file, sha256 in ((rows, "rows_sha256"), (place / "blobs.txt", "blobs_sha256")):
        if not file.exists() or _sha256(file) != manifest[sha256]:
            message = f"{file} is not what was written: it is damaged. Take another set."
            raise BackupInvalid(message)
    return rows


def _manifest(rows: Path, made: Made, *, with_files: bool) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "made_at": timezone.now().isoformat(),
        "rows": rows.name,
        "rows_sha256": _sha256(rows),
        "blobs_sha256": _sha256(rows.with_name("blobs.txt")),
        "blobs": made.blobs,
        "bytes": made.bytes,
        "with_files": with_files,
        "missing": made.files.missing,
    }


def _files_of(folder: Path) -> storage.LocalStore:
    return storage.LocalStore(folder / "files")


def _blobs_of(place: Path) -> Iterator[Named]:
    with (place / "blobs.txt").open(encoding="ascii") as lines:
        for line in lines:
            sha256, size = line.split()
            yield sha256, int(size)


def _keep_secret(place: Path) -> None:
    secret = settings.LORARY.data / "secret_key"
    if secret.exists():
        _write(place / "secret_key", secret.read_text(encoding="utf-8"))


def _write(file: Path, text: str) -> None:
    """Write a file that only its owner reads; it is there as a whole or not at all."""
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as opened:
        opened.write(text)
        opened.flush()
        os.fsync(opened.fileno())
    draft.replace(file)


def _sha256(file: Path) -> str:
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()

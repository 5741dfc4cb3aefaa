"""Backups of a running hub, and hubs made from them.

```
<folder>/hub, lock                       the identity of its hub (``claim``), who is at it
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
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.utils import timezone
from django.utils.translation import gettext as _

from hub.operations import backup_sets, database_dumps
from hub.operations.backup_sets import (
    FORMAT,
    BackupInvalid,
    files_of,
    manifest_of,
    named_in,
    require_as_written,
    write,
)
from hub.plurals import counted
from registry import identity, storage
from registry.blobs import migrate_store
from registry.durable import flush
from registry.private_files import make_folder
from registry.uploads import store_change

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.blobs.migrate_store import Progress, Tally
    from registry.uploads.store_change import MovedUploads


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
    uploads: MovedUploads


def make(
    folder: Path,
    *,
    with_files: bool = True,
    adopts: bool = False,
    has_fewer: bool = False,
    progress: Progress | None = None,
) -> Made:
    """Add a set to a folder of backups.

    Args:
        folder: Where backups are; made when it is not there.
        with_files: Also files. Without, only rows: for a bucket that is kept safe by itself.
        adopts: Take the folder over from another hub.
        has_fewer: It is right that the set names far fewer files than those before it.
        progress: Gets files and bytes copied so far.

    Raises:
        Foreign: the folder is another hub's; nothing was changed.
        RowsRefused: the rows cannot be copied.
        StorageFull: there is no room; earlier sets are as they were.
    """
    make_folder(folder)
    claim(folder, adopts=adopts)
    target = files_of(folder)
    if with_files:
        first = migrate_store.copy(source=storage.store(), target=target, progress=progress)
    name = timezone.now().strftime("%Y%m%dT%H%M%S.%f")[:-3] + "Z"
    place = folder / "sets" / name
    place.mkdir(parents=True, mode=0o700)
    rows = place / database_dumps.file_name()
    blobs = database_dumps.dump(rows)
    told = migrate_store.Tally()
    if with_files:
        told = migrate_store.copy(
            source=storage.store(), target=target, blobs=blobs, progress=progress
        )
        told.done, told.bytes_done = told.done + first.done, told.bytes_done + first.bytes_done
        told.present = max(0, told.present - first.done)
    _keep_secret(place)
    write(place / "blobs.txt", "".join(f"{sha256} {size}\n" for sha256, size in blobs))
    made = Made(name, len(blobs), sum(size for _sha256, size in blobs), told)
    facts = {**_manifest(rows, made), "with_files": with_files, "has_fewer": has_fewer}
    write(place / "manifest.json", json.dumps(facts))
    return made


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
    database_dumps.require_empty()
    files = migrate_store.copy(
        source=files_of(folder),
        target=storage.store(),
        blobs=named_in(place),
        progress=progress,
    )
    database_dumps.restore(rows)
    call_command("migrate", verbosity=0)
    if (secret := place / "secret_key").exists():
        write(settings.LORARY.data / "secret_key", secret.read_text(encoding="utf-8"))
    return Restored(name, files, store_change.reopen_without_bytes(store=storage.store()))


def _checked_rows(place: Path) -> Path:
    """Return the file with the rows of a set.

    Raises:
        BackupInvalid: it is not what was written.
    """
    manifest = manifest_of(place)
    rows: Path = place / manifest["rows"]
    if rows.name != database_dumps.file_name():
        message = f"{place.name} has {rows.name}; LORARY_DATABASE_URL names another kind."
        raise BackupInvalid(message)
    require_as_written(rows, manifest["rows_sha256"])
    require_as_written(place / "blobs.txt", manifest["blobs_sha256"])
    return rows


def _manifest(rows: Path, made: Made) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "hub": identity.own(),
        "made_at": timezone.now().isoformat(),
        "rows": rows.name,
        "rows_sha256": _sha256(rows),
        "blobs_sha256": _sha256(rows.with_name("blobs.txt")),
        "blobs": made.blobs,
        "bytes": made.bytes,
        "missing": made.files.missing,
        "damaged": made.files.damaged,
        "failed": made.files.failed,
    }


def _keep_secret(place: Path) -> None:
    secret = settings.LORARY.data / "secret_key"
    if secret.exists():
        write(place / "secret_key", secret.read_text(encoding="utf-8"))


def _sha256(file: Path) -> str:
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


_FILE = "hub"


class Foreign(Exception):
    """The folder belongs to another hub; the text says what to do."""


def claim(folder: Path, *, adopts: bool = False) -> None:
    """Make a folder of backups this hub's, unless it is another's.

    Two hubs in one folder delete each other's sets. The empty hub that a wrong ``LORARY_DATA``
    makes, or a new one after the loss of a disk, would cost the backups that are needed then.

    A folder from before there were identities belongs to the first hub whose rows know each file
    that any of its sets names. Digests stay in the rows for ever, so the hub that made the sets
    does.

    Args:
        folder: Of backups; it is there.
        adopts: Take it over, whosever it is.

    Raises:
        Foreign: it is another's.
    """
    own, owner = identity.own(), owner_of(folder)
    if owner == own:
        return
    if owner and not adopts:
        raise Foreign(_advised(_("%(folder)s contains the backups of another hub."), folder))
    if not adopts and (strange := identity.unknown(_named_by_sets(folder))):
        text = _("%(folder)s contains backups with %(files)s that this hub does not know.")
        raise Foreign(_advised(text, folder, files=counted(strange, "file")))
    _keep_rows()
    backup_sets.write(folder / _FILE, f"{own}\n")
    flush(folder)


def owner_of(folder: Path) -> str:
    """Return the identity of the hub whose backups are there, "" when the folder says none."""
    try:
        return (folder / _FILE).read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return ""


def _advised(what: str, folder: Path, **facts: str) -> str:
    advice = _(
        "Nothing was changed. Check that LORARY_DATA and LORARY_DATABASE_URL are this hub's. "
        "Use another folder for a new hub, or restore from this one. To give this folder to "
        "this hub, pass --adopt."
    )
    return f"{what % {'folder': folder, **facts}} {advice}"


def _named_by_sets(folder: Path) -> Iterator[str]:
    for one in backup_sets.sets(folder):
        with suppress(FileNotFoundError):  # of a damaged set; the others tell as well
            for sha256, _size in backup_sets.named_in(folder / "sets" / one.name):
                yield sha256


def _keep_rows() -> None:
    """Have the disk keep the identity before the folder has it; PostgreSQL does by itself."""
    if connection.vendor == "sqlite":
        log = Path(f"{connection.settings_dict['NAME']}-wal")
        with suppress(FileNotFoundError):  # nothing is in the log
            flush(log)
            flush(log.parent)

"""Backups of a running hub, and their restore.

```
<folder>/hub, lock                       identity of its hub (``claim``), lock of the folder
<folder>/files/blobs/ab/cd/<sha256>      each file of the sets, stored once; a blob store
<folder>/sets/20261126T045000.000Z/
    manifest.json                        written last: a set without it is ignored
    rows.sqlite3 or rows.dump            the database
    blobs.txt                            sha256 and size of each file that the database refers to
    secret_key                           the one in the data directory, if the hub uses it
```

Order: files, database, files. A row that refers to a blob is committed after the blob is stored,
and the sweeper deletes a blob only after days without a reference. So each blob of the copied rows
was stored at that moment. The first pass copies most files; the second, which takes seconds, copies
those that were added during the first. Files that no set refers to are harmless.

Bytes of open uploads are not in a backup: after a restore, clients have to send them again. Nor
are thumbnails, which are a cache: they are made again when they are requested.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management import call_command
from django.db import DatabaseError, connection
from django.db.migrations.loader import MigrationLoader
from django.utils import timezone
from django.utils.translation import gettext as _

import lorary
from hub.config import stored_key
from hub.operations import backup_sets, database_dumps, migration_rules
from hub.operations.backup_sets import (
    FORMAT,
    BackupInvalid,
    files_of,
    manifest_of,
    named_in,
    require_as_written,
    write,
    writing,
)
from hub.plurals import counted
from registry import events, storage
from registry.audit.selectors import failed_backup, last_backup
from registry.blobs import migrate_store
from registry.jobs import workers
from registry.local_files import flush, make_folder
from registry.models import Blob, Hub
from registry.uploads import store_change

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from registry.blobs.migrate_store import Progress, Tally
    from registry.uploads.store_change import MovedUploads


def own_identity() -> str:
    """Return the identity of this hub, 32 hex digits; created by the first call."""
    hub, _is_new = Hub.objects.get_or_create(pk=Hub.ONLY)
    return hub.identity.hex


def count_unknown(digests: Iterable[str]) -> int:
    """Return how many of these digests this hub never had; their rows are never deleted."""
    named = {bytes.fromhex(sha256) for sha256 in digests}
    if named:
        for sha256 in Blob.objects.values_list("sha256", flat=True).iterator():
            named.discard(bytes.fromhex(sha256))
    return len(named)


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup."""

    name: str  # name of the set
    blobs: int  # number of files that its rows refer to; ``bytes`` is their total size
    bytes: int
    files: Tally  # result of copying them

    @property
    def is_whole(self) -> bool:
        """Whether it has every file that its rows refer to."""
        return self.files.is_whole


@dataclass(frozen=True, slots=True)
class Restored:
    """A restored hub."""

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
) -> Backup:
    """Add a set to a folder of backups.

    Args:
        folder: Folder of the backups; created if missing.
        with_files: Whether to copy files too. Without, for a bucket that has its own backups.
        adopts: Whether to take the folder over from another hub.
        has_fewer: Whether it is intended that the set has far fewer files than earlier ones.
        progress: Called with the files and bytes copied so far.

    Raises:
        ForeignFolder: the folder belongs to another hub; nothing was changed.
        RowsRefused: the database cannot be copied.
        StorageFull: the disk is full; earlier sets are unchanged.
    """
    make_folder(folder)
    claim(folder, adopts=adopts)
    target = files_of(folder)
    if with_files:
        first = migrate_store.copy(source=storage.store(), target=target, progress=progress)
    name = timezone.now().strftime("%Y%m%dT%H%M%S.%f")[:-3] + "Z"
    with backup_sets.new_set(folder / "sets" / name) as place:
        rows = place / database_dumps.file_name()
        with writing(place / "blobs.txt") as listing:
            count, size = database_dumps.dump(rows, listing)
        tally = migrate_store.Tally()
        if with_files:
            tally = migrate_store.copy(
                source=storage.store(), target=target, blobs=named_in(place), progress=progress
            )
            tally.done += first.done
            tally.bytes_done += first.bytes_done
            tally.present = max(0, tally.present - first.done)
        _save_secret(place)
        made = Backup(name, count, size, tally)
        facts = {
            **_manifest(rows, made),
            "with_files": with_files,
            "is_in_bucket": _is_in_bucket(),
            "has_fewer": has_fewer,
        }
        write(place / "manifest.json", json.dumps(facts))
    recorded: dict[str, Any] = {}
    if not with_files:
        recorded["rows_only"] = True
    if lacking := backup_sets.lacking_in(facts):
        recorded["lacking"] = lacking
    events.record(actor=None, verb="backup_made", subject=name, folder=str(folder), **recorded)
    return made


def record_failure(folder: Path, reason: str, *, with_files: bool = True) -> None:
    """Record an attempt that saved nothing, unless the database cannot be written."""
    facts: dict[str, Any] = {"folder": str(folder), "reason": reason[:500]}
    if not with_files:
        facts["rows_only"] = True
        if not _is_in_bucket():
            facts["without_bucket"] = True
    with suppress(DatabaseError):
        events.record(actor=None, verb="backup_failed", **facts)


def _is_in_bucket() -> bool:
    """Return whether the hub stores its files in a bucket."""
    return settings.LORARY.storage.startswith("s3:")


def last_failure() -> str:
    """Return a sentence about the last attempt at a backup if it failed, else ""."""
    failed = failed_backup()
    if failed is None:
        return ""
    hours = (timezone.now() - failed.created_at).total_seconds() / 3600
    lacking = counted(failed.facts.get("lacking", 0), "file")
    reason = failed.facts.get("reason", f"{lacking} could not be saved.")
    return f"The last backup failed {hours:.1f} hours ago ({failed.facts['folder']}): {reason}"


def last_complete() -> datetime | None:
    """Return when the last complete set was made, to any folder; None if there is no such event."""
    made = last_backup()
    return made.created_at if made else None


def restore(
    folder: Path, name: str, *, takes_newer: bool = False, progress: Progress | None = None
) -> Restored:
    """Restore a set: its files into the store, then its rows into an empty database.

    It can be interrupted and repeated until the rows are restored, which is atomic.

    Args:
        folder: Folder of the backups.
        name: Name of the set.
        takes_newer: Whether to restore a set of a newer release, too.
        progress: Called with the files and bytes copied so far.

    Raises:
        BackupInvalid: the set does not exist, is damaged or of a newer release; nothing was
            changed.
        RowsRefused: the database is not empty, or an error occurred.
        StorageFull: the disk is full.
    """
    place = folder / "sets" / name
    if not takes_newer:
        _require_known(place)
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
    workers.forget_all()
    # With LORARY_SECRET_KEY no key is stored: the one of the set may be the one that it replaced.
    if _uses_stored_key() and (secret := place / "secret_key").exists():
        write(settings.LORARY.data / "secret_key", secret.read_text(encoding="utf-8"))
    events.record(actor=None, verb="backup_restored", subject=name, folder=str(folder))
    return Restored(name, files, store_change.reopen_without_bytes(store=storage.store()))


def _require_known(place: Path) -> None:
    """Raise BackupInvalid if the release that made a set has migrations unknown to this one.

    Those of the release count, and not those of the database: after going back to a release, its
    database has migrations of the newer one, and its sets can be restored by it. Sets without the
    list are of earlier releases.
    """
    manifest = manifest_of(place)
    names = [tuple(name.split(".")) for name in manifest.get("migrations", ())]
    newer = migration_rules.of_newer_release(names, MigrationLoader(None))
    if newer:
        # A checkout can have newer migrations under the same release number.
        other = f" ({manifest['release']})" if manifest["release"] != lorary.__version__ else ""
        message = (
            f"{place.name} was made by a newer release{other} than this one "
            f"({lorary.__version__}), which does not know {counted(len(newer), 'migration')}; the "
            f"last is {newer[-1]}. Nothing was restored. Use that release, or with --set a backup "
            "that this one made (--list shows the releases). --newer-anyway restores it, and this "
            "release may not work with its database."
        )
        raise BackupInvalid(message)


def _checked_rows(place: Path) -> Path:
    """Return the file with the rows of a set, after comparing its sha256."""
    manifest = manifest_of(place)
    rows: Path = place / manifest["rows"]
    if rows.name != database_dumps.file_name():
        message = (
            f"{place.name} contains {rows.name}, but LORARY_DATABASE_URL names a different kind of "
            "database. Restore it into a database of the same kind."
        )
        raise BackupInvalid(message)
    require_as_written(rows, manifest["rows_sha256"])
    require_as_written(place / "blobs.txt", manifest["blobs_sha256"])
    return rows


def _manifest(rows: Path, made: Backup) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "hub": own_identity(),
        "made_at": timezone.now().isoformat(),
        "release": lorary.__version__,
        "migrations": sorted(map(".".join, MigrationLoader(None).disk_migrations)),
        "rows": rows.name,
        "rows_sha256": _sha256(rows),
        "blobs_sha256": _sha256(rows.with_name("blobs.txt")),
        "blobs": made.blobs,
        "bytes": made.bytes,
        "missing": made.files.missing,
        "damaged": made.files.damaged,
        "failed": made.files.failed,
    }


def _save_secret(place: Path) -> None:
    if _uses_stored_key():
        write(place / "secret_key", settings.LORARY.secret_key)


def _uses_stored_key() -> bool:
    """Whether the hub signs with the key in its data directory."""
    return stored_key(settings.LORARY.data) == settings.LORARY.secret_key


def _sha256(file: Path) -> str:
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


_FILE = "hub"


class ForeignFolder(Exception):
    """The folder belongs to another hub; the text says what to do."""


def claim(folder: Path, *, adopts: bool = False) -> None:
    """Mark a folder of backups as this hub's, unless it belongs to another hub.

    Two hubs in one folder would delete each other's sets. A hub that is empty because
    ``LORARY_DATA`` is wrong, or because a disk was lost, would delete exactly the backups that are
    needed.

    A folder without an identity, from an older release, belongs to the first hub whose rows have
    each file of its sets. Digests are never deleted, so the hub that made the sets has them.

    Args:
        folder: Folder of the backups, which exists.
        adopts: Whether to take it over from another hub.

    Raises:
        ForeignFolder: it belongs to another hub.
    """
    own, owner = own_identity(), owner_of(folder)
    if owner == own:
        return
    if owner and not adopts:
        raise ForeignFolder(
            _with_advice(_("%(folder)s contains the backups of another hub."), folder)
        )
    if not adopts and (unknown := count_unknown(_files_of_sets(folder))):
        text = _("%(folder)s contains backups with %(files)s that this hub does not know.")
        raise ForeignFolder(_with_advice(text, folder, files=counted(unknown, "file")))
    _flush_rows()
    backup_sets.write(folder / _FILE, f"{own}\n")
    flush(folder)


def owner_of(folder: Path) -> str:
    """Return the identity of the hub that owns a folder of backups, "" if it has none."""
    try:
        return (folder / _FILE).read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return ""


def _with_advice(what: str, folder: Path, **facts: str) -> str:
    advice = _(
        "Nothing was changed. Check that LORARY_DATA and LORARY_DATABASE_URL are this hub's. "
        "Use another folder for a new hub, or restore from this one. To give this folder to "
        "this hub, pass --adopt."
    )
    return f"{what % {'folder': folder, **facts}} {advice}"


def _files_of_sets(folder: Path) -> Iterator[str]:
    for one in backup_sets.sets(folder):
        with suppress(FileNotFoundError):  # a damaged set
            for sha256, _size in backup_sets.named_in(folder / "sets" / one.name):
                yield sha256


def _flush_rows() -> None:
    """Flush the identity to disk before the folder gets it; PostgreSQL flushes by itself."""
    if connection.vendor == "sqlite":
        log = Path(f"{connection.settings_dict['NAME']}-wal")
        with suppress(FileNotFoundError):  # the log is empty
            flush(log)
            flush(log.parent)

"""Stored files: their backups, sizes and analyses."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING

from django.db.models import Count, Sum
from django.utils import timezone

from hub.operations import backup
from hub.operations.diagnosis.report import NAMED, Report
from hub.plurals import counted, size_text
from registry import storage, sweep
from registry.blobs import rehash
from registry.models import Adapter, Blob, XetXorb
from registry.versions import reinspect

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from django.db.models import QuerySet

#: Age above which a daily backup was missed; the alert LoraryBackupOld has the same.
OLD_BACKUP = timedelta(hours=26)
#: With more stored files than this, a sample of this size is checked.
SAMPLE = 1000


def _backups() -> Iterator[Report]:
    """Report a failed attempt, and the age of the last complete backup or of unsaved adapters."""
    if failure := backup.last_failure():
        hint = "Remove the cause and run `systemctl start lorary-backup`, or `manage.py backup`."
        yield Report("backup", "warning", failure, hint)
    made = backup.last_complete()
    oldest = Adapter.objects.order_by("pk").values_list("created_at", flat=True).first()
    since = made or oldest or timezone.now()
    age = timezone.now() - since
    is_old = age > OLD_BACKUP
    hint = "Run `manage.py backup`, and read the log of its timer (`journalctl -u lorary-backup`)."
    if made is None:
        message = "`manage.py backup` has made no complete backup yet."
        hint = f"{hint} Ignore this if the hub is backed up in another way."
    else:
        message = f"The last complete backup is {age.total_seconds() / 3600:.1f} hours old."
    yield Report("backup", "warning" if is_old else "ok", message, hint if is_old else "")


def _bytes(*, is_deep: bool = False) -> Iterator[Report]:
    """Compare the sizes of stored files with their rows, for a sample or for all files."""
    stored = Blob.objects.filter(is_stored=True)
    total = stored.count()
    is_whole = is_deep or total <= SAMPLE
    problems = _wrong_sizes(stored) if is_whole else _wrong_sizes_of(_sample(stored))
    count = total if is_whole else SAMPLE
    wrong = 0
    for sha256, what in problems:
        wrong += 1
        if wrong <= NAMED:
            hint = "Restore it from a backup: `manage.py storage mend --from URL`."
            yield Report("bytes", "error", f"{sha256}: {what}.", hint)
    if wrong > NAMED:
        yield Report(
            "bytes", "error", f"{wrong:,} of {counted(count, 'file')} missing or incomplete."
        )
    elif not wrong and is_whole:
        yield Report(
            "bytes", "ok", f"{counted(count, 'file')} checked; none is missing or incomplete."
        )
    elif not wrong:
        message = f"{count:,} of {counted(total, 'file')} checked; none is missing or incomplete."
        yield Report("bytes", "ok", message, "`manage.py doctor --deep` checks all files.")


def _wrong_sizes(stored: QuerySet[Blob]) -> Iterator[tuple[str, str]]:
    """Yield the files that are missing or have the wrong size; lists the whole store."""
    here = {
        bytes.fromhex(one.name): one.size for one in storage.store().names() if not one.is_partial
    }
    for sha256, size in stored.values_list("sha256", "size_bytes").iterator():
        if (found := here.get(bytes.fromhex(sha256))) != size:
            yield sha256, _what(found, size)


def _wrong_sizes_of(blobs: Iterable[Blob]) -> Iterator[tuple[str, str]]:
    """Yield the given files that are missing or have the wrong size."""
    for blob in blobs:
        try:
            with storage.store().open(blob.sha256) as stream:
                found = stream.size
        except FileNotFoundError:
            found = None
        if found != blob.size_bytes:
            yield blob.sha256, _what(found, blob.size_bytes)


def _what(found: int | None, size: int) -> str:
    return "missing" if found is None else f"{found} bytes instead of {size}"


def _sample(stored: QuerySet[Blob]) -> list[Blob]:
    """Return the newest files, and as many random others."""
    newest = list(stored.order_by("-pk")[: SAMPLE // 2])
    below = newest[-1].pk
    numbers = random.sample(range(1, below), min(below - 1, 2 * SAMPLE))
    others = stored.filter(pk__in=numbers).order_by()[: SAMPLE - len(newest)]
    return [*newest, *others]


def _orphans(*, is_deep: bool = False) -> Iterator[Report]:
    is_whole = is_deep or Blob.objects.count() <= SAMPLE
    if is_whole:
        swept = sweep.run(is_dry=True)
        files, size = swept.files, swept.bytes_freed
    else:
        files, size = sweep.ripe()
    message = f"{counted(files, 'file')} ({size_text(size)}) not referenced by anything."
    if files:
        yield Report(
            "orphans", "warning", message, "The worker for `checks` deletes them every hour."
        )
    elif is_whole:
        yield Report("orphans", "ok", "No unreferenced file is older than the grace period.")
    else:
        hint = "`manage.py doctor --deep` also finds files without a database row."
        yield Report("orphans", "ok", "No file is waiting to be deleted.", hint)


def _pieces() -> Iterator[Report]:
    """Report the size of Xet uploads that are not finished, and what machines may delete."""
    here = XetXorb.objects.aggregate(files=Count("id"), size=Sum("size_bytes", default=0))
    left = sweep.leftovers()
    pieces = f"{counted(here['files'], 'piece')} ({size_text(here['size'])})"
    message = f"{pieces} of uploads from Hugging Face clients"
    if left.files:
        message = f"{message}, {left.files:,} ({size_text(left.bytes)}) of them no longer needed."
        yield Report(
            "pieces", "warning", message, "The worker for `checks` deletes them every hour."
        )
    else:
        yield Report("pieces", "ok", f"{message}, all still needed.")


def _anatomies() -> Iterator[Report]:
    count = reinspect.stale().count()
    if count:
        message = f"The analysis of {counted(count, 'file')} is from an older version."
        yield Report("anatomies", "warning", message, "Run `manage.py reinspect`.")
    else:
        yield Report("anatomies", "ok", "The analyses of all files are up to date.")


def _hashes() -> Iterator[Report]:
    count = rehash.without_all_hashes().count()
    if count:
        message = f"Hashes, sketches or energies of {counted(count, 'file')} are missing."
        yield Report("hashes", "warning", message, "Run `manage.py reinspect --hashes`.")
    else:
        yield Report("hashes", "ok", "Weights can be looked up by all kinds of hashes.")


PROBES = {
    "backup": _backups,
    "bytes": _bytes,
    "orphans": _orphans,
    "pieces": _pieces,
    "anatomies": _anatomies,
    "hashes": _hashes,
}

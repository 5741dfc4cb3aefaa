"""Counts downloads without a database write during the request.

A request adds to a count in memory; a thread of the process writes the counts every ``WRITE_S``
seconds and when the process ends. A killed process loses the counts of these seconds. If the
database is busy or unreachable, nothing is lost, and downloads do not wait.
"""

from __future__ import annotations

import atexit
import logging
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from datetime import date

from django.db import Error, connection, transaction
from django.db.models import F
from django.utils import timezone

from registry.database.row_locks import locked
from registry.models import Adapter, DailyDownloads, Version

Key = tuple[int, date]

#: Maximum seconds until a count is written.
WRITE_S = 2.0
#: Number of versions per transaction, which blocks other writers.
AT_ONCE = 200

log = logging.getLogger(__name__)


class _Tally:
    """Counts by version and day (UTC), for all threads of a process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[Key] = Counter()

    def add(self, counts: Mapping[Key, int]) -> None:
        """Add counts."""
        with self._lock:
            self._counts.update(counts)

    def take(self, limit: int) -> dict[Key, int]:
        """Remove and return the counts of some versions and days."""
        with self._lock:
            keys = sorted(self._counts)[:limit]
            return {key: self._counts.pop(key) for key in keys}


class _Writer(threading.Thread):
    """Writes counts in batches until the process ends."""

    def __init__(self) -> None:
        super().__init__(name="downloads", daemon=True)
        self.news = threading.Event()

    def run(self) -> None:
        """Wait for a count, wait for more, and write them all."""
        pause = threading.Event()
        while True:
            self.news.wait()
            self.news.clear()
            pause.wait(WRITE_S)
            try:
                if not write():
                    self.news.set()
            finally:
                connection.close()


class _Process:
    """The unwritten counts of this process, and the thread that writes them."""

    def __init__(self) -> None:
        self.tally = _Tally()
        self.is_writing = False
        self._writer: _Writer | None = None
        self._starting = threading.Lock()

    def wake(self) -> None:
        """Make the thread write soon; start it if needed, because forks have no threads."""
        with self._starting:
            if self._writer is None or not self._writer.is_alive():
                if self._writer is None:
                    atexit.register(write)
                self._writer = _Writer()
                self._writer.start()
            self._writer.news.set()


_process = _Process()


def write_regularly() -> None:
    """Make this process and its forks write counts every few seconds.

    The thread starts with the first count, so that it runs in the process that counts.
    """
    _process.is_writing = True


def count(*, version_id: int, is_primary: bool) -> None:
    """Count a download of a version's primary file."""
    if is_primary:
        _process.tally.add({(version_id, timezone.now().date()): 1})
        if _process.is_writing:
            _process.wake()


def write() -> bool:
    """Write all counts; return False if the database failed and the others are kept for later."""
    while taken := _process.tally.take(AT_ONCE):
        try:
            _add(taken)
        except Error as error:
            _process.tally.add(taken)
            log.warning("download counts will be written later: %s", error)
            return False
    return True


@transaction.atomic
def _add(counts: Mapping[Key, int]) -> None:
    """Add to the rows of versions, adapters and days; deleted versions are ignored.

    The adapters are locked first, so that two processes cannot deadlock.
    """
    versions = Version.objects.filter(pk__in={version for version, _day in counts})
    owners = dict(versions.values_list("pk", "adapter"))
    list(locked(Adapter.objects.filter(pk__in=owners.values())).values_list("pk"))
    known = {key: n for key, n in counts.items() if key[0] in owners}
    of_versions: Counter[int] = Counter()
    of_adapters: Counter[int] = Counter()
    for (version, _day), n in known.items():
        of_versions[version] += n
        of_adapters[owners[version]] += n
    for n, pks in _alike(of_adapters):
        Adapter.objects.filter(pk__in=pks).update(downloads=F("downloads") + n)
    for n, pks in _alike(of_versions):
        Version.objects.filter(pk__in=pks).update(downloads=F("downloads") + n)
    _add_to_days(known)


def _add_to_days(counts: Mapping[Key, int]) -> None:
    """Add to existing rows and insert the others.

    An upsert would use up an id each time. The locks of the adapters keep other processes from
    inserting the same rows in the meantime.
    """
    for day in {day for _version, day in counts}:
        of_day = {version: n for (version, other), n in counts.items() if other == day}
        rows = DailyDownloads.objects.filter(version__in=of_day, day=day)
        here = set(rows.values_list("version", flat=True))
        for n, pks in _alike({version: n for version, n in of_day.items() if version in here}):
            days = DailyDownloads.objects.filter(version__in=pks, day=day)
            days.update(count=F("count") + n)
        DailyDownloads.objects.bulk_create(
            DailyDownloads(version_id=version, day=day, count=n)
            for version, n in of_day.items()
            if version not in here
        )


def _alike(counts: Mapping[int, int]) -> Iterator[tuple[int, list[int]]]:
    """Yield each count with the keys that have it, so that one statement updates them all."""
    found: defaultdict[int, list[int]] = defaultdict(list)
    for pk, n in counts.items():
        found[n].append(pk)
    yield from found.items()

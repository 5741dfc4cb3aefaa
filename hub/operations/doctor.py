"""Diagnosis of a running hub, with hints.

Each probe examines one part and yields reports. Probes change nothing, except for a test file that
they delete again.
"""

from __future__ import annotations

import random
import shutil
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from celery import current_app
from django.conf import settings
from django.core.checks import ERROR
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connection, connections
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Count, Min, Q, Sum
from django.utils import timezone
from kombu.exceptions import KombuError
from redis import Redis
from redis.exceptions import RedisError

from hub import replica, shared_cache
from hub.config import stored_key
from hub.http.problems import is_full
from hub.operations import backup
from hub.operations.exposed_files import exposed
from hub.operations.missing_database import missing_hub
from hub.operations.probes import MIN_FREE_BYTES
from hub.operations.worker_status import unserved_families
from hub.plurals import counted, size_text
from hub.setting_checks import LOOPBACK, check_settings
from previews import worker_bases
from previews.render import BasesInvalid, load_bases
from registry import facet_counters, guards, storage, sweep
from registry.blobs import rehash
from registry.errors import StorageAway, StorageFull
from registry.jobs import selectors as job_selectors
from registry.models import Adapter, Blob, Job, JobState, Namespace, XetXorb
from registry.names import RESERVED_NAMES, is_device
from registry.search import maintenance
from registry.uploads.services import CHECKS_QUEUE
from registry.versions import reinspect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from django.db.models import QuerySet


#: Free space below which uploads may fail.
LOW_SPACE_BYTES = 2 * 2**30
#: A job that waits longer than this has no worker, or there are too few workers.
LONG_WAIT = timedelta(minutes=2)
FREE_SPACE = "Free space on that disk; until then uploads are refused, but nothing is lost."
MIGRATE = "Run `manage.py migrate`."
START_CHECKS = (
    "Start the hub with `manage.py up` (with the units: `systemctl restart lorary-checks`), or "
    "`manage.py worker --queues checks` alone; it takes a few seconds."
)
UNREACHABLE = "Check LORARY_DATABASE_URL, and that its server is running or its folder exists."
#: Age above which a daily backup was missed; the alert LoraryBackupOld has the same.
OLD_BACKUP = timedelta(hours=26)
#: Maximum number of missing blobs and invalid names that are listed; others are only counted.
NAMED = 5
#: With more stored files than this, a sample of this size is checked.
SAMPLE = 1000
#: Matches names that may be a device name of Windows.
DEVICE_LIKE = Q(key__regex=r"^(con|prn|aux|nul|com[0-9]|lpt[0-9])")


@dataclass(frozen=True, slots=True)
class Report:
    """One result; ``hint`` says what to do."""

    probe: str
    state: Literal["ok", "warning", "error"]
    message: str
    hint: str = ""


def examine(*, is_deep: bool = False) -> Iterator[Report]:
    """Yield the reports of all probes; without a database, of those that do not need it.

    Args:
        is_deep: Check every stored file; otherwise only a sample if there are many.
    """
    for name, probe in PROBES.items():
        try:
            if name == "database" and (missing := missing_hub()):
                yield Report(name, "error", missing)
                return
            yield from probe(is_deep=True) if is_deep and name in DEEP else probe()
        except DatabaseError as error:
            # SQLite reports "disk I/O error" if it cannot create its log.
            has_no_room = is_full(error) or _free_bytes() < MIN_FREE_BYTES
            is_away = connection.connection is None
            hint = FREE_SPACE if has_no_room else UNREACHABLE if is_away else MIGRATE
            what = "cannot be reached" if is_away else "reports an error"
            yield Report(name, "error", f"The database {what}: {str(error).strip()}", hint)
            if name == "database":
                return
        except StorageAway as error:
            hint = "See the storage report."
            yield Report(name, "error", f"The files cannot be examined: {error.__cause__}", hint)


def _settings() -> Iterator[Report]:
    found = check_settings()
    for message in found:
        state: Literal["warning", "error"] = "error" if message.level >= ERROR else "warning"
        yield Report("settings", state, str(message.msg), str(message.hint or ""))
    stored = stored_key(settings.LORARY.data)
    if stored and stored != settings.LORARY.secret_key:
        path = settings.LORARY.data / "secret_key"
        yield Report(
            "settings",
            "warning",
            f"LORARY_SECRET_KEY is set, and {path} contains another key, which is not used.",
            "Delete the file. If the variable were unset, sessions of the old key would be valid.",
        )
    elif not found:
        yield Report("settings", "ok", "All settings are valid.")


def _space() -> Iterator[Report]:
    free = _free_bytes()
    message = f"{free / 2**30:.1f} GiB free in {settings.LORARY.data}."
    if free < MIN_FREE_BYTES:
        yield Report("space", "error", f"The disk is full: {message}", FREE_SPACE)
    elif free < LOW_SPACE_BYTES:
        yield Report("space", "warning", message, "Free space, or move LORARY_DATA or _STORAGE.")
    else:
        yield Report("space", "ok", message)


def _free_bytes() -> int:
    return shutil.disk_usage(settings.LORARY.data).free


def _rights() -> Iterator[Report]:
    """Report files that other users of this machine can read."""
    places = " ".join(str(path) for path in exposed())
    if not places:
        yield Report(
            "rights", "ok", "Other users of this machine cannot read the database or the files."
        )
        return
    hint = f"Run `chmod o= {places}`."
    if settings.LORARY.accel:
        hint = f"Add nginx's user to their group and restart nginx. {hint}"
    yield Report("rights", "warning", f"Other users can read {places}.", hint)


def _database() -> Iterator[Report]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if plan:
        message = f"{counted(len(plan), 'migration')} not yet applied."
        yield Report("database", "error", message, MIGRATE)
    else:
        yield Report("database", "ok", f"{connection.display_name} responds and is up to date.")


def _replica() -> Iterator[Report]:
    """Report whether lists can be read from the replica, if there is one."""
    if replica.ALIAS not in connections:
        return
    cluster, written = replica.position(DEFAULT_DB_ALIAS, replica.WRITTEN)
    until = time.monotonic() + replica.MAX_LAG_S
    try:
        other, replayed = replica.position(replica.ALIAS, replica.REPLAYED)
        while other == cluster and 0 <= replayed < written and time.monotonic() < until:
            time.sleep(0.2)
            other, replayed = replica.position(replica.ALIAS, replica.REPLAYED)
        with connections[replica.ALIAS].cursor() as cursor:
            cursor.execute(_CONNECTIONS)
            used, most = cursor.fetchone()
    except DatabaseError as error:
        hint = "Check LORARY_DATABASE_REPLICA_URL. Until then, lists are read from the primary."
        message = f"The replica cannot be reached: {str(error).strip()}"
        yield Report("replica", "warning", message, hint)
        return
    if replayed < 0 or other != cluster:
        problem = "not a replica" if replayed < 0 else "a replica of another cluster"
        hint = "Set LORARY_DATABASE_REPLICA_URL to a server that streams from the primary."
        yield Report("replica", "error", f"The server of the replica is {problem}.", hint)
        return
    connected = f"Its server has {used} of {most} connections open."
    if replayed < written:
        message = f"The replica lacks {size_text(written - replayed)} of the primary's log."
        hint = "Until it catches up, lists are read from the primary; see its pg_stat_wal_receiver."
        yield Report("replica", "warning", f"{message} {connected}", hint)
        return
    yield Report("replica", "ok", f"The replica is up to date. {connected}")


#: The connections of a server, and how many it allows.
_CONNECTIONS = """
    SELECT (SELECT sum(numbackends)::int FROM pg_stat_database),
           current_setting('max_connections')::int
"""


def _guards() -> Iterator[Report]:
    """Report whether the triggers that protect published rows exist."""
    if lost := guards.missing(connection):
        message = f"Triggers that protect published data are missing: {', '.join(lost)}."
        yield Report("guards", "error", message, "Run `manage.py migrate`; it restores them.")
    else:
        yield Report(
            "guards",
            "ok",
            f"All {len(guards.triggers())} triggers that protect published data exist.",
        )


def _storage() -> Iterator[Report]:
    key, content = storage.new_key(), b"lorary doctor"
    try:
        storage.store().write(key, [content])
        with storage.store().open(key) as handle:
            is_same = handle.read() == content
        is_listed = any(storage.store().names(key))
        storage.store().delete(key)
    except StorageFull:
        message = f"The disk is full: no file can be written to {settings.LORARY.storage}."
        yield Report("storage", "error", message, FREE_SPACE)
        return
    except (OSError, StorageAway) as error:
        hint = "Check LORARY_STORAGE, and the permissions and credentials of this process."
        yield Report(
            "storage", "error", f"The storage does not work: {error.__cause__ or error}", hint
        )
        return
    if is_same and is_listed:
        yield Report("storage", "ok", "A file was written, read, listed and deleted.")
    else:
        yield Report(
            "storage",
            "error",
            "The storage returned different bytes from those that were written.",
            "Check the disk or the server.",
        )


def _links() -> Iterator[Report]:
    """Report links to a bucket that clients of a hub with TLS do not follow."""
    place = storage.parse_location(settings.LORARY.storage)
    if isinstance(place, Path) or not place.has_links:
        return
    address = place.links or place.endpoint
    if settings.LORARY.base_url.startswith("https://") and address.startswith("http://"):
        message = f"Downloads from this https hub are redirected to {address}: clients refuse this."
        hint = "Add links=https://… to LORARY_STORAGE, or links=no to send bytes through the hub."
        yield Report("links", "warning", message, hint)


def _names() -> Iterator[Report]:
    """Report owners and adapters with names that are no longer allowed."""
    owners = list(Namespace.objects.filter(key__in=RESERVED_NAMES).values_list("name", flat=True))
    rows = Namespace.objects.values_list("name", flat=True)
    owners += filter(is_device, rows.filter(DEVICE_LIKE))
    adapters = Adapter.objects.filter(DEVICE_LIKE).select_related("namespace")
    devices = [one.full_name for one in adapters if is_device(one.name)]
    found = sorted(owners) + sorted(devices)
    if not found:
        yield Report("names", "ok", "All names of owners and adapters are allowed for new ones.")
        return
    more = f" and {len(found) - NAMED:,} more" if len(found) > NAMED else ""
    message = f"Names that are no longer allowed: {', '.join(found[:NAMED])}{more}."
    hint = "They keep working. Owners of adapters with a Windows device name should rename them."
    yield Report("names", "warning", message, hint)


def _facets() -> Iterator[Report]:
    """Compare the counters of the browse page's filters with the adapters."""
    wrong = facet_counters.lacking(connection)
    if not wrong:
        yield Report("facets", "ok", "The counts of the browse page's filters are correct.")
        return
    field, value, lacks = wrong[0]
    message = (
        f"{counted(len(wrong), 'counter')} wrong, such as {field} {value!r}, off by {-lacks:+,}."
    )
    yield Report("facets", "error", message, "Run `manage.py facets rebuild`.")


def _broker() -> Iterator[Report]:
    try:
        with current_app.connection_for_write() as link:
            link.ensure_connection(max_retries=1, timeout=5)
    except (KombuError, OSError, ImportError) as error:  # kombu imports the library of a transport
        hint = (
            "Start the broker or check LORARY_BROKER_URL; "
            "until then workers look for jobs every second."
        )
        yield Report("broker", "error", f"The broker does not respond: {error}", hint)
        return
    yield Report("broker", "ok", "The broker responds.")


def _cache() -> Iterator[Report]:
    """Report where rate limits are counted."""
    url = settings.LORARY.cache_url
    if not url:
        message = "Each web process counts rate limits for itself, so they are multiplied."
        hint = "Set LORARY_CACHE_URL to count them for all processes and machines together."
        state: Literal["ok", "warning"] = "warning" if may_have_others() else "ok"
        yield Report("cache", state, message, hint)
        return
    try:
        with Redis.from_url(url, **shared_cache.OPTIONS) as client:
            client.ping()
    except (RedisError, OSError) as error:
        hint = "Start it or check LORARY_CACHE_URL; until then rate limits are not enforced."
        yield Report("cache", "error", f"The cache does not respond: {error}", hint)
        return
    yield Report("cache", "ok", "The cache responds; all processes count rate limits together.")


def may_have_others() -> bool:
    """Whether other machines can be part of this hub: its database is on the network."""
    host = connection.settings_dict.get("HOST", "")
    is_here = not host or host.startswith("/") or host in LOOPBACK  # "" and "/…": a socket
    return connection.vendor == "postgresql" and not is_here


def _late_jobs() -> QuerySet[Job]:
    """Return the jobs that could have run for longer than ``LONG_WAIT``."""
    now = timezone.now()
    ready = Q(run_after=None) | Q(run_after__lt=now - LONG_WAIT)
    return Job.objects.filter(ready, state=JobState.QUEUED, created_at__lt=now - LONG_WAIT)


def _jobs() -> Iterator[Report]:
    now, is_well, living = timezone.now(), True, job_selectors.alive()
    for row in _late_jobs().values("queue").annotate(count=Count("id"), oldest=Min("created_at")):
        is_well = False
        waited = int((now - row["oldest"]).total_seconds() // 60)
        jobs, queue = counted(row["count"], "job"), row["queue"]
        message = f"{jobs} waiting in {queue!r}, the oldest for {counted(waited, 'minute')}."
        start = f"`manage.py worker --queues {queue}`"
        busy = ", ".join(worker.name for worker in job_selectors.serving(queue, living))
        hint = (
            f"{busy} is working on them; start another one: {start}."
            if busy
            else f"Start a worker: {start}."
        )
        if not busy and queue.startswith("render") and worker_bases.is_file_empty():
            hint = "Previews are turned off: cancel the jobs at /operator, or start a worker."
        yield Report("jobs", "warning", message, hint)
    dead = Job.objects.filter(state=JobState.RUNNING, lease_until__lt=now).count()
    if dead:
        is_well = False
        message = f"{counted(dead, 'job')} left by a worker that died."
        yield Report("jobs", "warning", message, "Any worker of their queue will take them over.")
    for report in _unknown_tasks():
        is_well = False
        yield report
    if is_well:
        yield Report("jobs", "ok", "No job waits for a worker.")


def _unknown_tasks() -> Iterator[Report]:
    """Report tasks unknown to all workers for longer than an update takes."""
    rows = job_selectors.of_unknown_task().order_by().values("task")
    for row in rows.annotate(count=Count("id"), oldest=Min("started_at")):
        jobs, since = counted(row["count"], "job"), f"{row['oldest']:%Y-%m-%d %H:%M} UTC"
        message = f"{jobs} of the task {row['task']!r}, which no worker knows, since {since}."
        hint = "Start workers of the release that has it, or cancel the jobs at /operator."
        yield Report("jobs", "warning", message, hint)


def _workers() -> Iterator[Report]:
    """Report workers, whether one checks uploads, and families that no worker renders for."""
    living = job_selectors.alive()
    names = ", ".join(worker.name for worker in living) or "none"
    message = f"Workers seen recently: {names}."
    if job_selectors.serving(CHECKS_QUEUE, living):
        yield Report("workers", "ok", message)
    else:
        # Without jobs that wait for long it may be a hub that is just being started.
        waiting = _late_jobs().filter(queue=CHECKS_QUEUE).count()
        jobs = f"; {counted(waiting, 'job')} waiting" if waiting else ""
        state: Literal["error", "warning"] = "error" if waiting else "warning"
        yield Report("workers", state, f"{message} None checks uploads{jobs}.", START_CHECKS)
    unserved = unserved_families(living)
    if unserved and worker_bases.are_previews_off():
        count = sum(one.count for one in unserved)
        message = f"Previews are turned off; {counted(count, 'render')} waiting from before."
        hint = f"To turn them on, add base models to {settings.LORARY.bases} and start a worker."
        yield Report("workers", "ok", message, hint)
        return
    for one in unserved:
        message = f"Renders that wait for a worker for {one.title} ({one.family}): {one.count}."
        start = "Start one: `manage.py worker --queues render`."
        base = (
            "Add a base model of this family to a bases file (docs/previews.md) and start a worker."
        )
        yield Report("workers", "warning", message, start if one.has_base else base)


def _bases() -> Iterator[Report]:
    path = settings.LORARY.bases
    if not path.exists():
        return  # reported by the settings probe
    try:
        bases = load_bases(path)
    except BasesInvalid as error:
        yield Report(
            "bases", "error", str(error), "Correct the file; `manage.py bases` shows details."
        )
        return
    families = ", ".join(bases.families) or "none"
    yield Report("bases", "ok", f"{path} serves these families: {families}.")


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


def _search() -> Iterator[Report]:
    """Report adapters whose search documents are missing or outdated."""
    found = maintenance.check(is_quick=True)
    if found.is_well:
        yield Report("search", "ok", "Every adapter has a current search document.")
        return
    index = "" if found.has_index else " The full-text index is missing or of another release."
    message = f"Missing search documents: {found.missing:,}; outdated: {found.stale:,}.{index}"
    if found.is_rebuilding:
        yield Report("search", "warning", f"{message} A rebuild is running.", "Wait until it ends.")
        return
    if not found.has_spelling:
        message += " A rebuild was interrupted."
    yield Report("search", "error", message, "Run `manage.py search rebuild`.")


#: Probes that check only a sample by default.
DEEP = frozenset({"bytes", "orphans"})
PROBES: dict[str, Callable[..., Iterator[Report]]] = {
    "settings": _settings,
    "space": _space,
    "rights": _rights,
    "storage": _storage,
    "links": _links,
    "broker": _broker,
    "cache": _cache,
    "database": _database,
    "replica": _replica,
    "guards": _guards,
    "names": _names,
    "search": _search,
    "facets": _facets,
    "jobs": _jobs,
    "workers": _workers,
    "bases": _bases,
    "backup": _backups,
    "bytes": _bytes,
    "orphans": _orphans,
    "pieces": _pieces,
    "anatomies": _anatomies,
    "hashes": _hashes,
}

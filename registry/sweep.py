"""Deletes unreferenced files after a grace period.

Interrupted uploads and workers that are killed between a promotion and its commit leave
unreferenced files. Files are not deleted when they lose their last reference, because the same
bytes may be uploaded at that moment; ``blobs.promote`` protects such uploads.
"""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import connection, transaction
from django.db.models import CASCADE, Count, Exists, Min, OuterRef, Q, Sum
from django.utils import timezone

from registry import events, hooks, locks, storage
from registry.accounts import attempts
from registry.audit import services as audit
from registry.blobs import promote, sketches
from registry.blobs.selectors import keeping_files
from registry.database import facet_counters, planner
from registry.database.row_locks import locked
from registry.errors import Conflict
from registry.jobs import identity, leases, queue
from registry.models import Blob, File, Upload, UploadPart, UploadState, XetXorb
from registry.tokens import device_logins
from registry.uploads import retention

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from django.db.models import QuerySet

T = TypeVar("T")

#: Number of files and rows that are looked up, or changed, at a time.
BATCH = 1000
#: Seconds after which nobody continues a Xet upload to a web server of the release before.
PIECES_S = 86_400.0
_OPEN_STATES = (UploadState.RECEIVING, UploadState.CHECKING)


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep deleted, or would delete."""

    uploads_expired: int
    uploads_forgotten: int  # deleted rows of old uploads
    blobs: int  # released blobs
    files: int  # deleted files of the store, including those of expired uploads
    bytes_freed: int  # their size; 0 for parts in a bucket without an upload, whose size is unknown
    leftovers: int  # deleted files outside of the store, left by interrupted uploads
    leftover_bytes: int  # their size


class Waiting(NamedTuple):
    """Unreferenced files in their grace period."""

    files: int  # their number
    bytes: int  # their size
    next_at: datetime | None  # when the first of them can be deleted; None if there are none


def run_alone(*, rest_s: float = 0) -> Swept | None:
    """Sweep unless another process of the hub is sweeping, or has swept; then return None.

    Args:
        rest_s: Seconds from now for which no process sweeps again.
    """
    try:
        with leases.holding("sweep", rest_s=rest_s):
            return run()
    except Conflict:
        return None


def run_here() -> None:
    """Delete what processes of this machine left in their data directory; each machine does."""
    with suppress(Conflict), locks.holding("sweep", wait_s=0):
        _sweep_locks()
        identity.forget_dead()
        for sweep in hooks.machine_sweepers:
            sweep(is_dry=False)
        pieces = settings.LORARY.data / "xet"  # of Xet uploads, kept by the release before
        if pieces.exists() and pieces.stat().st_mtime < time.time() - PIECES_S:
            shutil.rmtree(pieces, ignore_errors=True)


def run(*, is_dry: bool = False) -> Swept:
    """Expire uploads, and delete old rows and files unreferenced for ``LORARY_GRACE_DAYS``.

    Args:
        is_dry: Only count what would be deleted.
    """
    forgotten = retention.forget(is_dry=is_dry)
    expired = retention.expire(is_dry=is_dry)
    lapsed = retention.expire_unpublished(is_dry=is_dry)
    left = leftovers(is_dry=is_dry)
    if not is_dry:
        _sweep_parts()
        _sweep_sessions()
        attempts.forget()
        device_logins.forget()
        queue.forget()
        audit.prune(is_daily=True)
    released = _sweep_rows(is_dry=is_dry)
    removed = _sum([*expired, _sweep_files(released, is_dry=is_dry)])
    if not is_dry:
        facet_counters.fold(connection)
        planner.refresh(connection)
    swept = Swept(
        uploads_expired=len(expired) + lapsed,
        uploads_forgotten=forgotten,
        blobs=len(released),
        files=removed.files,
        bytes_freed=removed.bytes,
        leftovers=left.files,
        leftover_bytes=left.bytes,
    )
    if not is_dry and any(asdict(swept).values()):
        events.record(actor=None, verb="swept", **asdict(swept))
    return swept


def leftovers(*, is_dry: bool = True) -> storage.Usage:
    """Delete, or only count, files outside of the store that interrupted uploads left."""
    return _sum(sweep(is_dry=is_dry) for sweep in hooks.sweepers | hooks.machine_sweepers)


def ripe() -> storage.Usage:
    """Return the unreferenced stored files that the next sweep will delete; one query.

    Files without a row are not included: only a dry run, which lists the store, finds them.
    """
    found = _ripe(timezone.now()).aggregate(files=Count("pk"), size=Sum("size_bytes", default=0))
    return storage.Usage(found["files"], found["size"])


def _ripe(now: datetime) -> QuerySet[Blob]:
    grace = timedelta(days=settings.LORARY.grace_days)
    return Blob.objects.filter(_unreferenced(), unreferenced_since__lt=now - grace)


def waiting() -> Waiting:
    """Return the unreferenced files that are in their grace period; one query.

    Files that no sweep has marked yet count as marked now.
    """
    now, grace = timezone.now(), timedelta(days=settings.LORARY.grace_days)
    is_young = Q(unreferenced_since=None) | Q(unreferenced_since__gte=now - grace)
    found = Blob.objects.filter(_unreferenced(), is_young).aggregate(
        files=Count("pk"), size=Sum("size_bytes", default=0), first=Min("unreferenced_since")
    )
    next_at = (found["first"] or now) + grace if found["files"] else None
    return Waiting(found["files"], found["size"], next_at)


def _sum(usages: Iterable[tuple[int, int]]) -> storage.Usage:
    files = size = 0
    for more_files, more_bytes in usages:
        files, size = files + more_files, size + more_bytes
    return storage.Usage(files, size)


def _sweep_sessions() -> None:
    """Delete expired sessions; Django does not delete them automatically."""
    Session.objects.filter(expire_date__lt=timezone.now()).delete()


def _unreferenced() -> Q:
    """Return the condition for blobs that no table of any app refers to.

    Rows that are deleted with a blob (CASCADE) only describe it. Uploads keep their blobs for a
    limited time, and files until their version is withdrawn.
    """
    keeping = keeping_files().filter(blob=OuterRef("pk"))
    condition = Q(~Exists(keeping), is_stored=True)
    for relation in Blob._meta.related_objects:  # noqa: SLF001 - Django's documented API
        if relation.on_delete is not CASCADE and relation.related_model not in {File, Upload}:
            condition &= Q(**{f"{relation.name}__isnull": True})
    recent = timezone.now() - timedelta(days=settings.LORARY.upload_days)
    waiting = Upload.objects.filter(
        Q(state=UploadState.CHECKING) | Q(state=UploadState.ACCEPTED, updated_at__gt=recent),
        blob__isnull=False,
    )
    return condition & ~Q(pk__in=waiting.values("blob"))


def _sweep_parts() -> None:
    """Delete the rows of parts of ended uploads; an upload can have ten thousand."""
    UploadPart.objects.exclude(upload__state__in=_OPEN_STATES).delete()


def _sweep_rows(*, is_dry: bool) -> set[str]:
    """Mark unreferenced blobs, and release those that were marked before the grace period.

    Blobs are read first and then written in batches, which check their rows again, so that other
    writers do not wait while all blobs are read.

    Returns:
        The digests of the released blobs.
    """
    now = timezone.now()
    orphans = Blob.objects.filter(_unreferenced())
    due = _ripe(now)
    if is_dry:
        return set(due.values_list("sha256", flat=True))
    marked = Blob.objects.filter(unreferenced_since__isnull=False)
    for ids in _batches(marked):
        unused = orphans.filter(pk__in=ids)
        used = Blob.objects.filter(pk__in=set(ids) - {*unused.values_list("pk", flat=True)})
        used.exclude(pk__in=unused.values("pk")).update(unreferenced_since=None)
    gone: set[str] = set()
    for ids in _batches(due):
        gone |= _release(due.filter(pk__in=ids))
    for ids in _batches(orphans.filter(unreferenced_since__isnull=True)):
        orphans.filter(pk__in=ids, unreferenced_since__isnull=True).update(unreferenced_since=now)
    return gone


def _batches(rows: QuerySet[Blob]) -> Iterator[list[int]]:
    """Yield the ids of blobs; all are read before the first batch is written."""
    ids = list(rows.order_by("pk").values_list("pk", flat=True))
    for begin in range(0, len(ids), BATCH):
        yield ids[begin : begin + BATCH]


def _release(due: QuerySet[Blob]) -> set[str]:
    """Release blobs and return their digests."""
    with transaction.atomic():
        # Publications lock blobs first; blobs referenced in the meantime are filtered out below.
        names = [blob.pk for blob in locked(Blob.objects.filter(pk__in=due.values("pk")))]
        gone = dict(due.filter(pk__in=names).values_list("pk", "sha256"))
        Blob.objects.filter(pk__in=gone).update(is_stored=False)
        sketches.forget(gone)
    return set(gone.values())


def _oldest() -> float:
    """Return the start of the grace period, in seconds since the epoch."""
    return time.time() - settings.LORARY.grace_days * 86_400


def _sweep_files(released: set[str], *, is_dry: bool) -> storage.Usage:
    """Delete files that no row refers to and that are older than the grace period.

    Rows decide whether a digest can be deleted (``blobs.promote``), so that several machines can
    share a bucket: the same bytes cannot be promoted between the check and the deletion.
    """
    oldest, gone, size = _oldest(), set[str](), 0
    for batch in _in_batches(storage.store().names()):
        old = [entry for entry in batch if entry.changed <= oldest and entry.name not in gone]
        kept = _kept_names({entry.name for entry in old} - (released if is_dry else set()))
        for entry in old:
            if entry.name in gone or (entry.name in kept and not entry.is_partial):
                continue  # already deleted with the first entry of this name
            if _sweep_one(entry, released=released, is_dry=is_dry):
                gone.add(entry.name)
                size += entry.size
    return storage.Usage(len(gone), size)


def _in_batches(items: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while batch := list(islice(rest, BATCH)):
        yield batch


def _kept_names(names: set[str]) -> set[str]:
    """Return the names that rows refer to now, so that they need not be checked one by one.

    The others are only candidates: ``promote`` decides about each of them.
    """
    keys = [name for name in names if len(name) == 32]
    open_uploads = Upload.objects.filter(storage_key__in=keys, state__in=_OPEN_STATES)
    xorbs = XetXorb.objects.filter(key__in=keys).values_list("key", flat=True)
    blobs = Blob.objects.filter(sha256__in=[name for name in names if len(name) != 32])
    kept = {*open_uploads.values_list("storage_key", flat=True), *xorbs}
    return kept | {*blobs.filter(is_stored=True).values_list("sha256", flat=True)}


def _sweep_one(entry: storage.Entry, *, released: set[str], is_dry: bool) -> bool:
    """Delete a file if nothing refers to it; return whether it was, or would be, deleted."""
    if len(entry.name) == 32:
        is_unkept = not _is_kept(entry.name, entry.changed)
        if is_unkept and not is_dry:
            storage.store().delete(entry.name)
        return is_unkept
    is_rest = entry.is_partial and not _is_young(entry.changed)  # of an interrupted copy
    if is_dry:
        return is_rest or promote.is_deletable(entry.name, is_released=entry.name in released)
    with promote.deleting(entry.name, size_bytes=entry.size) as is_mine:
        if is_mine or is_rest:
            storage.store().delete(entry.name, is_partial=not is_mine)
    return is_mine or is_rest


def _sweep_locks() -> None:
    """Delete the lock files of uploads that ended long ago."""
    oldest = _oldest()
    files = (file for file in locks.folder().iterdir() if len(file.name) == 32)
    for batch in _in_batches((file, file.stat().st_mtime) for file in files):
        old = {file: changed for file, changed in batch if changed < oldest}
        uploads = Upload.objects.filter(storage_key__in=[file.name for file in old])
        states = dict(uploads.values_list("storage_key", "state"))
        for file, changed in old.items():
            if not _is_in_use(states.get(file.name), changed):
                file.unlink(missing_ok=True)


def _is_kept(key: str, changed: float) -> bool:
    """Return whether a private file belongs to an open upload, or may still be promoted."""
    states = Upload.objects.filter(storage_key=key).values_list("state", flat=True)
    return _is_in_use(states.first(), changed)


def _is_in_use(state: str | None, changed: float) -> bool:
    """Return whether the upload of a key is open, or without one whether its file is recent."""
    return _is_young(changed) if state is None else state in _OPEN_STATES


def _is_young(changed: float) -> bool:
    return changed > time.time() - promote.promotion_timeout().total_seconds()

"""Removing what nobody refers to, after a grace period.

Orphans come from uploads that were cut off and from workers that died between a promotion and
its commit. Nothing is deleted at the moment it loses its last reference: an upload of the same
bytes may just be on its way. How the two keep out of each other's way is in ``blobs.promote``.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models import CASCADE, Count, Exists, Min, OuterRef, Q, Sum
from django.utils import timezone

from registry import hooks, locks, storage
from registry.accounts import attempts
from registry.blobs import promote
from registry.blobs.selectors import keeping_files
from registry.models import Blob, File, Upload, UploadPart, UploadState
from registry.uploads import expiry, retention

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class Swept:
    """What went, or would go.

    Attributes:
        uploads_expired: Uploads that ended.
        uploads_forgotten: Uploads that were decided long ago, whose rows go.
        blobs: Digests whose bytes are let go of.
        files: Files of the store, those of uploads that ended among them.
        bytes_freed: Their length; of parts in a bucket that no upload is about, unknown and 0.
        leftovers: Files beside the store: pieces of uploads that were cut off.
        leftover_bytes: Their length.
    """

    uploads_expired: int
    uploads_forgotten: int
    blobs: int
    files: int
    bytes_freed: int
    leftovers: int
    leftover_bytes: int


class Waiting(NamedTuple):
    """Files with a row that nothing refers to any more, within their grace period.

    Attributes:
        files: How many.
        bytes: Their length.
        next_at: When the first of them may go, None where there are none.
    """

    files: int
    bytes: int
    next_at: datetime | None


def run(*, is_dry: bool = False) -> Swept:
    """Forget old uploads, expire stale ones, remove orphans older than ``LORARY_GRACE_DAYS``.

    Args:
        is_dry: Only count what would go.
    """
    forgotten = retention.forget(is_dry=is_dry)
    expired = expiry.expire(is_dry=is_dry)
    lapsed = expiry.expire_unpublished(is_dry=is_dry)
    leftovers = _sum(sweep(is_dry=is_dry) for sweep in hooks.sweepers)
    if not is_dry:
        _sweep_parts()
        _sweep_sessions()
        attempts.forget()
    let_go = _sweep_rows(is_dry=is_dry)
    removed = _sum([*expired, _sweep_files(let_go, is_dry=is_dry)])
    if not is_dry:
        _sweep_locks()
    return Swept(
        uploads_expired=len(expired) + lapsed,
        uploads_forgotten=forgotten,
        blobs=len(let_go),
        files=removed.files,
        bytes_freed=removed.bytes,
        leftovers=leftovers.files,
        leftover_bytes=leftovers.bytes,
    )


def waiting() -> Waiting:
    """Return what a sweep leaves until its grace period is over; one query.

    What no sweep has marked yet counts as marked now.
    """
    now, grace = timezone.now(), timedelta(days=settings.LORARY.grace_days)
    is_young = Q(unreferenced_since=None) | Q(unreferenced_since__gte=now - grace)
    found = Blob.objects.filter(_unreferenced(), is_young).aggregate(
        files=Count("pk"), size=Sum("size_bytes", default=0), first=Min("unreferenced_since")
    )
    next_at = (found["first"] or now) + grace if found["files"] else None
    return Waiting(found["files"], found["size"], next_at)


def _sum(heaps: Iterable[tuple[int, int]]) -> storage.Usage:
    files = size = 0
    for more_files, more_bytes in heaps:
        files, size = files + more_files, size + more_bytes
    return storage.Usage(files, size)


def _sweep_sessions() -> None:
    """Remove sessions that have expired: Django keeps them until somebody does."""
    Session.objects.filter(expire_date__lt=timezone.now()).delete()


def _unreferenced() -> Q:
    """Condition for blobs that no table refers to, whichever app the table is of.

    Rows that would go with a blob (CASCADE) describe it and do not keep it. Uploads keep theirs for
    a while only, files until their version is withdrawn.
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
    """Forget the parts of uploads that are decided: a file may have come in ten thousand."""
    open_states = [UploadState.RECEIVING, UploadState.CHECKING]
    UploadPart.objects.exclude(upload__state__in=open_states).delete()


def _sweep_rows(*, is_dry: bool) -> set[str]:
    """Mark blobs that lost their last reference, let go of those marked long enough.

    Returns:
        The digests that are let go of.
    """
    now = timezone.now()
    loose = Blob.objects.filter(_unreferenced())
    ripe = loose.filter(unreferenced_since__lt=now - timedelta(days=settings.LORARY.grace_days))
    if is_dry:
        return set(ripe.values_list("sha256", flat=True))
    Blob.objects.exclude(pk__in=loose.values("pk")).filter(unreferenced_since__isnull=False).update(
        unreferenced_since=None
    )
    with transaction.atomic():
        # Those who publish lock the blobs first; what they referred to meanwhile is no longer ripe.
        locked = Blob.objects.select_for_update().filter(pk__in=ripe.values("pk"))
        names = [blob.pk for blob in locked]
        gone = dict(ripe.filter(pk__in=names).values_list("pk", "sha256"))
        Blob.objects.filter(pk__in=gone).update(is_stored=False)
    loose.filter(unreferenced_since__isnull=True).update(unreferenced_since=now)
    return set(gone.values())


def _oldest() -> float:
    """Return since when a file may be without a row, in seconds since the epoch."""
    return time.time() - settings.LORARY.grace_days * 86_400


def _sweep_files(let_go: set[str], *, is_dry: bool) -> storage.Usage:
    """Remove what no row keeps and what is older than the grace period.

    Whether bytes of a digest may go is decided by rows (``blobs.promote``), so that several
    machines may share a bucket: nobody can bring the same bytes between the look and the deletion.
    """
    oldest, gone, size = _oldest(), set[str](), 0
    for entry in storage.store().names():
        if entry.name in gone or entry.changed > oldest:
            continue  # what else there is of a name went with it
        if _sweep_one(entry, let_go=let_go, is_dry=is_dry):
            gone.add(entry.name)
            size += entry.size
    return storage.Usage(len(gone), size)


def _sweep_one(entry: storage.Entry, *, let_go: set[str], is_dry: bool) -> bool:
    """Remove one file if nothing keeps it; whether it went, or would go."""
    if len(entry.name) == 32:
        is_loose = not _is_kept(entry.name, entry.changed)
        if is_loose and not is_dry:
            storage.store().delete(entry.name)
        return is_loose
    is_rest = entry.is_partial and not _is_young(entry.changed)  # of a copy that was cut off
    if is_dry:
        return is_rest or promote.is_deletable(entry.name, is_released=entry.name in let_go)
    with promote.deleting(entry.name, size_bytes=entry.size) as is_mine:
        if is_mine or is_rest:
            storage.store().delete(entry.name, is_partial=not is_mine)
    return is_mine or is_rest


def _sweep_locks() -> None:
    """Remove lock files of keys whose uploads are long decided."""
    oldest = _oldest()
    for file in locks.folder().iterdir():
        changed = file.stat().st_mtime
        if len(file.name) == 32 and changed < oldest and not _is_kept(file.name, changed):
            file.unlink(missing_ok=True)


def _is_kept(key: str, changed: float) -> bool:
    """Whether a private file is an open upload's, or young enough to be on its way to a digest."""
    upload = Upload.objects.filter(storage_key=key).first()
    if upload is None:
        return _is_young(changed)
    return upload.state in {UploadState.RECEIVING, UploadState.CHECKING}


def _is_young(changed: float) -> bool:
    return changed > time.time() - promote.promotion_timeout().total_seconds()

"""Removes derived files that nobody uses or whose source is gone."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Sum
from django.utils import timezone

from registry.blobs.selectors import keeping_files
from registry.confined.running import work_folder
from registry.models import Blob, DerivedFile

#: Folders of work that are older than this were left by a process that was killed.
LEFT_S = 86_400
#: Files that were used more recently are not removed for their size. Without this, requests could
#: replace all files every hour, whose bytes stay for the grace period.
IDLE = timedelta(days=1)


def stored() -> QuerySet[DerivedFile]:
    """Return the files with bytes of their own, not those of their source."""
    return DerivedFile.objects.filter(blob__is_stored=True).exclude(blob=F("source"))


def stored_bytes() -> int:
    """Return their size; files with the same bytes count once."""
    blobs = Blob.objects.filter(pk__in=stored().values("blob"))
    return int(blobs.aggregate(size=Sum("size_bytes", default=0))["size"])


def forget(*, is_dry: bool = False) -> int:
    """Remove the rows whose source is gone, that nobody used, or that take too much room.

    Their bytes then have no reference, and the sweeper deletes them after the grace period.

    Returns:
        Their number.
    """
    oldest = timezone.now() - timedelta(days=settings.LORARY.derived_days)
    kept = keeping_files().filter(blob=OuterRef("source"), revision__adapter=OuterRef("adapter"))
    is_over = Q(pk__in=_over())
    gone = DerivedFile.objects.filter(~Exists(kept) | Q(used_at__lt=oldest) | is_over)
    count = gone.count()
    if not is_dry:
        gone.delete()
    return count


def _over() -> list[int]:
    """Return the least recently used files above three quarters of the total size."""
    over = stored_bytes() - settings.LORARY.derived_total_bytes * 3 // 4
    found = list[int]()
    idle = stored().filter(used_at__lt=timezone.now() - IDLE).order_by("used_at")
    for key, size in idle.values_list("pk", "blob__size_bytes"):
        if over <= 0:
            break
        found.append(key)
        over -= size
    return found


def sweep(*, is_dry: bool) -> tuple[int, int]:
    """Remove rows as ``forget``, and what killed processes left on this machine.

    Returns:
        Files and bytes that were deleted outside of the store.
    """
    forget(is_dry=is_dry)
    files = size = 0
    for left in _left_folders():
        sizes = [one.lstat().st_size for one in left.rglob("*") if not one.is_dir()]
        files, size = files + len(sizes), size + sum(sizes)
        if not is_dry:
            shutil.rmtree(left, ignore_errors=True)
    return files, size


def _left_folders() -> Iterator[Path]:
    folder = work_folder()
    for left in folder.iterdir() if folder.is_dir() else ():
        with suppress(FileNotFoundError):  # its process has just ended
            if left.stat().st_mtime < time.time() - LEFT_S:
                yield left

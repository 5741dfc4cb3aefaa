"""Removes derived files that nobody uses or whose source is gone."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from registry.blobs.selectors import keeping_files
from registry.models import DerivedFile

#: Folders of work that are older than this were left by a process that was killed.
LEFT_S = 86_400


def forget(*, is_dry: bool = False) -> int:
    """Remove the rows whose source is gone, or that nobody used; return how many.

    Their bytes then have no reference, and the sweeper deletes them after the grace period.
    """
    oldest = timezone.now() - timedelta(days=settings.LORARY.derived_days)
    kept = keeping_files().filter(blob=OuterRef("source"), revision__adapter=OuterRef("adapter"))
    gone = DerivedFile.objects.filter(~Exists(kept) | Q(used_at__lt=oldest))
    count = gone.count()
    if not is_dry:
        gone.delete()
    return count


def work_folder() -> Path:
    """Return the folder in which files are made."""
    folder: Path = settings.LORARY.data / "derived"
    return folder


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

"""Progress of upload checks, for pages and API."""

from __future__ import annotations

from collections.abc import Iterable

from registry.models import Job, Upload, UploadState
from registry.uploads.services import CHECK_TASK


def checked_bytes(rows: Iterable[Upload]) -> dict[int, int]:
    """Return upload id → bytes checked, for uploads whose checks are running."""
    keys = {f"{CHECK_TASK}:{row.pk}": row.pk for row in rows if row.state == UploadState.CHECKING}
    jobs = Job.objects.filter(key__in=keys) if keys else Job.objects.none()
    return {keys[key]: done for key, done in jobs.order_by("id").values_list("key", "done")}

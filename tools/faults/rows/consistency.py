"""What is in a hub: rows against rows, rows against bytes. Needs Django's settings."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import asdict
from datetime import timedelta
from io import StringIO
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.core.management import call_command
from django.db.models import Count
from django.utils import timezone

from registry import storage, sweep
from registry.jobs import queue
from registry.models import (
    OUT_STATES,
    Blob,
    Event,
    Finding,
    Job,
    JobState,
    Upload,
    UploadState,
    Version,
    XetXorb,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.db.models import QuerySet

BLOCK = 256 * 1024
COUNTED = ("Adapter", "File", "Revision", "UploadPart", "Version")


def _tokens(names: list[str]) -> list[str]:
    """Return a new token for each name; users are made where there are none."""
    found = []
    for name in names:
        output = StringIO()
        call_command("token", user=name, create=True, stdout=output, skip_checks=True)
        found.append(output.getvalue().strip())
    return found


def _sweep() -> dict[str, Any]:
    """Sweep as the worker does."""
    return asdict(sweep.run())


def _give_up(uploads: list[str]) -> int:
    """Make uploads as old as if nobody had come back to them."""
    long_ago = timezone.now() - timedelta(days=1)
    return Upload.objects.filter(public_id__in=uploads).update(expires_at=long_ago)


def _let_go() -> int:
    """Make accepted uploads as old as if nobody had published them in time."""
    long_ago = timezone.now() - timedelta(days=400)
    return Upload.objects.filter(state=UploadState.ACCEPTED).update(updated_at=long_ago)


def _wake(name: str, times: int) -> int:
    """Send wake-ups that nobody needs."""
    for _ in range(times):
        queue.wake(name)
    return times


def _rows() -> dict[str, int]:
    """Count the rows and files that something sent to the hub may leave."""
    found = {name: apps.get_model("registry", name).objects.count() for name in COUNTED}
    found["Blob"] = Blob.objects.filter(is_stored=True).count()
    found["open jobs"] = _open_jobs().count()
    found["open uploads"] = _open_uploads().count()
    found["files"] = sum(1 for _ in storage.store().names())
    return found


def _open_uploads() -> QuerySet[Upload]:
    return Upload.objects.filter(state__in=[UploadState.RECEIVING, UploadState.CHECKING])


def _open_jobs() -> QuerySet[Job]:
    return Job.objects.filter(state__in=[JobState.QUEUED, JobState.RUNNING])


def _audit() -> dict[str, Any]:
    """Compare rows with each other and with the bytes."""
    again = Job.objects.filter(attempt__gt=1)
    return {
        "uploads": dict(Counter(Upload.objects.values_list("state", flat=True))),
        "versions": dict(Counter(Version.objects.values_list("state", flat=True))),
        "open jobs": [f"{job.task} {job.key} {job.state} {job.reason}" for job in _open_jobs()],
        "begun again": again.count(),
        "most attempts": max((job.attempt for job in again), default=1),
        "faults": [*_of_versions(), *_of_blobs(), *_of_events(), *_of_findings()],
    }


def _of_versions() -> Iterator[str]:
    """What is out is out whole: files with bytes, its own tag, an offer, one event."""
    for version in Version.objects.filter(state__in=OUT_STATES).select_related("adapter"):
        where = f"version {version.pk} ({version.adapter.name} {version.name})"
        files = list(version.revision.files.select_related("blob"))
        aliases = dict(version.adapter.aliases.values_list("name", "revision_id"))
        event_count = Event.objects.filter(
            adapter=version.adapter, verb="version_published", subject=version.name
        ).count()
        if not files:
            yield f"{where} has no file"
        if any(not file.blob.is_stored for file in files):
            yield f"{where} has a file whose bytes were let go of"
        if aliases.get(version.name) != version.revision_id:
            yield f"{where} has no tag of its own"
        if version.adapter.latest_version_id is None:
            yield f"{where} is out and its adapter offers none"
        if event_count != 1:
            yield f"{where} was published {event_count} times"


def _of_blobs() -> Iterator[str]:
    """Every blob that says so has its bytes."""
    for blob in Blob.objects.filter(is_stored=True):
        digest = hashlib.sha256()
        try:
            with storage.store().open(blob.sha256) as handle:
                while chunk := handle.read(BLOCK):
                    digest.update(chunk)
        except FileNotFoundError:
            yield f"the bytes of {blob} are missing"
        else:
            if digest.hexdigest() != blob.sha256:
                yield f"{blob} has other bytes"


def _of_events() -> Iterator[str]:
    """No upload is accepted twice."""
    verdicts = Event.objects.filter(verb="upload_accepted").order_by()
    for row in verdicts.values("actor", "subject").annotate(n=Count("pk")).filter(n__gt=1):
        uploads = Upload.objects.filter(owner=row["actor"], path=row["subject"]).count()
        if row["n"] > uploads:
            yield f"{row['subject']} was accepted {row['n']} times in {uploads} uploads"


def _of_findings() -> Iterator[str]:
    """Two runs of the checks leave the findings of one."""
    rows = Finding.objects.filter(upload__isnull=False).order_by()
    for row in rows.values("upload", "position").annotate(n=Count("pk")).filter(n__gt=1):
        yield f"upload {row['upload']} has finding {row['position']} {row['n']} times"


def _orphans() -> list[str]:
    """Return the names of files that no row keeps."""
    kept = set(Blob.objects.filter(is_stored=True).values_list("sha256", flat=True))
    kept |= set(_open_uploads().values_list("storage_key", flat=True))
    kept |= set(XetXorb.objects.values_list("key", flat=True))  # for an hour
    return sorted({entry[0] for entry in storage.store().names()} - kept)


DOES: dict[str, Callable[..., Any]] = {
    "audit": _audit,
    "give_up": _give_up,
    "let_go": _let_go,
    "orphans": _orphans,
    "rows": _rows,
    "sweep": _sweep,
    "tokens": _tokens,
    "wake": _wake,
}

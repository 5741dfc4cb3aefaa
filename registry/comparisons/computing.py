"""Computes a comparison in a process of its own."""

from __future__ import annotations

from pathlib import Path

from django.utils.translation import gettext as _

from lorary.anatomy.claims.config import CONFIG_NAME
from registry.blobs.anatomies import config_beside
from registry.comparisons import process
from registry.confined import running
from registry.confined.running import Progress
from registry.derived import on_demand
from registry.derived.selectors import source_in
from registry.jobs.queue import Fail
from registry.models import DerivedState, Version, VersionComparison, VersionState
from registry.storage.base import refuse_when_full


def limit_s(row: VersionComparison) -> int:
    """Return the time limit of the work, in seconds."""
    primaries = [version.primary_file for version in (row.first, row.second)]
    return running.limit_s(sum(file.size_bytes for file in primaries if file is not None))


def compute(*, row: VersionComparison, progress: Progress) -> None:
    """Compute a queued comparison; safe to run again at any point.

    Raises:
        Fail: a version was withdrawn, or the process failed.
        Retry: the process was stopped; counts as an attempt if it was killed.
        StorageFull: the disk of this machine has no room.
        FileNotFoundError: the store lacks a file.
    """
    if row.state != DerivedState.QUEUED:
        return
    versions = (row.first, row.second)
    if any(version.state == VersionState.WITHDRAWN for version in versions):
        raise Fail(_("A version was withdrawn."))
    with refuse_when_full(), running.new_folder() as folder:
        order = _order(versions, folder) | {"seconds": limit_s(row)}
        outcome = running.run(process.__name__, folder, order, progress=progress)
    if "refused" in outcome:
        on_demand.refuse(row, outcome)
    else:
        on_demand.end(row, state=DerivedState.READY, result=outcome["result"])


def _order(versions: tuple[Version, Version], folder: Path) -> dict[str, object]:
    """Bring the files, and return what the process needs to know of them."""
    families = []
    for version, side in zip(versions, process.SIDES, strict=True):
        files = list(version.files)
        primary = next((file for file in files if file.is_primary), None)
        if primary is None:
            raise Fail(_("A version has no weights."))
        # The name is in messages.
        name = f"{version.adapter.full_name.replace('/', '.')}@{version.name}.safetensors"
        running.bring(primary.sha256, folder / side / name)
        if config := config_beside(primary, files):
            running.bring(config.sha256, folder / side / CONFIG_NAME)
        families.append(source_in(version, primary, files).options.family)
    return {"family": next(filter(None, families), "")}

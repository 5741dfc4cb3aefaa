"""Makes a derived file: in a process of its own, then stored under its digest."""

from __future__ import annotations

from pathlib import Path

from django.db import transaction
from django.utils.translation import gettext as _

from lorary.anatomy.claims.config import CONFIG_NAME
from registry import storage
from registry.blobs import promote
from registry.blobs.selectors import keeping_files
from registry.confined import running
from registry.confined.running import Progress
from registry.derived import on_demand, process, selectors
from registry.jobs.queue import Fail
from registry.models import DerivedFile, DerivedHash, DerivedState
from registry.scan.hashes import hashes_of_file
from registry.storage.base import refuse_when_full


def limit_s(row: DerivedFile) -> int:
    """Return the time limit of the work on a file, in seconds."""
    return running.limit_s(row.source.size_bytes)


def make(*, row: DerivedFile, progress: Progress) -> None:
    """Make a queued file, and mark it as ready or refused; safe to run again at any point.

    Args:
        progress: Called with the steps that are done and their number; may raise.

    Raises:
        Fail: the source is gone, or the process failed.
        Retry: the process was stopped; counts as an attempt if it was killed.
        StorageFull: the disk of this machine has no room.
        FileNotFoundError: the store lacks the source.
    """
    if row.state != DerivedState.QUEUED:
        return
    kept = keeping_files().filter(blob=row.source_id, revision__adapter=row.adapter_id)
    if not kept.exists():
        raise Fail(_("The source was withdrawn."))
    with refuse_when_full(), running.new_folder() as folder:
        _bring_source(row, folder)
        outcome = running.run(process.__name__, folder, _order(row), progress=progress)
        if "refused" in outcome:
            on_demand.refuse(row, outcome)
            return
        hashes: dict[str, str] = {}
        if outcome["path"] == process.SOURCE:
            written = storage.Written(row.source.size_bytes, row.source.sha256)
        else:
            hashes = hashes_of_file(folder / outcome["path"])
            with (folder / outcome["path"]).open("rb") as handle:
                written = promote.put(storage.chunks_of(handle))
    with transaction.atomic():
        if written.sha256 != row.source.sha256:
            _keep_hashes(row, hashes)
        blob = row.source if written.sha256 == row.source.sha256 else promote.mark_stored(written)
        on_demand.end(
            row,
            state=DerivedState.READY,
            blob=blob,
            config=outcome["config"],
            certificate=outcome["certificate"],
        )


def _keep_hashes(row: DerivedFile, hashes: dict[str, str]) -> None:
    """Store the hashes by which the file is recognised, also after its removal."""
    form = selectors.wanted_of(row)._asdict()
    DerivedHash.objects.bulk_create(
        [
            DerivedHash(
                adapter_id=row.adapter_id, source_id=row.source_id, **form, kind=kind, value=value
            )
            for kind, value in hashes.items()
        ],
        ignore_conflicts=True,
    )


def _order(row: DerivedFile) -> dict[str, object]:
    return {
        "naming": row.naming,
        "family": row.family,
        "max_rank": row.max_rank,
        "strip": row.is_stripped,
        "seconds": limit_s(row),
    }


def _bring_source(row: DerivedFile, folder: Path) -> None:
    running.bring(row.source.sha256, folder / process.SOURCE)
    if row.config_sha256:
        running.bring(row.config_sha256, (folder / process.SOURCE).with_name(CONFIG_NAME))

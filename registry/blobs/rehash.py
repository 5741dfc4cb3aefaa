"""Reads stored weights again to compute what older releases did not: hashes, sketches, energies.

Each blob is updated in its own transaction, so a run may be interrupted and continued. Bytes that
do not match their digest are reported and left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from django.db import transaction
from django.db.models import QuerySet

from lorary.algebra.recognition.sketch import FORM
from registry import events, storage
from registry.blobs import anatomies, sketches
from registry.models import Blob, BlobAnatomy, HashKind
from registry.scan import checks

_NAMELESS = "adapter" + checks.WEIGHTS

#: Files after whose sketches relations are written, so that an interrupted run leaves few.
RELATED_EVERY = 20


@dataclass(slots=True)
class Rehashed:
    """The result of a run."""

    read: int = 0  # files that were read
    changed: int = 0  # files whose hashes, sketch or energies changed (or would change)
    damaged: list[str] = field(default_factory=list)  # digests of files whose bytes differ
    missing: list[str] = field(default_factory=list)  # digests of files whose bytes are missing


def without_all_hashes() -> QuerySet[Blob]:
    """Return stored weights without all kinds of hashes, a current sketch or energies."""
    known = _weights().filter(
        hash_rows__kind=HashKind.WEIGHTS_F16, sketch__form=FORM, anatomy__energies__isnull=False
    )
    return _weights().exclude(pk__in=known.values("pk"))


def _weights() -> QuerySet[Blob]:
    return Blob.objects.filter(is_stored=True, anatomy__isnull=False)


def run(
    *,
    is_dry: bool = False,
    includes_current: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Rehashed:
    """Read stored weights and write their hashes, sketches and energies.

    Args:
        is_dry: Read and compare, write nothing.
        includes_current: Also verify files whose hashes are known.
        progress: Called with files done and total, after each file.
    """
    chosen = _weights() if includes_current else without_all_hashes()
    keys = list(chosen.order_by("pk").values_list("pk", flat=True))
    result = Rehashed()
    for done, key in enumerate(keys, start=1):
        _renew(Blob.objects.select_related("anatomy").get(pk=key), result, is_dry=is_dry)
        if not is_dry and done % RELATED_EVERY == 0:
            sketches.relate_new()
        if progress is not None:
            progress(done, len(keys))
    if not is_dry:
        sketches.relate_new()
    if not is_dry and result.changed:
        events.record(actor=None, verb="files_rehashed", count=result.changed)
    return result


def _renew(blob: Blob, result: Rehashed, *, is_dry: bool) -> None:
    """Read one file and update its hashes, its sketch and its energies."""
    try:
        with storage.store().open(blob.sha256) as handle:
            subject = checks.Subject(_NAMELESS, blob.size_bytes, handle)
            found = checks.read_hashes(subject)
    except FileNotFoundError:
        result.missing.append(blob.sha256)
        return
    result.read += 1
    if found["sha256"] != blob.sha256:
        result.damaged.append(blob.sha256)
    elif not _is_known(blob, subject):
        result.changed += 1
        if not is_dry:
            with transaction.atomic():
                anatomies.save_hashes(blob=blob, subject=subject)
                anatomies.save_energies(blob=blob, energies=subject.energies)
                sketches.save(blob=blob, sketch=subject.sketch, document=blob.anatomy.document)


def _is_known(blob: Blob, subject: checks.Subject) -> bool:
    """Whether the rows match what was read, or the header is invalid by today's rules."""
    rows = dict(blob.hash_rows.values_list("kind", "value"))
    return not subject.hashes or (
        rows == subject.hashes
        and blob.claimed_hashes == subject.claimed_hashes
        and _has_energies(blob.anatomy, subject.energies)
        and sketches.is_current(blob=blob, sketch=subject.sketch)
    )


def _has_energies(anatomy: BlobAnatomy, found: Mapping[str, float]) -> bool:
    """Whether the same blocks are measured; rounding errors depend on the machine."""
    return anatomy.energies is not None and set(anatomy.energies) == set(found)

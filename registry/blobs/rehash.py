"""Reading stored weights in whole again, for hashes that were not computed before.

Each blob is renewed in a transaction of its own, so a run may be cut off at any point and goes on
where it was. Bytes that are no longer those of their name are told and left alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from django.db import transaction

from registry import storage
from registry.blobs import anatomies
from registry.models import Blob, HashKind
from registry.scan import checks

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.models import QuerySet

_NAMELESS = "adapter" + checks.WEIGHTS


@dataclass(slots=True)
class Rehashed:
    """What was read.

    Attributes:
        read: Files read in whole.
        changed: Files of which more hashes are known now (or would be).
        damaged: Digests of files whose bytes are others now.
        missing: Digests of files whose bytes are gone.
    """

    read: int = 0
    changed: int = 0
    damaged: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def lacking() -> QuerySet[Blob]:
    """Return stored weights that were accepted before every kind of hash was computed."""
    return _weights().exclude(hash_rows__kind=HashKind.WEIGHTS_F16)


def _weights() -> QuerySet[Blob]:
    return Blob.objects.filter(is_stored=True, anatomy__isnull=False)


def run(
    *,
    is_dry: bool = False,
    includes_current: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Rehashed:
    """Read stored weights in whole and write their hashes.

    Args:
        is_dry: Read and compare, write nothing.
        includes_current: Also files whose hashes are known, to tell whether they still are theirs.
        progress: Gets files done and files in all, after each.
    """
    chosen = _weights() if includes_current else lacking()
    keys = list(chosen.order_by("pk").values_list("pk", flat=True))
    told = Rehashed()
    for done, key in enumerate(keys, start=1):
        _renew(Blob.objects.get(pk=key), told, is_dry=is_dry)
        if progress is not None:
            progress(done, len(keys))
    return told


def _renew(blob: Blob, told: Rehashed, *, is_dry: bool) -> None:
    """Read one file, and write what is not known of it."""
    try:
        with storage.store().open(blob.sha256) as handle:
            subject = checks.Subject(_NAMELESS, blob.size_bytes, handle)
            found = checks.read_hashes(subject)
    except FileNotFoundError:
        told.missing.append(blob.sha256)
        return
    told.read += 1
    if found["sha256"] != blob.sha256:
        told.damaged.append(blob.sha256)
    elif not _is_known(blob, subject):
        told.changed += 1
        if not is_dry:
            with transaction.atomic():
                anatomies.keep_hashes(blob=blob, subject=subject)


def _is_known(blob: Blob, subject: checks.Subject) -> bool:
    """Whether the rows say what was read; of a header that no reader takes any more, nothing is."""
    rows = dict(blob.hash_rows.values_list("kind", "value"))
    return not subject.hashes or (
        rows == subject.hashes and blob.claimed_hashes == subject.claimed_hashes
    )

"""Imports and removes checkpoints that an operator knows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from django.db import transaction

from registry import events
from registry.lineages import tables
from registry.models import KnownCheckpoint

_BATCH = 500


@transaction.atomic
def import_table(*, path: Path) -> int:
    """Add the entries of a table, and replace those with the same hash or number.

    Returns:
        The number of entries.

    Raises:
        TableInvalid: The file or one of its rows is not valid; nothing is imported.
    """
    entries = tables.read(path)
    KnownCheckpoint.objects.bulk_create(
        [KnownCheckpoint(**_fields(entry)) for entry in entries],
        batch_size=_BATCH,
        update_conflicts=True,
        unique_fields=["kind", "value"],
        update_fields=["lineage", "name", "source", "imported_at"],
    )
    events.record(actor=None, verb="checkpoints_imported", subject=path.name, count=len(entries))
    return len(entries)


def _fields(entry: tables.Entry) -> dict[str, str]:
    return {key: value for key, value in entry._asdict().items() if key != "line"}


@transaction.atomic
def remove(*, names: Sequence[str]) -> int:
    """Remove entries by hash, number or lineage; return how many there were."""
    found = KnownCheckpoint.objects.filter(value__in=[name.lower() for name in names])
    for name in names:
        found |= KnownCheckpoint.objects.filter(lineage__iexact=name)
    count = found.delete()[0]
    if count:
        events.record(actor=None, verb="checkpoints_removed", subject=", ".join(names), count=count)
    return count

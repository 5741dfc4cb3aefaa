"""Checks and rebuilds the search documents and the full-text index."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError, connection, transaction

from registry.database import table_locks
from registry.database.row_locks import locked
from registry.jobs import leases
from registry.models import Adapter, SearchDocument
from registry.search import documents, schema, spelling
from registry.search.documents import FORM, Described

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from django.db.backends.base.base import BaseDatabaseWrapper

#: Number of adapters read and written at a time.
BATCH = 500
#: Name of the lease of a rebuild.
_LEASE = "search rebuild"


@dataclass(frozen=True, slots=True)
class Checked:
    """The result of a check.

    Attributes:
        adapters: Number of adapters.
        missing: Adapters without a document.
        stale: Documents from an older release, or that differ from their adapters.
        has_index: Whether the full-text index matches the documents.
        has_spelling: Whether the last rebuild is complete, so that all words are known.
        is_rebuilding: Whether a rebuild is running, which may correct what is reported.
    """

    adapters: int
    missing: int
    stale: int
    has_index: bool
    has_spelling: bool
    is_rebuilding: bool

    @property
    def is_well(self) -> bool:
        """Whether all documents, the index and the words for corrections are up to date."""
        return self.has_index and self.has_spelling and not self.missing and not self.stale


def check(*, is_quick: bool = False, progress: Callable[[int, int], None] | None = None) -> Checked:
    """Compare documents and index with the adapters.

    Args:
        is_quick: Only look for documents that are missing or have an older ``FORM``.
        progress: Called with (checked, all).
    """
    total = Adapter.objects.count()
    documented = SearchDocument.objects.values("pk")
    missing = Adapter.objects.exclude(pk__in=documented).count()
    # In this order, so that a rebuild that begins in between does not look interrupted.
    has_spelling, is_rebuilding = spelling.is_complete(), leases.is_held(_LEASE)
    if is_quick:
        stale = SearchDocument.objects.exclude(form=FORM).count()
        has_index = schema.is_installed(connection)
        return Checked(total, missing, stale, has_index, has_spelling, is_rebuilding)
    stale = done = 0
    for pks in _batches():
        batch = _described(pks)
        there = SearchDocument.objects.in_bulk(pks)
        stale += sum(
            not _is_current(there[pk], documents.compose(given))
            for pk, given in batch.items()
            if pk in there
        )
        done += len(batch)
        if progress is not None:
            progress(done, total)
    has_index = schema.is_installed(connection) and _is_index_right()
    return Checked(total, missing, stale, has_index, has_spelling, is_rebuilding)


def _is_current(document: SearchDocument, wanted: Mapping[str, Any]) -> bool:
    return all(getattr(document, column) == value for column, value in wanted.items())


def _is_index_right() -> bool:
    """Return whether SQLite's index matches the documents; PostgreSQL's always does."""
    if connection.vendor != "sqlite":
        return True
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            # With rank 1 the check includes the table that the index is built from.
            cursor.execute(schema.CHECK)
    except DatabaseError:
        return False
    return True


def rebuild(*, progress: Callable[[int, int], None] | None = None) -> int:
    """Rewrite all documents and rebuild the index; return how many documents changed.

    Searches work meanwhile if the index exists, except at the end, when PostgreSQL rebuilds it.
    Each batch locks its adapters, so no edit is lost. After an interruption, ``check`` reports that
    a rebuild is needed, which then continues.

    Raises:
        Conflict: Another rebuild is running.
        LocksUnavailable: Another process kept a table or row locked.
    """
    with leases.holding(_LEASE):
        return _rebuild(progress)


def _rebuild(progress: Callable[[int, int], None] | None) -> int:
    total, changed, done = Adapter.objects.count(), 0, 0
    marker_id = spelling.begin_rebuild()
    if not schema.is_installed(connection):
        # What is left of it would fail when documents are written.
        _retried(schema.remove, "Removing what is left of the search index")
    words = set[str]()
    for pks in _batches():
        with transaction.atomic():
            list(locked(Adapter.objects.filter(pk__in=pks)).values_list("pk"))
            batch = _described(pks)
            there = SearchDocument.objects.in_bulk(pks)
            composed = {pk: documents.compose(given) for pk, given in batch.items()}
            new = [
                SearchDocument(adapter_id=pk, **wanted)
                for pk, wanted in composed.items()
                if pk not in there or not _is_current(there[pk], wanted)
            ]
            documents.store(new)
        words |= documents.spelled_words(batch.values())
        changed += len(new)
        done += len(batch)
        if progress is not None:
            progress(done, total)
    spelling.rebuild(words, marker_id)
    if schema.is_installed(connection):
        _retried(schema.rebuild, "Rebuilding the search index")
    else:
        _retried(schema.install, "Creating the search index")
    return changed


def _retried(change: Callable[[BaseDatabaseWrapper], None], name: str) -> None:
    table_locks.retried(connection, lambda: change(connection), name=name)


def _described(pks: Sequence[int]) -> dict[int, Described]:
    """Return adapter id → what its document is made of."""
    rows = Adapter.objects.select_related("namespace", "latest_version").prefetch_related("tags")
    files = documents.files_of(pks)
    return {one.pk: Described.of(one, files.get(one.pk, ())) for one in rows.filter(pk__in=pks)}


def _batches() -> Iterator[list[int]]:
    """Yield the ids of all adapters, ``BATCH`` at a time."""
    pks = Adapter.objects.order_by("pk").values_list("pk", flat=True)
    last = 0
    while batch := list(pks.filter(pk__gt=last)[:BATCH]):
        yield batch
        last = batch[-1]

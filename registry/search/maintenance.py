"""Checks of the search documents against their adapters, and their renewal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db import DatabaseError, connection, transaction

from registry.models import Adapter, SearchDocument
from registry.search import documents, schema, spelling
from registry.search.documents import FORM, Described

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.db.models import QuerySet

#: Adapters read and written at a time.
BATCH = 500

_COMPARED = (*schema.COLUMNS, "rank", "size_bytes")


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found.

    Attributes:
        adapters: Number of adapters.
        missing: Adapters without a document.
        stale: Documents that an older release wrote, or that differ from their adapters.
        has_index: Whether the full-text index agrees with the documents.
    """

    adapters: int
    missing: int
    stale: int
    has_index: bool

    @property
    def is_well(self) -> bool:
        """Whether every adapter is found by its current words."""
        return self.has_index and not self.missing and not self.stale


def check(*, is_quick: bool = False, progress: Callable[[int, int], None] | None = None) -> Checked:
    """Compare documents and index with the adapters.

    Args:
        is_quick: Only look for documents that are missing or of another form.
        progress: Called with (checked, all).
    """
    total = Adapter.objects.count()
    documented = SearchDocument.objects.values("pk")
    missing = Adapter.objects.exclude(pk__in=documented).count()
    if is_quick:
        stale = SearchDocument.objects.exclude(form=FORM).count()
        return Checked(total, missing, stale, schema.is_installed(connection))
    stale = done = 0
    for pks in _batches():
        batch = list(_described().filter(pk__in=pks))
        there = SearchDocument.objects.in_bulk([adapter.pk for adapter in batch])
        stale += sum(
            adapter.pk in there and not _is_current(there[adapter.pk], adapter) for adapter in batch
        )
        done += len(batch)
        if progress is not None:
            progress(done, total)
    return Checked(total, missing, stale, schema.is_installed(connection) and _is_index_right())


def _is_current(document: SearchDocument, adapter: Adapter) -> bool:
    wanted = documents.compose(Described.of(adapter))
    return all(getattr(document, column) == value for column, value in wanted.items())


def _is_index_right() -> bool:
    """Whether SQLite's index agrees with the documents; PostgreSQL's always does."""
    if connection.vendor != "sqlite":
        return True
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            # With rank 1 the check includes the table that the index was made of.
            cursor.execute(schema.CHECK)
    except DatabaseError:
        return False
    return True


def rebuild(*, progress: Callable[[int, int], None] | None = None) -> int:
    """Write all documents and the index again; return how many documents changed.

    Searches work meanwhile. Each batch locks its adapters, so no edit is lost.
    """
    total, changed, done = Adapter.objects.count(), 0, 0
    schema.install(connection)
    words = set[str]()
    for pks in _batches():
        with transaction.atomic():
            list(Adapter.objects.select_for_update().filter(pk__in=pks).values_list("pk"))
            batch = {one: Described.of(one) for one in _described().filter(pk__in=pks)}
            there = SearchDocument.objects.in_bulk([adapter.pk for adapter in batch])
            made = [
                SearchDocument(adapter=adapter, **documents.compose(given))
                for adapter, given in batch.items()
            ]
            new = [row for row in made if not _is_same(row, there.get(row.pk))]
            documents.store(new)
        words |= documents.spelled_words(batch.values())
        changed += len(new)
        done += len(made)
        if progress is not None:
            progress(done, total)
    spelling.learn(words)
    spelling.forget_all_but(words)
    schema.rebuild(connection)
    return changed


def _is_same(row: SearchDocument, other: SearchDocument | None) -> bool:
    names = (*_COMPARED, "form")
    return other is not None and all(getattr(row, n) == getattr(other, n) for n in names)


def _described() -> QuerySet[Adapter]:
    """Return adapters with what their documents are made of."""
    rows = Adapter.objects.select_related("namespace", "latest_version")
    return rows.prefetch_related("tags").order_by("pk")


def _batches() -> Iterator[list[int]]:
    """Yield the ids of all adapters, ``BATCH`` at a time."""
    pks = Adapter.objects.order_by("pk").values_list("pk", flat=True)
    last = 0
    while batch := list(pks.filter(pk__gt=last)[:BATCH]):
        yield batch
        last = batch[-1]

"""Fills a hub with generated adapters, batch by batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from django.db import connection, transaction
from django.db.models import F

from hub.generation import adapters, pictures, tables, vocabulary
from hub.generation.rows import Rows
from hub.generation.vocabulary import Zipf
from previews.models import Recipe
from registry.database import facet_counters, guards
from registry.models import Namespace, NamespaceName, SearchDocument, Tag
from registry.names import RESERVED_NAMES
from registry.search import maintenance, schema

if TYPE_CHECKING:
    from datetime import datetime

    from hub.generation.rows import Owner

#: Adapters in a transaction.
BATCH = 500
#: One owner for this many adapters, and at least a few.
ADAPTERS_OF_OWNER, MIN_OWNERS = 20, 5

Progress = Callable[[str, int, int], None]


def fill(*, adapters_wanted: int, seed: int, end: datetime, progress: Progress) -> int:
    """Add generated adapters with their owners, and return the number of rows.

    Args:
        adapters_wanted: How many.
        seed: The rows are the same for the same number, seed and end on an empty hub.
        end: When the last of them was published.
        progress: Called with what is written, how many so far, and how many in all.
    """
    tables.prepare()
    if not SearchDocument.objects.exists():
        # Building the index from all documents is several times faster than adding to it.
        schema.remove(connection)
    shared = pictures.store(seed)
    rows = Rows(seed=seed, total=adapters_wanted, end=end, pictures=shared)
    rows.recipe_ids = dict(Recipe.objects.values_list("digest", "pk"))
    _add_tags(rows)
    # Triggers would take longer than the inserts; counters are counted at the end.
    with guards.lifted(connection):
        count = _fill(rows, progress)
    _charge(rows)
    tables.analyze()  # without it, PostgreSQL looks up each mark of a tag, which takes minutes
    facet_counters.repair(connection)
    maintenance.rebuild(progress=lambda *counts: progress("search documents", *counts))
    tables.finish(rows.tables)
    return count


def _fill(rows: Rows, progress: Progress) -> int:
    owners = _owners(rows, max(MIN_OWNERS, rows.total // ADAPTERS_OF_OWNER))
    count = _insert(rows)
    for start in range(0, rows.total, BATCH):
        batch = range(start, min(start + BATCH, rows.total))
        for index in batch:
            owner = owners.draw(vocabulary.seeded(rows.seed, index, "owner"))
            adapters.add(rows, index, owner)
        count += _insert(rows)
        progress("adapters", batch.stop, rows.total)
    return count


def _insert(rows: Rows) -> int:
    with transaction.atomic():
        return rows.insert()


def _charge(rows: Rows) -> None:
    """Add the published bytes to the use of each namespace."""
    with transaction.atomic():
        for namespace, size in rows.used_bytes.items():
            Namespace.objects.filter(pk=namespace).update(used_bytes=F("used_bytes") + size)


def _owners(rows: Rows, count: int) -> Zipf[Owner]:
    taken = {*RESERVED_NAMES, *NamespaceName.objects.values_list("key", flat=True)}
    return Zipf([rows.owner(number, taken) for number in range(count)], 0.8)


def _add_tags(rows: Rows) -> None:
    """Add the tags that are not there."""
    known = dict(Tag.objects.values_list("name", "pk"))
    new = [Tag(name=name) for name in vocabulary.TAGS if name not in known]
    Tag.objects.bulk_create(new, batch_size=BATCH)
    rows.tag_ids = known | {tag.name: tag.pk for tag in new}

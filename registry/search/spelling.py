"""Finds words similar to a misspelt one.

Each known word is stored under its *keys*: the word itself and the word without one letter, for
each letter. A misspelling by one letter (wrong, missing, added, or two swapped) shares a key with
its word, so an ordinary index finds all candidates, including short words, on both databases.
Words with two errors are found if their first letters are correct.

Source: the symmetric deletion of SymSpell (Wolf Garbe, 2012).
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from django.db import IntegrityError, connection, transaction
from django.db.models import F
from rapidfuzz.distance import OSA

from registry.database import bulk_inserts, table_locks
from registry.models import SpellingKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

#: Minimum and maximum length of words that have keys; shorter ones have too many neighbours.
MIN_LETTERS, MAX_LETTERS = 4, 24
#: Minimum length of words in which two errors are corrected, and how many first letters must be
#: correct.
LONG, HEAD = 7, 4
#: Maximum number of candidates that are compared, and that are returned.
MAX_COMPARED, MAX_SIMILAR = 2_000, 5

#: Trigger words often have digits, such as `mystl3`; numbers and `v2` are not spelt.
_SPELT = re.compile(r"(?:\d{0,21}[^\W\d_]){3}[^\W_]{0,21}+\Z")
_BATCH = 500
#: Words of which a rebuild stores or deletes all keys in one transaction: about a second.
_MANY = 10_000
#: Key of the marker row, which exists until a rebuild is complete.
_MARKER = ""


def is_spelt(word: str) -> bool:
    """Whether a word can be misspelt: three letters or more, neither very short nor very long."""
    return MIN_LETTERS <= len(word) <= MAX_LETTERS and _SPELT.match(word) is not None


def keys_of(word: str) -> set[str]:
    """Return a word and the forms that lack one of its letters."""
    return {word, *(word[:place] + word[place + 1 :] for place in range(len(word)))}


def all_keys(word: str) -> set[str]:
    """Return the keys under which a word is stored; a long word also has one for its beginning."""
    return keys_of(word) | ({_head(word)} if len(word) >= LONG - 1 else set())


def _head(word: str) -> str:
    """Return the key shared by words with the same beginning; words never contain a hyphen."""
    return f"{word[:HEAD]}-"


def learn(words: Iterable[str]) -> None:
    """Store the keys of words that are not yet known.

    Until a rebuild is complete, older keys of the words are replaced: the rebuild may have read the
    document before, and it keeps the words that were stored after its start.
    """
    spelt = sorted({word for word in words if is_spelt(word)})
    for start in range(0, len(spelt), _BATCH):
        batch = spelt[start : start + _BATCH]
        looked_up = [_MARKER, *batch]
        same = SpellingKey.objects.filter(key__in=looked_up, word__in=looked_up)
        known = {word: pk for pk, key, word in same.values_list("pk", "key", "word") if key == word}
        marker_id = known.pop(_MARKER, 0)
        if older := [word for word, pk in known.items() if pk < marker_id]:
            keys = {key for word in older for key in all_keys(word)}  # which have an index
            SpellingKey.objects.filter(key__in=keys, word__in=older).delete()
        # Sorted, so that two transactions do not deadlock.
        rows = [
            SpellingKey(key=key, word=word)
            for word in batch
            if known.get(word, 0) <= marker_id
            for key in sorted(all_keys(word))
        ]
        SpellingKey.objects.bulk_create(rows, ignore_conflicts=True, batch_size=_BATCH)


def begin_rebuild() -> int:
    """Mark the keys as incomplete until ``rebuild``; return the id of the marker row."""
    SpellingKey.objects.filter(key=_MARKER).delete()
    return SpellingKey.objects.create(key=_MARKER, word=_MARKER).pk


def is_complete() -> bool:
    """Whether no rebuild has begun that is not complete."""
    return not SpellingKey.objects.filter(key=_MARKER).exists()


def rebuild(words: set[str], marker_id: int) -> None:
    """Store the keys of words, and delete those of words that no document contains.

    It commits after each ``_MANY`` words, and readers and writers work meanwhile.

    Args:
        words: Those of all documents.
        marker_id: What ``begin_rebuild`` returned before the first document was read. Words that
            were stored later may be of documents that were read before, so they stay.

    Raises:
        LocksUnavailable: Another transaction kept a word locked.
    """
    # Each word has itself as a key.
    own = SpellingKey.objects.filter(key=F("word")).exclude(key=_MARKER)
    known, gone = set[str](), list[str]()
    for pk, word in own.values_list("pk", "word").iterator():
        if word in words:
            known.add(word)
        elif pk < marker_id:
            gone.append(word)
    # Sorted, so that two transactions do not deadlock, and neighbours in the index come together.
    new = sorted(filter(is_spelt, words - known))
    for start in range(0, len(new), _MANY):
        _retried(partial(_store, new[start : start + _MANY]))
    for start in range(0, len(gone), _MANY):
        # A publication may have replaced their keys meanwhile.
        old = SpellingKey.objects.filter(word__in=gone[start : start + _MANY], pk__lt=marker_id)
        _retried(old.delete)
    SpellingKey.objects.filter(key=_MARKER).delete()


def _retried(change: Callable[[], object]) -> None:
    """Repeat a change if a request with several documents has stored the same words."""
    table_locks.retried(connection, change, name="Changing the words for corrections")


def _store(batch: Sequence[str]) -> None:
    rows = ((key, word) for word in batch for key in sorted(all_keys(word)))
    try:
        with transaction.atomic():
            bulk_inserts.insert(SpellingKey._meta.db_table, ("key", "word"), rows)  # noqa: SLF001 - Django's documented API
    except IntegrityError:  # a publication has stored one of the words meanwhile
        learn(batch)


def similar(word: str) -> list[tuple[int, str]]:
    """Return (errors, word) for known words that a word may be a misspelling of, best first."""
    if not is_spelt(word):
        return []
    most = 2 if len(word) >= LONG else 1
    keys = keys_of(word) | ({_head(word)} if most > 1 else set())
    found = SpellingKey.objects.filter(key__in=keys).values_list("word", flat=True).distinct()
    ranked = sorted(
        (distance, other[0] != word[0], abs(len(other) - len(word)), other)
        for other in found[:MAX_COMPARED]
        if (distance := OSA.distance(word, other, score_cutoff=most)) <= most and other != word
    )
    return [(distance, other) for distance, _first, _length, other in ranked[:MAX_SIMILAR]]

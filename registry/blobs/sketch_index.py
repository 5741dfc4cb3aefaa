"""The vectors of all sketches in memory, to find the nearest of them.

A process reads the vectors once, and after that those that are new: 100,000 take 26 MB, and a
look-up multiplies them with one vector. Deleted rows stay in memory until the process ends, so
callers have to check which of the ids are still in the database.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from lorary.algebra.recognition.sketch import FORM, WIDTH
from registry.models import BlobSketch

Vector = np.ndarray[Any, np.dtype[np.float32]]

#: Vectors of a block of memory, and rows read at a time.
BLOCK = 16_384

#: Ids that are read again: rows with lower ids may be committed later than those with higher ones.
OVERLAP = 256

#: Most candidates, and their least cosine, three deviations of that of unrelated files (1 / √64).
MAX_NEAREST, LEAST = 1000, 0.375


class Candidate(NamedTuple):
    """A sketch and the cosine of its vector."""

    sketch_id: int
    cosine: float


class SketchIndex:
    """Vectors by the ids of their rows. Its methods may be called in several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clear()

    def _clear(self) -> None:
        self._blocks: list[Vector] = []
        self._ids: list[int] = []
        self._last = 0
        self._recent: dict[int, bytes] = {}  # rows of the last OVERLAP ids

    def nearest(self, vector: Vector) -> list[Candidate]:
        """Return the sketches with the largest cosines, whatever their sign, largest first."""
        with self._lock:
            self._read_new()
            count, blocks, ids = len(self._ids), list(self._blocks), self._ids
        if not count:
            return []
        cosines = np.concatenate([block @ vector for block in blocks])[:count]
        sizes = np.abs(cosines)
        chosen = np.flatnonzero(sizes >= LEAST)
        if len(chosen) > MAX_NEAREST:
            best = np.argpartition(sizes[chosen], -MAX_NEAREST)[-MAX_NEAREST:]
            chosen = chosen[best]
        chosen = chosen[np.argsort(-sizes[chosen])]
        return [Candidate(ids[row], float(cosines[row])) for row in chosen.tolist()]

    def _read_new(self) -> None:
        rows = dict(_rows_after(self._last - OVERLAP))
        is_other = any(rows.get(pk, data) != data for pk, data in self._recent.items())
        if self._last and (is_other or self._last not in rows):
            self._clear()  # another database, as after a restored backup, or the last was deleted
            rows = dict(_rows_after(0))
        for pk, data in rows.items():
            if pk not in self._recent:
                self._append(pk, data)
        # Not the last that was appended: a row with a lower id may have been committed after it.
        self._last = max(rows, default=0)
        self._recent = {pk: data for pk, data in rows.items() if pk > self._last - OVERLAP}

    def _append(self, pk: int, data: bytes) -> None:
        place = len(self._ids) % BLOCK
        if not place:
            self._blocks.append(np.zeros((BLOCK, WIDTH), dtype=np.float32))
        self._blocks[-1][place] = np.frombuffer(data, "<f2", WIDTH)
        self._ids.append(pk)


def _rows_after(pk: int) -> Iterator[tuple[int, bytes]]:
    rows = BlobSketch.objects.filter(form=FORM, pk__gt=pk).exclude(vector=b"").order_by("pk")
    for found, data in rows.values_list("pk", "vector").iterator(chunk_size=BLOCK):
        yield found, bytes(data)

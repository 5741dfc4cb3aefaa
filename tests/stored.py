"""Bytes in the store, with and without a row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry import storage
from registry.blobs import promote

if TYPE_CHECKING:
    from collections.abc import Iterable

    from registry.models import Blob


def blob_of(data: bytes) -> Blob:
    """Store bytes and their row, as everything does that makes a file."""
    return promote.mark_stored(promote.put([data]))


def put_bytes(chunks: Iterable[bytes]) -> storage.Written:
    """Store bytes under their digest, without a row."""
    key, measured = storage.new_key(), storage.Measured(chunks)
    storage.store().write(key, measured)
    storage.store().promote(key, measured.written.sha256)
    return measured.written

"""Blob store: private files on their way in, content-addressed files for ever.

A file is written under a private key, which nobody else knows, and promoted to its sha256 once it
was checked. A name says which of the two it is by its length. Nothing shared is deleted inline:
only the sweeper deletes blobs, after a grace period without references.

``base`` says what a store does, ``local`` does it in a directory.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from django.conf import settings

from registry.storage.base import (
    CHUNK,
    BlobStore,
    Entry,
    Fetch,
    Handle,
    Measured,
    Part,
    Written,
    chunks_of,
    new_key,
)
from registry.storage.local import LocalStore

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "CHUNK",
    "BlobStore",
    "Entry",
    "Fetch",
    "Handle",
    "LocalStore",
    "Measured",
    "Part",
    "Written",
    "chunks_of",
    "new_key",
    "put",
    "store",
]


def store() -> BlobStore:
    """Return the configured store (``LORARY_STORAGE``)."""
    return _local(unquote(urlsplit(settings.LORARY.storage).path))


@lru_cache(maxsize=8)
def _local(root: str) -> LocalStore:
    return LocalStore(Path(root))


def put(chunks: Iterable[bytes]) -> Written:
    """Store bytes made here (a preview, a card) under their digest."""
    key, measured = new_key(), Measured(chunks)
    store().write(key, measured)
    store().promote(key, measured.written.sha256)
    return measured.written

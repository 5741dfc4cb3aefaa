"""Blob store: private files on their way in, content-addressed files for ever.

A file is written under a private key, which nobody else knows, and promoted to its sha256 once it
was checked. A name says which of the two it is by its length. Nothing shared is deleted inline:
only the sweeper deletes blobs, after a grace period without references.

``base`` says what a store does, ``local`` does it in a directory, ``s3`` in a bucket.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from django.conf import settings

from registry.errors import StorageAway
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
from registry.storage.places import BucketPlace, place_of
from registry.storage.spooling import spooled

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "CHUNK",
    "BlobStore",
    "BucketPlace",
    "Entry",
    "Fetch",
    "Handle",
    "Heap",
    "LocalStore",
    "Measured",
    "Part",
    "Written",
    "at",
    "chunks_of",
    "discard",
    "has_links",
    "heap",
    "new_key",
    "place_of",
    "put",
    "spooled",
    "store",
]

log = logging.getLogger(__name__)


def store() -> BlobStore:
    """Return the configured store (``LORARY_STORAGE``)."""
    return at(settings.LORARY.storage)


@lru_cache(maxsize=8)
def at(url: str) -> BlobStore:
    """Return the store of an address.

    Raises:
        ValueError: see ``place_of``.
    """
    place = place_of(url)
    if isinstance(place, Path):
        return LocalStore(place)
    from registry.storage.s3 import S3Store  # noqa: PLC0415 - boto3 takes a third of a second

    return S3Store(place)


def has_links() -> bool:
    """Whether parts can be sent straight to where they are kept."""
    place = place_of(settings.LORARY.storage)
    return isinstance(place, BucketPlace) and place.has_links


class Heap(NamedTuple):
    """How many files, and how many bytes they have together."""

    files: int = 0
    bytes: int = 0


def heap(key: str) -> Heap:
    """Return what lies under a private key, whether complete or in parts: one file, or none.

    While the store is away, that is nothing.
    """
    try:
        sizes = {entry.number: entry.size for entry in store().names(key)}
    except StorageAway:
        return Heap()
    return Heap(int(bool(sizes)), sum(sizes.values()))


def discard(key: str) -> None:
    """Remove a private file that nobody needs any more; if not now, the sweeper will."""
    try:
        store().delete(key)
    except StorageAway:
        log.warning("%s is left to the sweeper", key)


def put(chunks: Iterable[bytes]) -> Written:
    """Store bytes under their digest for somebody who keeps no rows: see ``promote.put``."""
    key, measured = new_key(), Measured(chunks)
    store().write(key, measured)
    store().promote(key, measured.written.sha256)
    return measured.written

"""Blob store: private files while they are uploaded, then content-addressed files.

A file is written under a private key, which nobody else knows, and promoted to its sha256 after its
checks. The length of a name shows which of the two it is. Requests never delete shared bytes: only
the sweeper deletes blobs, after a grace period without references.

``base`` defines a store, ``local`` is one in a directory, ``s3`` one in a bucket.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

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
from registry.storage.location import BucketLocation, parse_location
from registry.storage.spooling import spooled

__all__ = [
    "CHUNK",
    "BlobStore",
    "BucketLocation",
    "Entry",
    "Fetch",
    "Handle",
    "LocalStore",
    "Measured",
    "Part",
    "Usage",
    "Written",
    "chunks_of",
    "discard",
    "has_links",
    "new_key",
    "parse_location",
    "spooled",
    "store",
    "store_at",
    "usage_of",
]

log = logging.getLogger(__name__)


def store() -> BlobStore:
    """Return the configured store (``LORARY_STORAGE``)."""
    return store_at(settings.LORARY.storage)


@lru_cache(maxsize=8)
def store_at(url: str) -> BlobStore:
    """Return the store at an address."""
    location = parse_location(url)
    if isinstance(location, Path):
        return LocalStore(location)
    from registry.storage.s3 import S3Store  # noqa: PLC0415 - boto3 takes a third of a second

    return S3Store(location)


def has_links() -> bool:
    """Whether parts can be sent directly to the store."""
    location = parse_location(settings.LORARY.storage)
    return isinstance(location, BucketLocation) and location.has_links


class Usage(NamedTuple):
    """The number of files and their bytes."""

    files: int = 0
    bytes: int = 0


def usage_of(key: str) -> Usage:
    """Return what is stored under a private key, joined or in parts: one file or none.

    Returns no usage if the store is unreachable.
    """
    try:
        sizes = {entry.number: entry.size for entry in store().names(key)}
    except StorageAway:
        return Usage()
    return Usage(int(bool(sizes)), sum(sizes.values()))


def discard(key: str) -> None:
    """Delete a private file that is no longer needed. If this fails, the sweeper deletes it."""
    try:
        store().delete(key)
    except StorageAway:
        log.warning("%s is left to the sweeper", key)

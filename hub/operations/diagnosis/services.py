"""The store, the broker and the cache."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from celery import current_app
from django.conf import settings
from django.db import connection
from kombu.exceptions import KombuError
from redis import Redis
from redis.exceptions import RedisError

from hub import shared_cache
from hub.operations.diagnosis.report import FREE_SPACE, Report
from hub.setting_checks import LOOPBACK
from registry import storage
from registry.errors import StorageAway, StorageFull

if TYPE_CHECKING:
    from collections.abc import Iterator


def _storage() -> Iterator[Report]:
    key, content = storage.new_key(), b"lorary doctor"
    try:
        storage.store().write(key, [content])
        with storage.store().open(key) as handle:
            is_same = handle.read() == content
        is_listed = any(storage.store().names(key))
        storage.store().delete(key)
    except StorageFull:
        message = f"The disk is full: no file can be written to {settings.LORARY.storage}."
        yield Report("storage", "error", message, FREE_SPACE)
        return
    except (OSError, StorageAway) as error:
        hint = "Check LORARY_STORAGE, and the permissions and credentials of this process."
        yield Report(
            "storage", "error", f"The storage does not work: {error.__cause__ or error}", hint
        )
        return
    if is_same and is_listed:
        yield Report("storage", "ok", "A file was written, read, listed and deleted.")
    else:
        yield Report(
            "storage",
            "error",
            "The storage returned different bytes from those that were written.",
            "Check the disk or the server.",
        )


def _links() -> Iterator[Report]:
    """Report links to a bucket that clients of a hub with TLS do not follow."""
    place = storage.parse_location(settings.LORARY.storage)
    if isinstance(place, Path) or not place.has_links:
        return
    address = place.links or place.endpoint
    if settings.LORARY.base_url.startswith("https://") and address.startswith("http://"):
        message = f"Downloads from this https hub are redirected to {address}: clients refuse this."
        hint = "Add links=https://… to LORARY_STORAGE, or links=no to send bytes through the hub."
        yield Report("links", "warning", message, hint)


def _broker() -> Iterator[Report]:
    try:
        with current_app.connection_for_write() as link:
            link.ensure_connection(max_retries=1, timeout=5)
    except (KombuError, OSError, ImportError) as error:  # kombu imports the library of a transport
        hint = (
            "Start the broker or check LORARY_BROKER_URL; "
            "until then workers look for jobs every second."
        )
        yield Report("broker", "error", f"The broker does not respond: {error}", hint)
        return
    yield Report("broker", "ok", "The broker responds.")


def _cache() -> Iterator[Report]:
    """Report where rate limits are counted."""
    url = settings.LORARY.cache_url
    if not url:
        if may_have_others():
            hint = "Set LORARY_CACHE_URL to count them for all processes and machines together."
            message = "Each web process counts rate limits for itself, so they are multiplied."
            yield Report("cache", "warning", message, hint)
        else:
            message = "Each web process counts rate limits for itself, as is usual on one machine."
            yield Report("cache", "ok", message)
        return
    try:
        with Redis.from_url(url, **shared_cache.OPTIONS) as client:
            client.ping()
    except (RedisError, OSError) as error:
        hint = "Start it or check LORARY_CACHE_URL; until then rate limits are not enforced."
        yield Report("cache", "error", f"The cache does not respond: {error}", hint)
        return
    yield Report("cache", "ok", "The cache responds; all processes count rate limits together.")


def may_have_others() -> bool:
    """Whether other machines can be part of this hub: its database is on the network."""
    host = connection.settings_dict.get("HOST", "")
    is_here = not host or host.startswith("/") or host in LOOPBACK  # "" and "/…": a socket
    return connection.vendor == "postgresql" and not is_here


PROBES = {
    "storage": _storage,
    "links": _links,
    "broker": _broker,
    "cache": _cache,
}

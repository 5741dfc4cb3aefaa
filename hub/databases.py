"""Django's settings of database, broker and cache, from their URLs."""

from __future__ import annotations

import logging
import os
import re
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

import dj_database_url
from django.core.exceptions import ImproperlyConfigured
from kombu.exceptions import ChannelError
from kombu.transport import TRANSPORT_ALIASES, filesystem
from kombu.utils.json import dumps

from hub.config import Config
from registry.local_files import make_file

# The embedded broker: kombu's messages in files that are written atomically.
#
# ```
# <data>/broker/messages/<time>_<id>.<queue>.msg     waiting
# <data>/broker/taken/<time>_<id>.<queue>.msg        being read, or read
# ```
#
# kombu writes a message directly to the path where workers look for it, and a list of bindings that
# every start reads. A process that is killed meanwhile leaves half a file, and every worker that
# reads it crashes. Here a message is renamed into place, an unreadable one is skipped (the next
# poll finds its job), and no bindings are stored: a queue, its exchange and its key have the same
# name.

#: Prefix of the URLs of this broker.
SCHEME = "embedded"

log = logging.getLogger(__name__)


class Channel(filesystem.Channel):
    """Writes messages atomically and stores no bindings."""

    def get_table(  # type: ignore[override]  # the stubs of its bases differ
        self, exchange: str
    ) -> list[filesystem.exchange_queue_t]:
        """Return key, pattern and queue, which all have the name of the exchange."""
        return [filesystem.exchange_queue_t(exchange, "", exchange)]

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str | None, queue: str) -> None:
        """Do nothing: bindings follow from the names."""

    def _delete(self, queue: str, *_args: Any, **_kwargs: Any) -> None:  # noqa: ANN401 - kombu's
        """Delete the messages of a queue; there is no binding to delete."""
        self._purge(queue)

    def _put(  # type: ignore[override]  # the stubs of its bases differ
        self,
        queue: str,
        message: object,
        **_kwargs: Any,  # noqa: ANN401 - kombu's
    ) -> None:
        """Write a message to a temporary name, then rename it to one that readers look for."""
        name = f"{round(time.monotonic() * 1000)}_{uuid.uuid4()}.{queue}.msg"
        place = Path(self.data_folder_out) / name
        draft = place.with_name(f"{name}.new")
        try:
            draft.write_text(dumps(message), encoding="utf-8")
            draft.replace(place)
        except OSError as error:
            with suppress(OSError):
                draft.unlink()
            text = f"cannot write a message: {os.strerror(error.errno or 0)}"
            raise ChannelError(text) from error

    def _get(self, queue: str, timeout: float | None = None) -> Any:  # noqa: ANN401 - kombu's
        """Return the next readable message; kombu raises Empty after the last one."""
        del timeout
        while True:
            try:
                return super()._get(queue)
            except (ChannelError, ValueError) as error:
                log.warning("skipping a message of queue %s: %s", queue, error)


class Transport(filesystem.Transport):
    """The transport for messages in the data directory."""

    Channel = Channel


TRANSPORT_ALIASES[SCHEME] = f"{__name__}:Transport"


URL = re.compile(r"sqlite:///.|postgres(ql)?://.")
# Without the URL, which may have a password.
INVALID = (
    "LORARY_DATABASE_URL: not the URL of a supported database; "
    "use sqlite:///path or postgres://user:password@host/name"
)
# Readers never wait for the writer (WAL); a writer takes its lock at once and waits for it
# (IMMEDIATE), instead of failing with "database is locked" when it upgrades. NORMAL loses the
# last commits on power loss, not on a kill; FULL would be fifty times slower, so the log is
# flushed only before a response (hub.http.middleware). The file is mapped into memory, up to
# SQLite's limit of 2 GB: each thread would read pages into a cache of its own, of 2 MB.
SQLITE: dict[str, Any] = {
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    "init_command": (
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA mmap_size=2147483648;"
    ),
}
# The message of a killed worker is delivered again after seconds, not after kombu's hour; double
# delivery is harmless because the job row decides.
REDIS: dict[str, Any] = {
    "visibility_timeout": 30,
    "unacked_restore_interval": 2,
    "unacked_restore_throttle": 1,
    "socket_connect_timeout": 3,
}


def database(config: Config) -> dict[str, Any]:
    """Return Django's entry for the database: SQLite in the data directory or the given URL.

    Raises:
        ImproperlyConfigured: the URL is invalid or names another kind of database.
    """
    url = config.database_url or f"sqlite:///{config.data / 'lorary.sqlite3'}"
    if not URL.match(url):
        raise ImproperlyConfigured(INVALID)
    try:
        entry: dict[str, Any] = dict(dj_database_url.parse(url, conn_max_age=60))
    except ValueError as error:
        raise ImproperlyConfigured(INVALID) from error
    entry["ATOMIC_REQUESTS"] = False  # no transaction stays open while a body is read
    if entry["ENGINE"].endswith("sqlite3"):
        entry["OPTIONS"] = {**entry.get("OPTIONS", {}), **SQLITE}
    else:
        entry["CONN_HEALTH_CHECKS"] = True
    return entry


def prepare_file(entry: dict[str, Any]) -> None:
    """Create SQLite's file with mode 600; SQLite creates its log and index with the same mode.

    Call it before a connection is opened.
    """
    file = Path(entry["NAME"])
    if entry["ENGINE"].endswith("sqlite3") and file.is_absolute() and file.parent.is_dir():
        make_file(file)


def broker(config: Config) -> tuple[str, dict[str, Any]]:
    """Return Celery's broker address and transport options."""
    if not config.broker_url:
        folder = config.data / "broker"
        return f"{SCHEME}://localhost", {  # the host is not used, but kombu warns without one
            "data_folder_in": str(folder / "messages"),
            "data_folder_out": str(folder / "messages"),
            "control_folder": str(folder / "control"),
            "processed_folder": str(folder / "taken"),
            "store_processed": True,
            "polling_interval": 0.1,
        }
    is_redis = config.broker_url.startswith(("redis://", "rediss://"))
    return config.broker_url, dict(REDIS) if is_redis else {}


def cache(config: Config) -> dict[str, Any]:
    """Return Django's entry for the cache: memory of the process, or Redis."""
    if config.cache_url:
        return {"BACKEND": "hub.shared_cache.TolerantRedisCache", "LOCATION": config.cache_url}
    return {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "lorary"}

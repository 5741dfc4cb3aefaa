"""Django's settings of database, broker and cache, from their URLs."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Any

import dj_database_url
from django.core.exceptions import ImproperlyConfigured

from hub.config import Config
from hub.embedded_broker import SCHEME
from registry.local_files import make_file

URL = re.compile(r"sqlite:///.|postgres(ql)?://.")
# The URL is not included, because it may contain a password.
INVALID = (
    "LORARY_DATABASE_URL: not the URL of a supported database; "
    "use sqlite:///path or postgres://user:password@host/name"
)
INVALID_REPLICA = (
    "LORARY_DATABASE_REPLICA_URL: not the URL of a replica; use "
    "postgres://user:password@host/name with the name of the database in LORARY_DATABASE_URL"
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
# The connections of a process to PostgreSQL, which its threads share: opened when they are needed,
# closed after ten minutes without use. A request waits for one at most ten seconds.
POOL: dict[str, Any] = {"min_size": 0, "max_idle": 600, "timeout": 10, "reconnect_timeout": 2}
# A request does not wait long for the replica, as the primary can answer it, too.
REPLICA: dict[str, Any] = {
    "connect_timeout": 2,
    "tcp_user_timeout": 4000,
    "keepalives_idle": 2,
    "keepalives_interval": 1,
    "keepalives_count": 3,
}
REPLICA_POOL_TIMEOUT_S = 1
# A statement waits for the replay of a lock until then. pgbouncer does not pass it on.
REPLICA_STATEMENT_TIMEOUT = "-c statement_timeout=4000"
# A connection whose other end vanished without a word is given up after 25 seconds.
KEEPALIVE = {socket.TCP_KEEPIDLE: 10, socket.TCP_KEEPINTVL: 5, socket.TCP_KEEPCNT: 3}
# The message of a killed worker is delivered again after seconds, not after kombu's hour; double
# delivery is harmless because the job row decides.
# A request that sends a wake-up waits at most a second for a broker that is away.
REDIS: dict[str, Any] = {
    "visibility_timeout": 30,
    "unacked_restore_interval": 2,
    "unacked_restore_throttle": 1,
    "socket_connect_timeout": 0.5,
    "socket_timeout": 0.8,
    "socket_keepalive": True,
    "socket_keepalive_options": dict(KEEPALIVE),
    "connect_retries_timeout": 0.5,
    "max_retries": 0,
}
AMQP: dict[str, Any] = {
    "socket_settings": {socket.TCP_USER_TIMEOUT: 5000, **KEEPALIVE},
    "connect_retries_timeout": 0.5,
    "max_retries": 0,
}


def databases(config: Config) -> dict[str, dict[str, Any]]:
    """Return Django's entries: ``default``, and ``replica`` if there is one.

    Raises:
        ImproperlyConfigured: a URL is invalid, or the replica is one of another database.
    """
    primary = database(config)
    if not config.database_replica_url:
        return {"default": primary}
    replica = _entry(config.database_replica_url, config, INVALID_REPLICA)
    if (replica["ENGINE"], replica["NAME"]) != (primary["ENGINE"], primary["NAME"]) or (
        replica["ENGINE"].endswith("sqlite3")
    ):
        raise ImproperlyConfigured(INVALID_REPLICA)
    replica["OPTIONS"] = {**REPLICA, **replica.get("OPTIONS", {})}
    if not replica["DISABLE_SERVER_SIDE_CURSORS"]:
        replica["OPTIONS"].setdefault("options", REPLICA_STATEMENT_TIMEOUT)
    if pool := replica["OPTIONS"].get("pool"):
        pool["timeout"] = REPLICA_POOL_TIMEOUT_S
    return {"default": primary, "replica": replica}


def database(config: Config) -> dict[str, Any]:
    """Return Django's entry for the database: SQLite in the data directory or the given URL.

    Raises:
        ImproperlyConfigured: the URL is invalid or names another kind of database.
    """
    url = config.database_url or f"sqlite:///{config.data / 'lorary.sqlite3'}"
    return _entry(url, config, INVALID)


def _entry(url: str, config: Config, refusal: str) -> dict[str, Any]:
    if not URL.match(url):
        raise ImproperlyConfigured(refusal)
    try:
        entry: dict[str, Any] = dict(dj_database_url.parse(url, conn_max_age=60))
    except ValueError as error:
        raise ImproperlyConfigured(refusal) from error
    entry["ATOMIC_REQUESTS"] = False  # no transaction stays open while a body is read
    if entry["ENGINE"].endswith("sqlite3"):
        entry["OPTIONS"] = {**entry.get("OPTIONS", {}), **SQLITE}
    else:
        entry["CONN_HEALTH_CHECKS"] = True
        # Between two transactions, pgbouncer gives the session of a cursor to others.
        options = entry.get("OPTIONS", {})
        entry["DISABLE_SERVER_SIDE_CURSORS"] = str(options.pop("pgbouncer", "")).lower() == "true"
        if config.database_pool:
            pool = {**POOL, "max_size": config.database_pool}
            entry["OPTIONS"], entry["CONN_MAX_AGE"] = {**options, "pool": pool}, 0
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
    return config.broker_url, dict(REDIS if is_redis else AMQP)


def cache(config: Config) -> dict[str, Any]:
    """Return Django's entry for the cache: memory of the process, or Redis."""
    if config.cache_url:
        return {"BACKEND": "hub.shared_cache.TolerantRedisCache", "LOCATION": config.cache_url}
    return {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "lorary"}

"""How a hub reaches its rows, its messages and its cache, from three addresses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import dj_database_url

from hub.embedded_broker import SCHEME
from registry.private_files import make_file

if TYPE_CHECKING:
    from hub.config import Config

# Readers never wait for the writer (WAL); a writer takes its lock at once and waits for its turn
# (IMMEDIATE), instead of failing with "database is locked" when it upgrades. NORMAL loses the
# last commits on power loss, not on a kill; FULL would cost a factor of fifty, so only what
# somebody is told about is flushed (hub.http.middleware).
SQLITE: dict[str, Any] = {
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
}
# A worker that dies hands its message back after seconds, not after kombu's hour; double
# delivery is harmless because the job row decides.
REDIS: dict[str, Any] = {
    "visibility_timeout": 30,
    "unacked_restore_interval": 2,
    "unacked_restore_throttle": 1,
    "socket_connect_timeout": 3,
}


def database(config: Config) -> dict[str, Any]:
    """Return Django's entry for the database: SQLite in the data directory or the given URL."""
    url = config.database_url or f"sqlite:///{config.data / 'lorary.sqlite3'}"
    entry: dict[str, Any] = dict(dj_database_url.parse(url, conn_max_age=60))
    entry["ATOMIC_REQUESTS"] = False  # no transaction spans the reading of a body
    if entry["ENGINE"].endswith("sqlite3"):
        entry["OPTIONS"] = {**entry.get("OPTIONS", {}), **SQLITE}
    else:
        entry["CONN_HEALTH_CHECKS"] = True
    return entry


def prepare_file(entry: dict[str, Any]) -> None:
    """Make SQLite's file, for the owner alone; SQLite makes its log and index with the same mode.

    Call it before there is a connection.
    """
    file = Path(entry["NAME"])
    if entry["ENGINE"].endswith("sqlite3") and file.is_absolute() and file.parent.is_dir():
        make_file(file)


def broker(config: Config) -> tuple[str, dict[str, Any]]:
    """Return Celery's broker address and transport options."""
    if not config.broker_url:
        folder = config.data / "broker"
        return f"{SCHEME}://localhost", {  # the host means nothing, kombu warns without one
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

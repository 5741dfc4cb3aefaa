"""The environment of hubs under test: a new database, broker and storage for each."""

from __future__ import annotations

import os
import uuid
from contextlib import ExitStack
from threading import Lock
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit, urlunsplit

import psycopg

from tests.buckets import CREDENTIALS, SeaweedFS
from tests.running import RunningHub
from tools.faults.servers.hubs import FaultyHub
from tools.faults.servers.processes import Broker
from tools.faults.servers.services import Postgres, RabbitMQ

if TYPE_CHECKING:
    from pathlib import Path

MIGRATE_S = 600
LEAST_PART_BYTES = 5 * 2**20


class Environment:
    """Creates hubs; migrates one database and copies it for the others.

    Attributes:
        database: "" for SQLite, ``postgres`` for a server that is started here, or a URL.
        broker: "" for the embedded one, ``redis`` or ``rabbitmq`` to start one, or a URL.
        storage: "" for the data directory, ``s3`` to start a bucket, or a URL.
    """

    def __init__(self, folder: Path, database: str, broker: str, storage: str) -> None:
        self.folder, self.storage = folder, storage
        self.named_database, self.named_broker = database, broker
        self.postgres: Postgres | None = None
        self.redis: Broker | None = None
        self.rabbitmq: RabbitMQ | None = None
        self.bucket: SeaweedFS | None = None
        self.stack, self.lock = ExitStack(), Lock()
        self.count = 0
        self.template = ""
        self.made: list[str] = []

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o711)  # PostgreSQL runs as somebody else
        if self.named_database == "postgres":
            self.postgres = self.stack.enter_context(Postgres(self.folder / "postgres"))
        if self.named_broker == "redis":
            self.redis = self.stack.enter_context(Broker(self.folder))
        elif self.named_broker == "rabbitmq":
            self.rabbitmq = self.stack.enter_context(RabbitMQ(self.folder / "rabbitmq"))
        if self.storage == "s3":
            os.environ.update(CREDENTIALS)
            self.bucket = self.stack.enter_context(SeaweedFS(self.folder / "seaweedfs"))
        return self

    def __exit__(self, *_: object) -> None:
        if self.postgres is None:
            for name in self.made:
                self._on_server(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        self.stack.close()

    @property
    def is_sqlite(self) -> bool:
        """Whether each hub has its own SQLite file."""
        return not self.named_database

    @property
    def has_bucket(self) -> bool:
        """Whether files are in a bucket."""
        return self.storage.startswith("s3")

    def part_bytes(self, wanted: int) -> str:
        """Return a size of parts for ``LORARY_UPLOAD_PART_BYTES``; S3 needs at least 5 MiB."""
        return str(max(wanted, LEAST_PART_BYTES) if self.has_bucket else wanted)

    @property
    def description(self) -> str:
        """Return the names of database, broker and storage."""
        database = "SQLite" if self.is_sqlite else "PostgreSQL"
        kinds = {"redis": "Redis", "rediss": "Redis", "amqp": "RabbitMQ", "rabbitmq": "RabbitMQ"}
        broker = kinds.get(self.named_broker.partition(":")[0], "the embedded broker")
        storage = "S3" if self.has_bucket else "local files"
        return f"{database}, {broker}, {storage}"

    def hub(self, name: str, *, workers: int = 1, webs: int = 2, **settings: str) -> FaultyHub:
        """Return a migrated hub that is not started yet."""
        with self.lock:
            self.count += 1
            data = self.folder / f"{name}-{self.count}"
            own = {**self._addresses(), **settings}
            hub = FaultyHub(data, workers=workers, webs=webs, **own)
            if self.is_sqlite:
                hub.migrate()
            else:
                hub.environ["LORARY_DATABASE_URL"] = self._new_database()
        return hub

    def _addresses(self) -> dict[str, str]:
        found: dict[str, str] = {}
        if self.redis is not None:
            found["BROKER_URL"] = self.redis.url
        elif self.rabbitmq is not None:
            found["BROKER_URL"] = self.rabbitmq.url
        elif self.named_broker:
            found["BROKER_URL"] = self.named_broker
        if self.storage:
            found["STORAGE"] = self._place()
        return found

    def _place(self) -> str:
        """Return the URL of the storage with a unique prefix."""
        if self.bucket is not None:
            return self.bucket.storage()
        parts = urlsplit(self.storage)
        return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{uuid.uuid4().hex}"))

    def _new_database(self) -> str:
        if not self.template:
            self.template = self._create()
            url = self._url_of(self.template)
            RunningHub(self.folder / "template", DATABASE_URL=url).manage(
                "migrate", "--verbosity", "0", timeout_s=MIGRATE_S
            )
        return self._url_of(self._create(self.template))

    def _create(self, template: str = "") -> str:
        name = f"lorary_faults_{uuid.uuid4().hex[:12]}"
        like = f' TEMPLATE "{template}"' if template else ""
        self._on_server(f'CREATE DATABASE "{name}"{like}')
        self.made.append(name)
        return name

    @property
    def _server(self) -> str:
        return self.named_database if self.postgres is None else self.postgres.url

    def _url_of(self, name: str) -> str:
        return urlunsplit(urlsplit(self._server)._replace(path=f"/{name}"))

    def _on_server(self, statement: str) -> None:
        if self.is_sqlite:
            return
        with psycopg.connect(self._server, autocommit=True) as connection:
            connection.execute(statement.encode())

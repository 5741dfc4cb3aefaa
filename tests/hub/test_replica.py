"""Which requests read from a replica, and what is done when it is behind or fails."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured, MiddlewareNotUsed
from django.db import OperationalError, transaction
from django.db.utils import ConnectionHandler
from django.http import HttpResponse
from django.test import RequestFactory
from django.urls import resolve
from prometheus_client import REGISTRY

from hub import replica
from hub.databases import databases
from hub.replica import MAX_LAG_S, Freshness, ReplicaMiddleware, Router, may_read
from registry.models import Adapter

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest

PRIMARY = "postgres://me:secret@one/hub"


def entries(primary: str, other: str) -> dict[str, dict[str, Any]]:
    changed = dataclasses.replace(settings.LORARY, database_url=primary, database_replica_url=other)
    return databases(changed)


def test_a_replica_is_a_second_database_that_nobody_waits_long_for() -> None:
    found = entries(PRIMARY, "postgres://me:secret@two:5433/hub?sslmode=require")
    assert set(found) == {"default", "replica"}
    options = found["replica"]["OPTIONS"]
    assert (found["replica"]["HOST"], options["sslmode"]) == ("two", "require")
    assert (options["connect_timeout"], options["pool"]["timeout"]) == (2, 1)
    assert options["options"] == "-c statement_timeout=4000"
    assert "options" not in entries(PRIMARY, f"{PRIMARY}?pgbouncer=true")["replica"]["OPTIONS"]
    assert found["default"]["OPTIONS"]["pool"]["timeout"] == 10
    assert set(entries(PRIMARY, "")) == {"default"}


@pytest.mark.parametrize(
    ("primary", "other"),
    [
        (PRIMARY, "postgres://me:secret@two/other"),
        (PRIMARY, "mysql://me:secret@two/hub"),
        (PRIMARY, "sqlite:///hub"),
        ("", "postgres://me:secret@two/hub"),
        ("sqlite:////tmp/hub", "sqlite:////tmp/hub"),
    ],
)
def test_a_replica_of_another_database_is_refused(primary: str, other: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="LORARY_DATABASE_REPLICA_URL") as told:
        entries(primary, other)
    assert "secret" not in str(told.value)


def test_without_a_replica_there_is_no_router_and_no_middleware() -> None:
    assert settings.DATABASE_ROUTERS == []
    with pytest.raises(MiddlewareNotUsed):
        ReplicaMiddleware(lambda _request: HttpResponse())


def asked(path: str, method: str = "GET", **headers: str) -> HttpRequest:
    request = RequestFactory(headers=headers).generic(method, path)
    request.COOKIES = {"sessionid": "1"} if "Cookie" in headers else {}
    request.resolver_match = resolve(request.path_info)
    return request


@pytest.mark.parametrize(
    ("path", "is_read"),
    [
        ("/", True),
        ("/browse?q=noir", True),
        ("/browse/values", True),
        ("/packs", True),
        ("/ada", True),
        ("/api/v1/adapters", True),
        ("/api/v1/packs", True),
        ("/api/v1/models", True),
        ("/api/v1/creators", True),
        ("/api/v1/tags", True),
        ("/api/v1/images", True),
        ("/api/models", True),
        ("/api/v1/models?token=lor_1", False),
        ("/ada/noir", False),
        ("/ada/noir/resolve/main/noir.safetensors", False),
        ("/api/download/models/1", False),
        ("/media/images/1.png", False),
        ("/api/v1/hashes/0123456789", False),
        ("/signin", False),
    ],
)
def test_only_lists_of_visitors_are_read_from_it(path: str, is_read: bool) -> None:
    assert may_read(asked(path)) is is_read
    assert may_read(asked(path, "HEAD")) is is_read
    assert not may_read(asked(path, "POST"))
    assert not may_read(asked(path, Authorization="Bearer lor_1"))
    assert not may_read(asked(path, Cookie="sessionid=1"))


def test_every_route_is_tested_above_and_exists() -> None:
    paths = [
        "/", "/browse", "/browse/values", "/packs", "/ada", "/api/v1/adapters", "/api/v1/packs",
        "/api/v1/models", "/api/v1/creators", "/api/v1/tags", "/api/v1/images", "/api/models",
    ]  # fmt: skip
    assert {resolve(path).url_name for path in paths} == replica.ROUTES


@pytest.mark.django_db(transaction=True)
def test_writes_and_transactions_are_for_the_primary() -> None:
    router = Router()
    assert router.db_for_read(Adapter) == "default"
    with replica._reading():
        assert router.db_for_read(Adapter) == "replica"
        with transaction.atomic():
            assert router.db_for_read(Adapter) == "default"
        assert router.db_for_read(Adapter) == "replica"
        assert router.db_for_write(Adapter) == "default"
        assert router.db_for_read(Adapter) == "default", "the request reads what it wrote"
    assert router.db_for_read(Adapter) == "default"
    assert router.allow_migrate("default", "registry")
    assert not router.allow_migrate("replica", "registry")


class Servers:
    """A clock, and two servers whose positions in the log a test sets."""

    now, written, replayed = 1000.0, 100, 100
    is_away, cluster = False, 1
    asked = 0

    def position(self, alias: str, _query: str) -> tuple[int, int]:
        self.asked += 1
        if alias == "replica" and self.is_away:
            message = "connection refused"
            raise OperationalError(message)
        return (1, self.replayed) if alias == "replica" else (self.cluster, self.written)

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Servers:
    found = Servers()
    monkeypatch.setattr(replica, "position", found.position)
    monkeypatch.setattr("hub.replica.monotonic", found.monotonic)
    return found


def after(servers: Servers, seconds: float, freshness: Freshness) -> bool:
    servers.now += seconds
    return freshness.is_sufficient()


def test_a_replica_is_used_until_it_lacks_what_is_older_than_the_limit(servers: Servers) -> None:
    freshness = Freshness()
    assert freshness.is_sufficient()
    servers.written = 200  # which the replica gets only later
    for _ in range(int(MAX_LAG_S)):
        assert after(servers, 1, freshness)
    assert not after(servers, 1, freshness)
    servers.replayed = 200
    assert after(servers, 1, freshness)


def test_a_replica_that_is_always_a_little_behind_is_used(servers: Servers) -> None:
    freshness = Freshness()
    servers.written = 101
    assert not freshness.is_sufficient()
    for _ in range(30):
        servers.written, servers.replayed = servers.written + 100, servers.written
        assert after(servers, 1, freshness)


def test_a_server_that_is_no_replica_is_never_used(servers: Servers) -> None:
    freshness, servers.replayed = Freshness(), -1
    assert not any(after(servers, 1, freshness) for _ in range(20))


def test_a_replica_of_the_cluster_before_a_restore_is_not_used(servers: Servers) -> None:
    freshness = Freshness()
    assert freshness.is_sufficient()
    servers.cluster, servers.written = 2, 10  # the log of a new cluster is short
    assert not any(after(servers, 1, freshness) for _ in range(20))


def test_a_replica_that_is_away_is_asked_every_five_seconds(
    servers: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    freshness = Freshness()
    assert freshness.is_sufficient()
    servers.is_away = True
    before = servers.asked
    servers.now += 1
    assert not any(after(servers, 0.5, freshness) for _ in range(20))
    assert servers.asked - before <= 2 * 3
    servers.is_away = False
    assert after(servers, 5, freshness)
    assert [record.getMessage() for record in caplog.records] == [
        "The replica cannot be checked: connection refused. Lists are read from the primary.",
        "Lists are read from the replica again.",
    ]


def test_checks_do_not_wait_for_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    found = entries(PRIMARY, "postgres://me:secret@two/hub")
    monkeypatch.setattr(replica, "connections", ConnectionHandler(found))
    own = replica._connection.__wrapped__("replica")
    assert "pool" in found["replica"]["OPTIONS"]
    assert "pool" not in own.settings_dict["OPTIONS"]


@pytest.fixture
def middleware(
    monkeypatch: pytest.MonkeyPatch, servers: Servers, own_settings: Callable[..., None]
) -> ReplicaMiddleware:
    del servers
    own_settings(database_replica_url="postgres://me@two/hub")
    monkeypatch.setattr(replica, "FRESHNESS", Freshness())
    return ReplicaMiddleware(lambda _request: HttpResponse())


def results(name: str) -> float:
    series = "lorary_database_replica_requests_total"
    return REGISTRY.get_sample_value(series, {"result": name}) or 0.0


def failing(_request: HttpRequest) -> HttpResponse:
    message = "terminating connection"
    raise OperationalError(message)


@pytest.mark.parametrize(
    ("view", "result"),
    [
        (lambda _request: HttpResponse(Router().db_for_read(Adapter)), "used"),
        (lambda _request: HttpResponse(status=404), "used"),
        (lambda _request: HttpResponse(status=503), "failed"),
        (failing, "failed"),
    ],
    ids=["works", "not found", "answers 503", "raises"],
)
@pytest.mark.django_db(transaction=True)
def test_a_request_that_it_fails_is_left_to_the_primary(
    middleware: ReplicaMiddleware, view: Callable[..., HttpResponse], result: str
) -> None:
    before = results(result)
    response = middleware.process_view(asked("/browse"), view, (), {})
    assert results(result) == before + 1
    if result == "failed":
        assert response is None
    else:
        assert response is not None
        assert response.status_code == 404 or response.content == b"replica"  # type: ignore[attr-defined]  # not streamed
    assert Router().db_for_read(Adapter) == "default"
    assert middleware.process_view(asked("/ada/noir"), failing, (), {}) is None
    before = results("used")
    assert middleware.process_view(asked("/"), lambda _request: HttpResponse(), (), {})
    assert results("used") == before + 1, "one that failed a request is not left out"


def test_a_request_is_left_to_the_primary_while_it_is_behind(
    middleware: ReplicaMiddleware, servers: Servers
) -> None:
    servers.replayed, before = 99, results("behind")
    assert middleware.process_view(asked("/browse"), failing, (), {}) is None
    assert results("behind") == before + 1

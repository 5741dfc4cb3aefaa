"""A shared cache that is away takes limits away, and nothing else."""

from __future__ import annotations

import hashlib
import logging
import shutil
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from django.conf import settings
from django.core.cache import caches
from django.test import override_settings
from prometheus_client import REGISTRY

from hub import shared_cache as shared
from hub.databases import cache
from hub.operations import doctor
from hub.operations.diagnosis import services
from hub.protocols.huggingface.repos import shapes
from registry import storage
from tests.running import free_port
from tests.stored import blob_of
from tools.faults.servers.processes import Broker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from django.test import Client

    from hub.operations.diagnosis.report import Report

pytestmark = pytest.mark.django_db


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch, own_settings: Callable[..., None]) -> Iterator[int]:
    """Have the hub count in a Redis on a port where none is running."""
    number = free_port()
    own_settings(cache_url=f"redis://127.0.0.1:{number}/0")
    monkeypatch.setattr(shared, "_OUTAGE", shared._Outage())
    with override_settings(CACHES={"default": cache(settings.LORARY)}):
        yield number


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/adapters",
        "/api/models",
        "/api/v1/models",
        "/api/v1/adapters/ada/noir/versions/v1/files/noir.safetensors",
        "/signin",
    ],
)
def test_no_door_answers_500_without_the_cache(client: Client, port: int, path: str) -> None:
    del port
    assert client.get(path).status_code in {200, 404}


def test_a_try_to_sign_in_is_answered_without_the_cache(client: Client, port: int) -> None:
    del port
    answer = client.post("/signin", {"username": "ada", "password": "wrong"})
    assert answer.status_code in {200, 400, 422}


def test_the_outage_is_logged_once_a_minute(
    port: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    del port
    monkeypatch.setattr(shared, "PAUSE_S", 0.0)
    with caplog.at_level(logging.WARNING, logger="hub.shared_cache"):
        for _ in range(3):
            assert caches["default"].add("key", 1)
    assert [line.getMessage()[:25] for line in caplog.records] == ["The cache is unavailable:"]


def test_calls_without_the_cache_are_counted(port: int) -> None:
    del port
    before = REGISTRY.get_sample_value("lorary_cache_failures_total") or 0
    for _ in range(3):
        caches["default"].get("key")
    assert REGISTRY.get_sample_value("lorary_cache_failures_total") == before + 3


def report_of_cache() -> Report:
    (report,) = doctor.PROBES["cache"]()
    return report


def test_the_doctor_tells_where_limits_are_counted(
    port: int, own_settings: Callable[..., None]
) -> None:
    away = report_of_cache()
    assert (away.state, away.message[:27]) == ("error", "The cache does not respond:")
    own_settings(cache_url="")
    alone = report_of_cache()
    assert alone.state == ("warning" if services.may_have_others() else "ok")
    assert "Each web process counts" in alone.message


@pytest.mark.parametrize(
    ("vendor", "host", "expected"),
    [
        ("sqlite", "", False),
        ("postgresql", "127.0.0.1", False),
        ("postgresql", "localhost", False),
        ("postgresql", "/run/postgresql", False),
        ("postgresql", "", False),
        ("postgresql", "db.example", True),
    ],
)
def test_only_a_database_on_the_network_can_have_other_machines(
    monkeypatch: pytest.MonkeyPatch, vendor: str, host: str, *, expected: bool
) -> None:
    there = SimpleNamespace(vendor=vendor, settings_dict={"HOST": host})
    monkeypatch.setattr(services, "connection", there)
    assert services.may_have_others() is expected


@pytest.mark.service
def test_processes_share_what_git_calls_a_file(
    tmp_path: Path, own_settings: Callable[..., None]
) -> None:
    if not (shutil.which("redis-server") or shutil.which("valkey-server")):
        pytest.skip("redis-server is not installed")
    data = b"# Noir"
    blob = blob_of(data)
    server = Broker(tmp_path)
    own_settings(cache_url=server.url)
    expected = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
    with override_settings(CACHES={"default": cache(settings.LORARY)}), server:
        assert report_of_cache().state == "ok"
        for _process in range(2):
            shapes._git_oid.cache_clear()
            assert shapes.git_oid(blob) == expected
            storage.store().delete(blob.sha256)  # another process need not read it
        shapes._git_oid.cache_clear()


@pytest.mark.service
def test_counting_goes_on_when_the_cache_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_settings: Callable[..., None]
) -> None:
    if not (shutil.which("redis-server") or shutil.which("valkey-server")):
        pytest.skip("redis-server is not installed")
    monkeypatch.setattr(shared, "PAUSE_S", 0.0)
    monkeypatch.setattr(shared, "_OUTAGE", shared._Outage())
    server = Broker(tmp_path)
    own_settings(cache_url=server.url)
    with override_settings(CACHES={"default": cache(settings.LORARY)}):
        counts = caches["default"]
        assert counts.incr("key") == 1, "nothing was counted"
        assert counts.incr("key") == 1
        with server:
            assert counts.add("key", 1, 60)
            assert counts.incr("key") == 2
            assert not counts.add("key", 1, 60)
            assert counts.get("key") == 2
            with pytest.raises(ValueError, match="not found"):
                counts.incr("other")
            server.restart(0.0)  # it is empty, and idle connections were closed meanwhile
            assert counts.add("key", 1, 60)
            assert counts.get("key") == 1
            counts.set("key", 5, 60)
            assert counts.delete("key")
        assert counts.get("key", "nothing") == "nothing"

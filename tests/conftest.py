"""What every test relies on."""

from __future__ import annotations

import dataclasses
import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings
from django.test import override_settings

from hub.config import prepare
from registry.services import accounts, downloads
from tests.catalogue import PASSWORD

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

    from registry.models import User


@pytest.fixture(autouse=True)
def _own_data(tmp_path: Path) -> Iterator[None]:
    """Give each test a data directory and a blob store of its own."""

    data = tmp_path / "data"
    prepare(data)
    own = dataclasses.replace(settings.LORARY, data=data, storage=(data / "files").as_uri())
    with override_settings(LORARY=own):
        yield


@pytest.fixture(autouse=True)
def _own_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test its own count of downloads: the next one has other versions of these ids."""
    monkeypatch.setattr(downloads, "_process", downloads._Process())


@pytest.fixture
def own_settings() -> Iterator[Callable[..., None]]:
    """Return a function that changes fields of ``settings.LORARY`` for the rest of the test."""
    with ExitStack() as stack:

        def change(**fields: Any) -> None:
            changed = dataclasses.replace(settings.LORARY, **fields)
            stack.enter_context(override_settings(LORARY=changed))

        yield change


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure where everything must run; nobody must have a graphics card."""
    report = yield
    if report.skipped and item.get_closest_marker("gpu") is None:
        _refuse(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Do the same for modules that skip themselves."""
    report = yield
    if report.skipped:
        _refuse(report)
    return report


def _refuse(report: pytest.TestReport | pytest.CollectReport) -> None:
    if os.environ.get("LORARY_TEST_REQUIRE") == "all":
        report.outcome = "failed"
        report.longrepr = f"LORARY_TEST_REQUIRE=all, but skipped: {report.longrepr}"


@pytest.fixture
def ada(db: None) -> User:
    return accounts.create_user(name="ada", email="ada@example.org", password=PASSWORD)


@pytest.fixture
def bob(db: None) -> User:
    return accounts.create_user(name="bob", email="bob@example.org", password=PASSWORD)

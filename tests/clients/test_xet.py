"""What the Hub's library sends as it comes from a default install: by Xet, in a process of its own.

Files are random throughout, so that every byte of them has to travel.
"""

from __future__ import annotations

import hashlib
import shutil
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from benchmarks.setup.adapters import write_adapter
from tests.clients.programs import Programs

if TYPE_CHECKING:
    from pathlib import Path

    from tests.running import RunningHub

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

#: Ranks that make files of 11 and 202 MB.
MIDDLE, LARGE = 2, 38
#: Tensors of rank 2 that make a small file.
FEW = 60
#: MB by which all web processes together may grow while 200 MB come in: a tenth of that would be
#: two xorbs held in memory. What libraries and buffers take once is in it.
GROWTH_MB = 60.0

PUSH = """
from huggingface_hub import HfApi
api = HfApi()
repo = api.create_repo({repo!r}, exist_ok=True).repo_id
done = api.upload_file(path_or_fileobj={path!r}, path_in_repo={name!r}, repo_id=repo)
tell(done.oid)
"""


@pytest.fixture
def ada(hub: RunningHub, ada_token: str, tmp_path: Path) -> Programs:
    """Ada's programs, with a home and so with caches of their own."""
    return Programs(hub, tmp_path / "ada", ada_token)


def push(ada: Programs, repo: str, path: Path, name: str = "noir.safetensors") -> str:
    said: str = ada.python(PUSH.format(repo=repo, path=str(path), name=name))
    return said


def digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetched(ada: Programs, repo: str, name: str = "noir.safetensors") -> str:
    """Return the sha256 of what comes back, past any cache."""
    shutil.rmtree(ada.folder / "back", ignore_errors=True)
    place: str = ada.python(
        "from huggingface_hub import hf_hub_download\n"
        f"tell(hf_hub_download({repo!r}, {name!r}, local_dir='back'))"
    )
    return digest_of(ada.folder / place)


def asking(hub: RunningHub) -> str:
    """Return code that connects to the rows of a hub as ``rows``."""
    if url := hub.environ.get("LORARY_DATABASE_URL"):
        return f"import psycopg; rows = psycopg.connect({url!r}, autocommit=True)"
    file = str(hub.data / "lorary.sqlite3")
    return f"import sqlite3; rows = sqlite3.connect({file!r}, isolation_level=None)"


def waiting(hub: RunningHub) -> list[tuple[str, bool]]:
    """Return the keys of the xorbs that wait, each with whether it has arrived."""
    found: dict[str, Any] = {}
    exec(asking(hub), found)  # as the client does that ends itself
    with closing(found["rows"]) as rows:
        return list(rows.execute("SELECT key, offsets IS NOT NULL FROM registry_xetxorb"))


def settled(hub: RunningHub, within_s: float = 30.0) -> list[tuple[str, bool]]:
    """Return what waits once the hub has read what a client that is gone sent last."""
    until, before = time.monotonic() + within_s, None
    while (now := waiting(hub)) != before or not all(has_arrived for _key, has_arrived in now):
        assert time.monotonic() < until, now
        before = now
        time.sleep(0.5)
    return now


def test_the_library_has_xet_and_uses_it(ada: Programs) -> None:
    code = "import hf_xet; from huggingface_hub import constants as c; tell(c.HF_HUB_DISABLE_XET)"
    assert ada.python(code) is False


@pytest.mark.parametrize(
    ("repo", "tensors"),
    [("xet-small", FEW), pytest.param("xet-middle", None, marks=pytest.mark.long)],
)
def test_a_file_comes_in_by_xet_and_comes_back(
    hub: RunningHub, ada: Programs, tmp_path: Path, repo: str, tensors: int | None
) -> None:
    path = tmp_path / "sent.safetensors"
    size = write_adapter(path, rank=MIDDLE, tensors=tensors, is_unique=True)
    before = hub.log.stat().st_size
    commit = push(ada, repo, path)
    assert len(commit) == 40
    assert fetched(ada, f"ada/{repo}") == digest_of(path)
    assert path.stat().st_size == size
    assert not waiting(hub)
    assert b"/xet/" not in hub.log.read_bytes()[before:]
    caches = [entry.name for entry in (ada.folder / "home" / "xet").iterdir()]
    assert any("127" in name for name in caches), caches  # it was Xet that sent


class Watched:
    """Resident memory of a hub's web processes, looked at all the time."""

    def __init__(self, hub: RunningHub) -> None:
        pids = [pid for pid, words in hub.pids().items() if "gunicorn" in words]
        self._processes = [psutil.Process(pid) for pid in pids]
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.before = self.peak = self.now()

    def now(self) -> float:
        """Return what they have together, in MB."""
        return sum(float(process.memory_info().rss) for process in self._processes) / 1e6

    def _look(self) -> None:
        while not self._ended.wait(0.02):
            self.peak = max(self.peak, self.now())

    def __enter__(self) -> Watched:
        self._thread.start()
        return self

    def __exit__(self, *_raised: object) -> None:
        self._ended.set()
        self._thread.join()


@pytest.mark.long
def test_200_mb_come_in_without_being_held_in_memory(
    hub: RunningHub, ada: Programs, tmp_path: Path
) -> None:
    first, path = tmp_path / "first.safetensors", tmp_path / "large.safetensors"
    write_adapter(first, rank=MIDDLE, seed=1, is_unique=True)
    size = write_adapter(path, rank=LARGE, is_unique=True)
    assert size > 200_000_000
    push(ada, "xet-first", first)  # what is loaded once is loaded
    with Watched(hub) as watched:
        push(ada, "xet-large", path)
    assert fetched(ada, "ada/xet-large") == digest_of(path)
    assert not waiting(hub)
    assert watched.peak - watched.before < GROWTH_MB, f"{watched.before} MB → {watched.peak} MB"


@pytest.mark.long
def test_a_similar_file_goes_up_with_the_same_cache(
    hub: RunningHub, ada: Programs, tmp_path: Path
) -> None:
    path = tmp_path / "sent.safetensors"
    write_adapter(path, rank=4, seed=2, is_unique=True)
    push(ada, "xet-again", path)
    whole = bytearray(path.read_bytes())
    whole[-100_000:] = bytes(range(64)) * 1562 + bytes(32)
    path.write_bytes(whole)
    push(ada, "xet-again", path)
    assert fetched(ada, "ada/xet-again") == digest_of(path)
    push(ada, "xet-other", path, "same bytes.safetensors")
    assert fetched(ada, "ada/xet-other", "same bytes.safetensors") == digest_of(path)
    assert not waiting(hub)


@pytest.mark.long
def test_many_files_of_a_folder_are_one_shard(
    hub: RunningHub, ada: Programs, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for seed in range(3):
        path = folder / f"noir-{seed}.safetensors"
        write_adapter(path, rank=2, tensors=300, seed=10 + seed, is_unique=True)
    ada.python(
        f"""
        from huggingface_hub import HfApi
        api = HfApi()
        api.create_repo("xet-folder")
        api.upload_folder(folder_path={str(folder)!r}, repo_id="ada/xet-folder")
        """
    )
    for path in folder.iterdir():
        assert fetched(ada, "ada/xet-folder", path.name) == digest_of(path)
    assert not waiting(hub)


def test_an_upload_that_is_killed_can_be_repeated_and_leaves_nothing(
    hub: RunningHub, ada: Programs, tmp_path: Path
) -> None:
    path = tmp_path / "sent.safetensors"
    write_adapter(path, rank=30, seed=3, is_unique=True)
    code = PUSH.format(repo="xet-cut", path=str(path), name="noir.safetensors")
    # Once the first piece is here, the client ends as if the machine went off.
    ada.python(
        f"""
        import os, threading, time
        def end():
            {asking(hub)}
            arrived = "SELECT count(*) FROM registry_xetxorb WHERE offsets IS NOT NULL"
            while not rows.execute(arrived).fetchone()[0]:
                time.sleep(0.01)
            os._exit(0)
        threading.Thread(target=end, daemon=True).start()
        """
        + code.replace("\n", "\n        ")
    )
    assert settled(hub)
    found: dict[str, Any] = {}
    exec(asking(hub), found)
    with closing(found["rows"]) as rows:
        rows.execute("UPDATE registry_xetsession SET touched_at = '2020-01-01 00:00:00+00:00'")
    hub.manage("sweep")
    assert not waiting(hub)
    push(ada, "xet-cut", path)
    assert fetched(ada, "ada/xet-cut") == digest_of(path)

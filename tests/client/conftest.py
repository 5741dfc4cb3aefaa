"""A hub over real sockets, a home of its own, and the command line in this process."""

from __future__ import annotations

import hashlib
import json
import os
import random
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lorary.cli import main
from lorary.client import Hub
from lorary.client.http import session as sessions
from lorary.client.http.retries import Backoff
from tests.builders.adapters import DENOISERS, kohya
from tests.client.fakehub import TOKEN, FakeHub, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SDK = Path(__file__).resolve().parents[2] / "sdk" / "src"
CLI = [sys.executable, "-m", "lorary"]


def sha(data: bytes) -> str:
    """Return a digest as the hub writes it."""
    return hashlib.sha256(data).hexdigest()


def parts(home: Path) -> list[Path]:
    """Return the downloads under way."""
    return sorted((home / "cache" / "blobs").glob("*.incomplete"))


@dataclass
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str
    documents: list[dict[str, Any]] = field(default_factory=list)

    @property
    def document(self) -> dict[str, Any]:
        """The one result."""
        assert len(self.documents) == 1, self.out
        return self.documents[0]


@pytest.fixture
def fake() -> Iterator[FakeHub]:
    with serving(FakeHub()) as hub:
        yield hub


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Collect the waits of retries and polls instead of waiting."""
    waited: list[float] = []
    monkeypatch.setattr(sessions, "Backoff", lambda: Backoff(sleep=waited.append))
    return waited


@pytest.fixture(autouse=True)
def environment(fake: FakeHub, home: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Point the client at the fake hub; no proxy and no settings of this computer."""
    for name in os.environ:
        if name.upper().endswith("_PROXY") or name.startswith("LORARY_"):
            monkeypatch.delenv(name)
    own = {"LORARY_ENDPOINT": fake.url, "LORARY_TOKEN": TOKEN, "LORARY_HOME": str(home)}
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    return {**os.environ, "PYTHONPATH": str(SDK), "PYTHONDONTWRITEBYTECODE": "1"}


@pytest.fixture
def hub(waits: list[float]) -> Iterator[Hub]:
    del waits
    with Hub() as client:
        yield client


@pytest.fixture
def run(waits: list[float], capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run a command in this process; with ``--json`` its standard output must be lines of JSON."""
    del waits

    def call(*words: object) -> Ran:
        capsys.readouterr()
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        lines = out.splitlines() if "--json" in words else []
        return Ran(code, out, err, [json.loads(line) for line in lines])

    return call


@pytest.fixture
def weights() -> bytes:
    """About 3 MB that no compressor could shorten."""
    return random.Random(7).randbytes(3_000_000)


@pytest.fixture
def lora(tmp_path: Path) -> Path:
    """A small adapter file."""
    place = tmp_path / "noir.safetensors"
    place.write_bytes(kohya(DENOISERS["sd1", "diffusers"]))
    return place

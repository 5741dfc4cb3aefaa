"""What a hub must keep while its files move and its backups are made, tried on real processes."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
import urllib.request
from typing import TYPE_CHECKING, Any, Self

from tests.builders.adapters import DENOISERS, kohya
from tests.e2e.talk import Caller, caller
from tests.running import ROOT, RunningHub

if TYPE_CHECKING:
    from types import TracebackType

SD1 = DENOISERS["sd1", "diffusers"]


def adapter(name: str, rank: int = 4) -> bytes:
    """Return weights that nobody else has."""
    return kohya(SD1, rank=rank, metadata={"ss_output_name": name})


def command(hub: RunningHub, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a management command that may refuse."""
    words = [sys.executable, "manage.py", *arguments]
    return subprocess.run(
        words, cwd=ROOT, env=hub.environ, capture_output=True, text=True, timeout=300, check=False
    )


def document_of(hub: RunningHub, *arguments: str) -> dict[str, Any]:
    """Run a command that must succeed and return its JSON."""
    done = command(hub, *arguments, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


class Publisher(threading.Thread):
    """Publishes one adapter after the other until it is told to stop.

    Attributes:
        acknowledged: Name → sha256 of what the hub said it has published.
    """

    def __init__(self, person: Caller, prefix: str) -> None:
        super().__init__()
        self.person, self.prefix = person, prefix
        self.acknowledged: dict[str, str] = {}
        self.has_published, self.fault = threading.Event(), ""
        self._stopping = threading.Event()

    def __enter__(self) -> Self:
        self.start()
        self.wait_for_another()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self.join(120)
        assert not self.fault, self.fault

    def wait_for_another(self) -> None:
        """Wait until something was published from now on."""
        self.has_published.clear()
        assert self.has_published.wait(120), self.fault

    def run(self) -> None:
        """Publish a few adapters each second."""
        number = 0
        while not self._stopping.wait(0.25):
            number += 1
            name = f"{self.prefix}-{number}"
            data = adapter(name)
            try:
                answer = self.person.publish(data, name)
                assert answer.status == 201, answer.body
            except Exception as error:  # noqa: BLE001 - told by the thread that waits for this one
                self.fault = f"{name}: {error!r}"
                self.has_published.set()
                return
            self.acknowledged[name] = hashlib.sha256(data).hexdigest()
            self.has_published.set()


class OpenUpload:
    """An upload that is sent by and by, by somebody who only knows what the hub answers."""

    def __init__(self, person: Caller, name: str, rank: int = 64) -> None:
        self.person, self.name = person, name
        self.data = adapter(name, rank)
        announced = person.announce("noir.safetensors", len(self.data))
        assert announced.status == 201, announced.body
        self.id = str(announced.document["id"])
        self.place = f"/api/v1/uploads/{self.id}"
        self.part_size = int(announced.document["part_size"])

    @property
    def count(self) -> int:
        """Number of its parts."""
        return -(-len(self.data) // self.part_size)

    def here(self) -> list[int]:
        """Return the parts that the hub says it has."""
        return [part["number"] for part in self.person.get(self.place).document["parts"]]

    def send(self, *numbers: int) -> None:
        """Send parts through the hub."""
        for number in numbers:
            start = (number - 1) * self.part_size
            body = self.data[start : start + self.part_size]
            answer = self.person.call("PUT", f"{self.place}/parts/{number}", body)
            assert answer.status == 200, answer.body

    def publish(self) -> str:
        """Send what is missing and publish; returns the digest."""
        here = self.here()
        self.send(*(number for number in range(1, self.count + 1) if number not in here))
        assert self.person.post(f"{self.place}/complete").status == 200
        assert self.person.final_state(self.id) == "accepted"
        assert self.person.post("/api/v1/adapters", {"name": self.name}).status == 201
        place = f"/api/v1/adapters/ada/{self.name}/versions"
        assert self.person.post(place, {"uploads": [self.id]}).status == 201
        return hashlib.sha256(self.data).hexdigest()


def require_all(person: Caller, published: dict[str, str]) -> None:
    """Download every published file and compare it."""
    for name, sha256 in published.items():
        place = f"/api/v1/adapters/ada/{name}/versions/v1/files/noir.safetensors"
        answer = person.get(place)
        if answer.status in {302, 307}:
            with urllib.request.urlopen(answer.headers["location"], timeout=60) as elsewhere:
                body = elsewhere.read()
        else:
            assert answer.status == 200, (name, answer.body)
            body = answer.body
        assert hashlib.sha256(body).hexdigest() == sha256, name


def moves_to(hub: RunningHub, url: str, *, rank: int = 64, keeps_parts: bool = True) -> None:
    """Move a running hub's files to another store while people use it.

    Args:
        hub: Running, with ``LORARY_STORAGE`` unset and parts of which an upload has several.
        url: Where to.
        rank: Of an adapter that is sent in three parts or more.
        keeps_parts: Whether parts that have arrived come along.
    """
    ada, place = caller(hub, "ada"), url.partition(":")[0]
    upload = OpenUpload(ada, f"slow-{place}", rank)
    upload.send(1, 2)
    with Publisher(ada, f"during-{place}") as publisher:
        first = document_of(hub, "storage", "copy", "--to", url)
        assert first["done"] >= 1
        publisher.wait_for_another()
    published = dict(publisher.acknowledged)
    waiting = OpenUpload(ada, f"waiting-{place}")
    refused = command(hub, "storage", "move", "--to", url)
    assert refused.returncode == 1
    assert "running on this data directory" in refused.stderr

    hub.stop()
    assert hub.wait_gone()
    moved = document_of(hub, "storage", "move", "--to", url)
    assert moved["moved"]
    assert moved["present"] >= first["done"]
    assert bool(moved["uploads"]["asked_again"]) != keeps_parts
    kept_elsewhere = {**hub.environ, "LORARY_STORAGE": (hub.data / "former").as_uri()}
    other = RunningHub(hub.data)
    other.environ = kept_elsewhere
    mistaken = command(other, "up", "--port", str(other.port))
    assert mistaken.returncode != 0
    assert "were moved to" in mistaken.stderr

    hub.start()
    ada = Caller(hub.port, ada.token)
    for one in (upload, waiting):
        one.person = ada
    assert upload.here() == ([1, 2] if keeps_parts else [])
    published[upload.name] = upload.publish()
    published[waiting.name] = waiting.publish()
    after = adapter(f"after-{place}")
    assert ada.publish(after, f"after-{place}").status == 201
    published[f"after-{place}"] = hashlib.sha256(after).hexdigest()
    require_all(ada, published)
    status = document_of(hub, "storage", "status")
    assert (status["storage"], status["missing"]) == (url, [])
    assert document_of(hub, "storage", "verify", "--all")["done"] == status["blobs"]
    hub.manage("doctor")


def restores(hub: RunningHub, anew: RunningHub, backup: str) -> None:
    """Back up a running hub while people use it, and make another hub of that.

    Args:
        hub: Running; it is stopped.
        anew: With a database without tables, and nothing in its data directory.
        backup: Folder of backups.
    """
    ada = caller(hub, "ada")
    upload = OpenUpload(ada, "slow")
    upload.send(1, 2)
    with Publisher(ada, "during") as publisher:
        hub.manage("backup", "--to", backup)
        publisher.wait_for_another()
        published = dict(publisher.acknowledged)
        made = document_of(hub, "backup", "--to", backup, "--keep", "1")
    assert made["ok"]
    assert made["files"]["present"] > 0
    busy = command(hub, "restore", "--from", backup)
    assert (busy.returncode, "running on this data directory" in busy.stderr) == (1, True)
    hub.stop()
    full = command(hub, "restore", "--from", backup)
    assert (full.returncode, "has tables already" in full.stderr) == (1, True)

    restored = document_of(anew, "restore", "--from", backup)
    assert restored["files"]["done"] == made["blobs"]
    assert upload.id in restored["uploads"]["asked_again"]
    assert (anew.data / "secret_key").read_text() == (hub.data / "secret_key").read_text()
    assert document_of(anew, "workers") == {"workers": []}  # those of the hub are not here
    with anew:
        anew.manage("doctor")
        ada = upload.person = Caller(anew.port, ada.token)  # tokens stay good
        assert upload.here() == []
        published["slow"] = upload.publish()
        require_all(ada, published)
        assert document_of(anew, "storage", "verify", "--all")["damaged"] == []
        assert document_of(anew, "backup", "--to", backup, "--keep", "2")["ok"]  # its own still

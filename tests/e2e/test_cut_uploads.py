"""Uploads whose server is killed: what was acknowledged is there, the rest is sent again."""

from __future__ import annotations

import hashlib
import http.client
import json
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from tests.builders.adapters import DENOISERS, kohya
from tests.e2e.commands import CommandLine
from tests.e2e.talk import Caller, caller, kept, kill_all, sent_from
from tests.running import RunningHub

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]

SD1 = DENOISERS["sd1", "diffusers"]
PART = 256 * 1024


@pytest.fixture(scope="module")
def data() -> bytes:
    """An adapter of about 3.5 MB: fourteen parts."""
    return kohya(SD1, rank=128)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    place = tmp_path_factory.mktemp("cut") / "hub"
    arguments = ("--queues", "checks")
    with RunningHub(place, *arguments, UPLOAD_PART_BYTES=str(PART)) as running:
        yield running


@pytest.fixture(scope="module")
def ada(hub: RunningHub) -> Caller:
    return caller(hub, "ada")


def part(data: bytes, number: int) -> bytes:
    return data[(number - 1) * PART : number * PART]


def announced(ada: Caller, data: bytes) -> tuple[str, int]:
    answer = ada.announce("noir.safetensors", len(data), hashlib.sha256(data).hexdigest())
    assert answer.status == 201, answer.body
    document = answer.document
    assert (document["part_size"], document["state"]) == (PART, "receiving")
    return f"/api/v1/uploads/{document['id']}", -(-len(data) // PART)


@contextmanager
def half_a_part(ada: Caller, place: str, number: int, bytes_: bytes) -> Iterator[None]:
    """Begin a part and stay silent in its middle."""
    connection = http.client.HTTPConnection("127.0.0.1", ada.port, timeout=30)
    connection.putrequest("PUT", f"{place}/parts/{number}")
    connection.putheader("Authorization", f"Bearer {ada.token}")
    connection.putheader("Content-Length", str(len(bytes_)))
    connection.endheaders(bytes_[: len(bytes_) // 2])
    time.sleep(0.3)  # let the server read what has come
    yield
    connection.close()


def test_parts_survive_a_kill_in_the_middle_of_one(
    hub: RunningHub, ada: Caller, data: bytes
) -> None:
    place, count = announced(ada, data)
    assert count > 8
    acknowledged = [3, 1, 2, 7]
    for number in acknowledged:
        assert ada.call("PUT", f"{place}/parts/{number}", part(data, number)).status == 200
    with half_a_part(ada, place, 4, part(data, 4)):
        kill_all(hub)

    upload = ada.get(place).document
    assert upload["state"] == "receiving"
    here = {one["number"]: one["sha256"] for one in upload["parts"]}
    assert here == {
        number: hashlib.sha256(part(data, number)).hexdigest() for number in acknowledged
    }
    incomplete = ada.post(f"{place}/complete")
    assert (incomplete.status, incomplete.code) == (409, "upload_incomplete")
    missing = incomplete.document["missing"]
    assert missing == [n for n in range(1, count + 1) if n not in acknowledged]
    for number in missing:
        assert ada.call("PUT", f"{place}/parts/{number}", part(data, number)).status == 200
    assert ada.post(f"{place}/complete").status == 200
    assert ada.final_state(upload["id"]) == "accepted"
    assert served(ada, upload["id"], "parts") == data


def served(ada: Caller, upload: str, name: str) -> bytes:
    """Publish an accepted upload and return the bytes that the hub sends for it."""
    assert ada.post("/api/v1/adapters", {"name": name}).status == 201
    place = f"/api/v1/adapters/ada/{name}/versions"
    assert ada.post(place, {"uploads": [upload]}).status == 201
    return ada.get(f"{place}/v1/files/noir.safetensors").body


@pytest.mark.long
def test_a_push_goes_on_with_what_a_kill_left(hub: RunningHub, ada: Caller, tmp_path: Path) -> None:
    path = tmp_path / "left.safetensors"
    path.write_bytes(kohya(SD1, rank=128, metadata={"left": "by a kill"}))
    data = path.read_bytes()
    begun = ada.announce(path.name, len(data), hashlib.sha256(data).hexdigest()).document
    for number in (1, 2, 5):
        body = part(data, number)
        assert ada.call("PUT", f"/api/v1/uploads/{begun['id']}/parts/{number}", body).status == 200
    kill_all(hub)

    line = CommandLine(hub, tmp_path / "home", ada.token)
    listed = [json.loads(row) for row in line.run("uploads", "--all-open", "--json").splitlines()]
    (told,) = [one for one in listed if one["id"] == begun["id"]]
    assert (told["state"], told["received"]) == ("receiving", 3 * PART)
    pushed = subprocess.run(
        [sys.executable, "-m", "lorary", "push", str(path), "--to", "ada/left"],
        env=line.environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "resuming left.safetensors: 786.4 kB of 3." in pushed.stderr
    refused = line.ask("uploads", "cancel", begun["id"], code=1)
    assert refused["error"]["code"] == "wrong_state"


@pytest.mark.long
def test_a_body_cut_by_a_kill_is_sent_again(hub: RunningHub, ada: Caller) -> None:
    data = kohya(SD1, rank=64, metadata={"sent": "whole"})
    place, _count = announced(ada, data)

    def slowly() -> Iterator[bytes]:
        for start in range(0, len(data), PART):
            yield data[start : start + PART]
            time.sleep(0.1)

    def send() -> None:
        with suppress(OSError, http.client.HTTPException):
            ada.call("PUT", f"{place}/content", slowly(), {"Content-Length": str(len(data))})

    sending = threading.Thread(target=send)
    sending.start()
    time.sleep(0.5)
    kill_all(hub)
    sending.join(30)
    assert not sending.is_alive()

    upload = ada.get(place).document
    here = [one["number"] for one in upload["parts"]]
    assert upload["state"] == "receiving"
    assert here == list(range(1, len(here) + 1))  # what came whole counts
    assert upload["received"] == len(here) * PART < len(data)
    assert ada.call("PUT", f"{place}/content", data).status == 200
    assert ada.final_state(upload["id"]) == "accepted"
    assert served(ada, upload["id"], "whole") == data


def test_a_kill_during_the_checks_ends_in_a_verdict(
    hub: RunningHub, ada: Caller, tmp_path: Path
) -> None:
    source = tmp_path / "noir.safetensors"
    for trial in range(5):  # a quick worker can be done before the answer is here
        source.write_bytes(kohya(SD1, rank=512, metadata={"checked": f"twice, {trial}"}))
        size = source.stat().st_size
        upload: dict[str, Any] = ada.announce("noir.safetensors", size).document
        place = f"/api/v1/uploads/{upload['id']}"
        sent = ada.call("PUT", f"{place}/content", sent_from(source), {"Content-Length": str(size)})
        kill_all(hub)
        assert sent.status == 200
        assert ada.final_state(upload["id"]) == "accepted"
        files = [path for path in kept(hub).files if "incoming" in path]
        assert files == []
        if sent.document["state"] == "checking":
            return
    pytest.fail("The checks were always done before the kill.")

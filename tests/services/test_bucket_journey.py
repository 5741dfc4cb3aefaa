"""A hub in processes of its own on a bucket, and the client that everybody uses."""

from __future__ import annotations

import hashlib
import json
import signal
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from lorary.client import Hub
from tests.builders.adapters import DENOISERS, kohya
from tests.running import RunningHub

if TYPE_CHECKING:
    from pathlib import Path

    from tests.buckets import SeaweedFS

pytestmark = [pytest.mark.long, pytest.mark.service, pytest.mark.slow, pytest.mark.e2e]

MIB = 2**20


def call(hub: RunningHub, token: str, method: str, path: str, body: object) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
    headers = {"Authorization": f"Bearer {token}", "Content-Type": kind}
    address = f"{hub.url}/api/v1/{path}"
    request = urllib.request.Request(address, data=data, method=method, headers=headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def test_a_push_goes_on_after_the_hub_was_killed_and_comes_back_by_a_pull(
    bucket_server: SeaweedFS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORARY_HOME", str(tmp_path / "home"))
    data = kohya(DENOISERS["sd1", "diffusers"], rank=240, dtype="F32")
    digest = hashlib.sha256(data).hexdigest()
    file = tmp_path / "noir.safetensors"
    file.write_bytes(data)
    settings = {"STORAGE": bucket_server.storage(), "UPLOAD_PART_BYTES": "5MiB"}
    with RunningHub(tmp_path / "hub", "--queues", "checks", **settings) as hub:
        token = hub.manage("token", "--user", "ada", "--create").strip()
        announced = {"path": file.name, "size": len(data), "sha256": digest}
        upload = call(hub, token, "POST", "uploads", announced)
        first = f"uploads/{upload['id']}/parts/1"
        assert call(hub, token, "PUT", first, data[: 5 * MIB])["size"] == 5 * MIB
        hub.stop(signal.SIGKILL)
        assert hub.wait_gone()
        hub.start()
        with Hub(hub.url, token=token) as client:
            client.push(file, "ada/noir")
            (sent,) = client.uploads()
            assert (sent.id, sent.state) == (upload["id"], "accepted")
            client.pull("ada/noir", to=tmp_path / "here")
        (pulled,) = (tmp_path / "here").rglob("*.safetensors")
        assert hashlib.sha256(pulled.read_bytes()).hexdigest() == digest
    assert "Traceback" not in hub.log.read_text()

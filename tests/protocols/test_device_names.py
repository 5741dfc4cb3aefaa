"""Device names of Windows: nothing new has one, by any protocol; existing ones stay valid."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from registry.models import Adapter
from tests import catalogue

if TYPE_CHECKING:
    from django.test import Client

pytestmark = pytest.mark.django_db

WHY = "device name on Windows"
DEVICES = ["con", "PRN.v2", "Aux", "nul", "com1", "LPT9.x"]
FILES = ["con.txt", "NUL.safetensors", "a/aux.md", "com1.tar.gz/x.txt", "lpt9"]


def post(client: Client, path: str, body: dict[str, Any]) -> Any:
    return client.post(path, json.dumps(body), content_type="application/json")


def commit(client: Client, repo: str, path: str) -> Any:
    """Commit a small file as the Hub's clients do."""
    file = {"path": path, "content": base64.b64encode(b"hello").decode(), "encoding": "base64"}
    lines = [{"key": "header", "value": {"summary": "x"}}, {"key": "file", "value": file}]
    body = "\n".join(json.dumps(line) for line in lines)
    place = f"/api/models/{repo}/commit/main"
    return client.post(place, body, content_type="application/x-ndjson")


@pytest.mark.parametrize("name", DEVICES)
def test_no_new_adapter_has_one(as_ada: Client, noir: Adapter, name: str) -> None:
    by_hub = post(as_ada, "/api/repos/create", {"name": name, "type": "model"})
    by_move = post(
        as_ada,
        "/api/repos/move",
        {"fromRepo": "ada/noir", "toRepo": f"ada/{name}", "type": "model"},
    )
    by_api = post(as_ada, "/api/v1/adapters", {"name": name})
    for answer in (by_hub, by_move, by_api):
        assert answer.status_code == 400
        assert WHY in answer.content.decode()
    assert list(Adapter.objects.all()) == [noir]


@pytest.mark.parametrize("path", FILES)
def test_no_new_file_has_one(as_ada: Client, noir: Adapter, path: str) -> None:
    preupload = post(
        as_ada,
        "/api/models/ada/noir/preupload/main",
        {"files": [{"path": path, "size": 5, "sample": base64.b64encode(b"hello").decode()}]},
    )
    upload = post(as_ada, "/api/v1/uploads", {"path": path, "size": 5})
    for answer in (preupload, commit(as_ada, "ada/noir", path), upload):
        assert answer.status_code == 400
        assert f"{WHY}; rename it" in answer.content.decode()


def test_an_adapter_from_before_goes_on(as_ada: Client, noir: Adapter, lora: bytes) -> None:
    Adapter.objects.filter(pk=noir.pk).update(name="con", key="con")
    noir.names.update(key="con")
    noir.refresh_from_db()
    assert commit(as_ada, "ada/con", "notes.txt").status_code == 200
    assert as_ada.get("/ada/con/resolve/main/notes.txt").status_code == 200
    catalogue.release(noir, lora[:-1] + b"\1", path="second.safetensors")
    moved = {"fromRepo": "ada/con", "toRepo": "ada/noir-again", "type": "model"}
    assert post(as_ada, "/api/repos/move", moved).status_code == 200
    assert as_ada.get("/api/v1/adapters/ada/noir-again").status_code == 200


def test_a_page_publishes_a_version_of_one_from_before(client: Client, noir: Adapter) -> None:
    user = noir.namespace.user
    assert user is not None
    client.force_login(user)
    assert WHY in client.get("/publish/name?name=con").content.decode()
    Adapter.objects.filter(pk=noir.pk).update(name="con", key="con")
    noir.names.update(key="con")
    assert "This adapter exists" in client.get("/publish/name?name=con").content.decode()
    assert client.get("/publish?to=ada/con").status_code == 200

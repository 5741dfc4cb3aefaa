"""“What does this picture use?”: pictures and workflows are read, and nothing is stored."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext

from hub.pages.pictures import resolve
from registry.models import Adapter, BlobHash, Upload, Visibility
from tests.pictures import containers

if TYPE_CHECKING:
    from django.test import Client

pytestmark = pytest.mark.django_db

PAGE = "/resolve"
A1111 = 'a cat <lora:any:0.8>\nSteps: 4, Seed: 1, Lora hashes: "any: {}", Version: 1'


def graph(*names: str) -> str:
    nodes = {
        str(number): {"class_type": "LoraLoader", "inputs": {"lora_name": name}}
        for number, name in enumerate(names)
    }
    return json.dumps(nodes)


def send(client: Client, *files: tuple[str, bytes]) -> Any:
    sent = [SimpleUploadedFile(name, data) for name, data in files]
    return client.post(PAGE, {"files": sent})


def shown(response: Any) -> str:
    content: bytes = response.content
    return " ".join(content.decode().split())


@pytest.fixture
def known(noir: Adapter) -> dict[str, str]:
    """Kind → hash of the published file `noir.safetensors`."""
    assert noir.latest_version is not None
    return dict(BlobHash.objects.values_list("kind", "value"))


def test_the_form_needs_no_script(client: Client) -> None:
    text = shown(client.get(PAGE))
    assert 'enctype="multipart/form-data"' in text
    assert "read and not stored" in text


@pytest.mark.parametrize("kind", ["autov2", "autov3", "sha256"])
def test_a_hash_leads_to_the_adapter(client: Client, known: dict[str, str], kind: str) -> None:
    text = A1111.format(known[kind])
    for container in (containers.png, containers.jpeg, containers.webp, containers.document):
        page = shown(send(client, ("a.png", container({"parameters": text}))))
        assert '<a href="/ada/noir?v=v1">ada/noir v1</a>' in page
        assert "the file may differ" not in page
    assert Upload.objects.count() == 1  # that of the fixture


def test_a_name_is_enough_without_a_hash(client: Client, known: dict[str, str]) -> None:
    del known
    page = shown(send(client, ("w.json", graph("style/noir.safetensors", "lost.pt").encode())))
    assert '<a href="/ada/noir?v=v1">ada/noir v1</a>' in page
    assert "the file may differ" in page
    assert 'href="/browse?q=lost"' in page


def test_a_hash_beats_a_name(client: Client, known: dict[str, str]) -> None:
    del known
    text = A1111.format("0123456789ab").replace("any", "noir")
    page = shown(send(client, ("a.txt", text.encode())))
    assert "Not here" in page
    assert "/ada/noir?v=" not in page


def test_private_adapters_are_not_revealed(client: Client, known: dict[str, str]) -> None:
    Adapter.objects.update(visibility=Visibility.PRIVATE)
    text = A1111.format(known["sha256"])
    page = shown(send(client, ("a.txt", text.encode()), ("w.json", graph("noir.pt").encode())))
    assert page.count("Not here") == 2
    assert "ada/noir" not in page


def test_films_are_read(client: Client, known: dict[str, str]) -> None:
    del known
    film = containers.mp4({"prompt": graph("noir.safetensors")})
    assert "ada/noir v1" in shown(send(client, ("clip.mp4", film)))


def test_each_file_has_its_own_problem(client: Client, known: dict[str, str]) -> None:
    broken = containers.png({"parameters": "x"})[:60]
    good = A1111.format(known["sha256"]).encode()
    response = send(client, ("<b>.png", broken), ("none.txt", b"a note"), ("a.txt", good))
    page = shown(response)
    assert response.status_code == 200
    assert "&lt;b&gt;.png" in page
    assert "The file is incomplete." in page
    assert "It names no LoRA" in page
    assert "ada/noir v1" in page
    assert send(client, ("x.png", broken)).status_code == 422


def test_texts_of_strangers_are_escaped(client: Client) -> None:
    page = shown(send(client, ("a.json", graph("<script>alert(1)</script>.pt").encode())))
    assert "<script>alert" not in page
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize("name", ["\ud800--noir.pt", "a\0b--c.pt", "\ud800"])
def test_names_that_no_database_takes_are_not_here(client: Client, name: str) -> None:
    response = send(client, ("w.json", graph(name).encode()))
    assert response.status_code == 200
    assert "/browse?q=" in shown(response) or "Without a name" in shown(response)


def test_the_number_and_the_size_of_files_are_limited(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert send(client).status_code == 400
    many = [("a.txt", b"x")] * (resolve.MAX_FILES + 1)
    assert "at most 10 files" in shown(send(client, *many))
    monkeypatch.setattr(resolve, "MAX_PICTURE_BYTES", 2**20)
    page = shown(send(client, ("a.txt", b"x" * (2**20 + 1))))
    assert "larger than 1 MiB" in page


def test_queries_do_not_grow_with_hashes(client: Client, known: dict[str, str]) -> None:
    pairs = ", ".join(f"a{number}: {number:012x}" for number in range(50))
    text = A1111.format(f"{known['autov3']}, {pairs}")
    with CaptureQueriesContext(connection) as queries:
        page = shown(send(client, ("a.txt", text.encode())))
    assert "ada/noir v1" in page
    assert len(queries) <= 10

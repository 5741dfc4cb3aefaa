"""The page of a version with a file for each half of its base."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

import pytest

from registry.adapters import services as adapters
from registry.publication import services as publication
from tests import catalogue
from tests.builders.adapters import DENOISERS, kohya

if TYPE_CHECKING:
    from django.test import Client

    from registry.models import Adapter, User

pytestmark = pytest.mark.django_db

TARGETS = DENOISERS["wan_14b", "native"]


def release_pair(ada: User, high: str, low: str) -> Adapter:
    adapter = adapters.create(actor=ada, name="noir", kind="style")
    sent = [
        catalogue.accept(ada, kohya(TARGETS, rank=rank), f"{name}.safetensors")
        for name, rank in ((high, 4), (low, 8))
    ]
    publication.release(actor=ada, adapter=adapter, uploads=sent)
    return adapter


@pytest.fixture
def pair(ada: User) -> Adapter:
    return release_pair(ada, "noir_high", "noir_low")


def page(client: Client, tab: str = "files") -> str:
    text = client.get(f"/ada/noir?tab={tab}").content.decode()
    return html.unescape(" ".join(text.split()))


def test_both_files_are_offered_and_named(client: Client, pair: Adapter) -> None:
    text = page(client)
    assert "This version is a pair" in text
    assert 'noir_high.safetensors<span class="chip quiet">primary</span>' in text
    assert '<span class="chip quiet">high noise</span>' in text
    assert '<span class="chip quiet">low noise</span>' in text
    low = "/api/v1/adapters/ada/noir/versions/v1/files/noir_low.safetensors"
    assert f'<a href="{low}" download>Download noir_low.safetensors' in text


def test_tools_get_both_files(client: Client, pair: Adapter) -> None:
    text = page(client)
    assert (
        'path = lorary.pull("ada/noir@v1"); pipe.load_lora_weights(path); '
        'pipe.load_lora_weights(path.parent / "noir_low.safetensors", load_into_transformer_2=True)'
    ) in text
    files = "http://testserver/api/v1/adapters/ada/noir/versions/v1/files"
    assert f"curl -fLJ -O {files}/noir_high.safetensors -O {files}/noir_low.safetensors" in text
    assert "<lora:" not in text


def test_halves_with_one_name_are_saved_under_two(client: Client, ada: User) -> None:
    paths = [f"{half}_noise/pytorch_lora_weights" for half in ("high", "low")]
    release_pair(ada, *paths)
    names = ["ada--noir.safetensors", "ada--noir--low-noise.safetensors"]
    assert " ".join(names) in page(client)
    for path, name in zip(paths, names, strict=True):
        answer = client.head(f"/api/v1/adapters/ada/noir/versions/v1/files/{path}.safetensors")
        assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}"'

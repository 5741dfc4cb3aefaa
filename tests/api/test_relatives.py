"""``/relatives``: versions with weights that are copies or relatives of a file's."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lorary.algebra.recognition.documents import sketch_document
from registry.adapters import services as adapters
from registry.models import Adapter, Version
from tests import catalogue
from tests.builders.relatives import rewritten, write_original

if TYPE_CHECKING:
    from pathlib import Path

    from registry.models import User
    from tests.api.conftest import Caller

pytestmark = pytest.mark.django_db


@pytest.fixture
def copy(noir: Adapter, tmp_path: Path) -> Path:
    """A copy in fp16 of what is published."""
    original, out = tmp_path / "noir.safetensors", tmp_path / "copy.safetensors"
    write_original(original, "sd1", "kohya", seed=3, modules=8)
    catalogue.release(noir, original.read_bytes())
    return rewritten(original, out, lambda _, array: array.astype(np.float16))


@pytest.fixture
def sketch(copy: Path) -> dict[str, object]:
    document = sketch_document(copy)
    assert document is not None
    return document


def published(user: User, path: Path, name: str, visibility: str = "public") -> Version:
    there = adapters.create(actor=user, name=name, visibility=visibility)
    return catalogue.release(there, path.read_bytes())


def test_a_version_has_its_relatives(stranger: Caller, bob: User, copy: Path) -> None:
    published(bob, copy, "half")
    (one,) = stranger.send("get", "adapters/bob/half/versions/v1/relatives").json()["results"]
    assert (one["relation"], one["direction"]) == ("number_format", "from")
    assert (one["cosine"], one["strength"]) == (pytest.approx(1, abs=1e-4),) * 2
    assert one["version"]["adapter"] == "ada/noir"
    assert one["file"]["download_url"].endswith("/ada/noir/versions/v1/files/noir.safetensors")
    (back,) = stranger.send("get", "adapters/ada/noir/versions/v1/relatives").json()["results"]
    assert (back["version"]["adapter"], back["direction"]) == ("bob/half", "to")


def test_a_sketch_finds_what_its_sender_may_see(
    stranger: Caller, as_bob: Caller, bob: User, copy: Path, sketch: dict[str, object]
) -> None:
    published(bob, copy, "mine", visibility="private")

    def asked(caller: Caller) -> list[tuple[Any, Any]]:
        results = caller.send("post", "relatives", sketch).json()["results"]
        return [(one["version"]["adapter"], one["relation"]) for one in results]

    assert asked(stranger) == [("ada/noir", "number_format")]
    assert asked(as_bob) == [("bob/mine", "same_weights"), ("ada/noir", "number_format")]
    address = "adapters/ada/noir/versions/v1/relatives"
    assert stranger.send("get", address).json()["results"] == []
    assert stranger.send("get", "adapters/bob/mine/versions/v1/relatives").status_code == 404


def test_sketches_that_cannot_be_compared_are_refused(
    stranger: Caller, sketch: dict[str, object]
) -> None:
    good = base64.b64decode(str(sketch["weights"]))
    invalid = [good[:-1], good[:8], b"\xff" * 8 + good[8:], good[:8] + b"\xff" * (len(good) - 8)]
    bodies = [
        {**sketch, "form": 99},
        {**sketch, "weights": "not base64!"},
        {**sketch, "weights": ""},
        {**sketch, "extra": 1},
        *({**sketch, "weights": base64.b64encode(data).decode()} for data in invalid),
    ]
    for body in bodies:
        answer = stranger.send("post", "relatives", body)
        assert (answer.status_code, answer.json()["code"]) == (400, "validation_failed")

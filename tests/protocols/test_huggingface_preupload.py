"""How files are to travel, and what is refused before it does."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from hub.protocols.huggingface.repos.shapes import INLINE_BYTES
from registry.publication import services as publication
from registry.versions import withdraw
from tests import catalogue as steps

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from registry.models import Adapter, User, Version

pytestmark = pytest.mark.django_db

PLACE = "/api/models/ada/noir/preupload/main"
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 100


def file(path: str, data: bytes = b"{}", size: int | None = None) -> dict[str, Any]:
    sample = base64.b64encode(data[:512]).decode()
    return {"path": path, "size": len(data) if size is None else size, "sample": sample}


def ask(client: Client, *files: Any, place: str = PLACE, **more: Any) -> Any:
    return client.post(place, json.dumps({"files": files, **more}), content_type="application/json")


def told(client: Client, *files: Any) -> list[dict[str, Any]]:
    answer = ask(client, *files)
    assert answer.status_code == 200, answer.content
    return list(answer.json()["files"])


def git_oid(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@pytest.mark.parametrize(
    ("path", "size", "mode"),
    [
        ("README.md", 2, "regular"),
        ("sub/adapter_config.json", INLINE_BYTES, "regular"),
        ("prompts.txt", INLINE_BYTES + 1, "lfs"),
        ("a.yaml", 2, "regular"),
        ("other.safetensors", 2, "lfs"),
        ("OTHER.SAFETENSORS", 2, "lfs"),
    ],
)
def test_small_texts_travel_inside_the_commit(
    as_ada: Client, noir: Adapter, path: str, size: int, mode: str
) -> None:
    (said,) = told(as_ada, {"path": path, "size": size})
    assert said == {"path": path, "uploadMode": mode, "shouldIgnore": False}


def test_pictures_travel_by_their_length(as_ada: Client, noir: Adapter) -> None:
    small, large = told(as_ada, file("a.png", PNG), file("b.png", PNG, INLINE_BYTES + 1))
    assert (small["uploadMode"], large["uploadMode"]) == ("regular", "lfs")


def test_a_client_learns_what_is_here_already(
    as_ada: Client, ada: User, noir: Adapter, lora: bytes
) -> None:
    card = b"# Noir\n"
    uploads = [steps.accept(ada, lora), steps.accept(ada, card, "notes.md")]
    publication.release(actor=ada, adapter=noir, uploads=uploads)
    weights, notes, other = told(
        as_ada, file("noir.safetensors", lora), file("notes.md", card), file("b.md", card)
    )
    assert weights["oid"] == hashlib.sha256(lora).hexdigest()
    assert notes["oid"] == git_oid(card)
    assert "oid" not in other


def test_what_was_withdrawn_is_not_here(
    as_ada: Client, ada: User, noir: Adapter, first: Version, lora: bytes
) -> None:
    withdraw.withdraw(actor=ada, version=first, reason="Copied.")
    (said,) = told(as_ada, file("noir.safetensors", lora))
    assert "oid" not in said


PATHS = [
    "training_args.bin", "optimizer.pt", "checkpoint-500/scheduler.pt", "rng_state.pth",
    "rng_state_0.pth", "checkpoint-500/random_states_0.pkl", ".gitattributes", ".gitignore",
    "logs/.cache/x", "logs/dreambooth/events.out.tfevents.1700000000.host.1.0",
]  # fmt: skip


def test_the_state_of_a_trainer_is_left_out(
    as_ada: Client, noir: Adapter, subtests: pytest.Subtests
) -> None:
    for path in PATHS:
        with subtests.test(path=path):
            (said,) = told(as_ada, file(path, b"PK\x03\x04" + b"\0" * 60))
            assert said["shouldIgnore"] is True


PATHS_TRAVELS = [
    ("pytorch_lora_weights.bin", b"\x80\x02}q\0.", "has the name of a Python pickle"),
    ("noir.pt", b"PK\x03\x04" + b"\0" * 600, "Save weights as .safetensors"),
    ("noir.safetensors", b"PK\x03\x04" + b"\0" * 600, "Convert it to safetensors"),
    ("noir.safetensors", b"\x80\x02}q\0" + b"a" * 600, "can run code"),
    ("noir.safetensors", b'{"error": "not found"}' * 40, "JSON"),
    ("noir.safetensors", b"abcd", "takes eight"),
    ("a.png", b"<html>" * 100, "match its suffix"),
    ("a.json", b"\0" * 100, "match its suffix"),
    ("setup.exe", b"MZ" * 100, "unsupported type"),
]


def test_what_would_be_refused_is_refused_before_it_travels(
    as_ada: Client, noir: Adapter, subtests: pytest.Subtests
) -> None:
    for path, data, words in PATHS_TRAVELS:
        with subtests.test(path=path, data=data, words=words):
            answer = ask(as_ada, file("fine.md"), file(path, data, max(len(data), 4)))
            assert answer.status_code in {400, 422}
            assert words in answer.json()["error"], answer.json()
            assert path in answer.json()["error"]
            assert words in " ".join(one["message"] for one in answer.json()["errors"])
            assert answer.headers["X-Error-Message"]


def test_a_refusal_is_told_once(as_ada: Client, noir: Adapter) -> None:
    """Clients write header, ``error`` and ``errors`` below each other, without repetitions."""
    answer = ask(as_ada, file("a.pt", b"PK\x03\x04"), file("setup.exe", b"MZ" * 100))
    said = answer.json()
    first, second = (one["message"] for one in said["errors"])
    assert answer.headers["X-Error-Message"] == said["error"] == first
    assert first.endswith("(is_pickle)")
    assert "setup.exe" in second


def test_an_empty_file_is_asked_for_and_empty_weights_are_refused(
    as_ada: Client, noir: Adapter
) -> None:
    (said,) = told(as_ada, file("empty.txt", b""))
    assert (said["uploadMode"], said["shouldIgnore"]) == ("regular", False)
    assert ask(as_ada, file("empty.png", b"")).status_code == 422  # no picture is empty
    assert ask(as_ada, file("empty.safetensors", b"")).status_code == 422


def test_the_header_of_weights_may_go_on_behind_the_sample(
    as_ada: Client, noir: Adapter, lora: bytes
) -> None:
    assert len(lora) > 512
    (said,) = told(as_ada, file("other.safetensors", lora))
    assert said["uploadMode"] == "lfs"


ROWS = [
    (None, 400), (3, 400), ({}, 400), ({"path": "a.md"}, 400), ({"path": 3, "size": 3}, 400),
    ({"path": "a.md", "size": "3"}, 400), ({"path": "a.md", "size": -1}, 400),
    ({"path": "a.md", "size": 2**63}, 400), ({"path": "a.md", "size": True}, 400),
    ({"path": "a.md", "size": 3, "sample": "ä"}, 400), ({"path": "a//b.md", "size": 3}, 400),
    ({"path": "a\0.md", "size": 3}, 400), ({"path": "\ud800.md", "size": 3}, 400),
    ({"path": "", "size": 3}, 400), ({"path": "x" * 5000, "size": 3}, 400),
    ({"path": "a.safetensors", "size": 2**62}, 413),
]  # fmt: skip


def test_what_makes_no_sense_is_refused(
    as_ada: Client, noir: Adapter, subtests: pytest.Subtests
) -> None:
    for row, status in ROWS:
        with subtests.test(row=row, status=status):
            assert ask(as_ada, row).status_code == status


def test_other_bodies_are_refused(as_ada: Client, noir: Adapter) -> None:
    wrong: list[dict[str, Any]] = [{}, {"files": {}}, {"files": "x"}, {"files": [{}] * 1001}]
    for body in wrong:
        answer = as_ada.post(PLACE, json.dumps(body), content_type="application/json")
        assert answer.status_code == 400
    huge = as_ada.post(PLACE, b" " * (3 * 2**20), content_type="application/json")
    assert huge.status_code == 413


def test_a_push_needs_a_branch_and_makes_no_proposal(as_ada: Client, noir: Adapter) -> None:
    nowhere = ask(as_ada, file("a.md"), place="/api/models/ada/noir/preupload/nowhere")
    assert (nowhere.status_code, nowhere.headers["X-Error-Code"]) == (404, "RevisionNotFound")
    proposal = ask(as_ada, file("a.md"), place=f"{PLACE}?create_pr=1")
    assert proposal.status_code == 403
    assert "no pull requests" in proposal.json()["error"]


def test_only_who_may_push_is_told(
    stranger: Client, as_bob: Client, noir: Adapter, token_of: Callable[..., str]
) -> None:
    assert ask(stranger, file("a.md")).status_code == 401
    assert ask(as_bob, file("a.md")).status_code == 403

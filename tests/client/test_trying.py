"""`lorary try` and `Hub.try_stack`: what is sent, what is waited for, what is left behind."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from lorary.client import Hub, Layer, Progress
from lorary.client.errors import LoraryError, ReferenceInvalid, TimedOut
from lorary.client.http import session as sessions
from lorary.client.http.retries import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.client.conftest import Ran
    from tests.client.fakehub import FakeHub

    Run = Callable[..., Ran]

PNG = b"\x89PNG\r\n\x1a\n and more"
WORDS = ("try", "studio/noir@v3:0.8", "--prompt", "a lighthouse")


def tryout(fake: FakeHub, state: str, **more: Any) -> dict[str, Any]:
    images = [{"id": 9, "url": "http://inside:8000/media/images/9.png", "prompt": "x", "seed": 7}]
    return {
        "key": "0b1f", "url": f"{fake.url}/mixer/0b1f", "state": state, "reason": "",
        "progress": {"done": 2, "total": 8}, "queue": {"ahead": 0, "workers": 1},
        "layers": [{"adapter": "studio/noir", "version": "v3", "strength": 0.8}],
        "recipe": {"seeds": [7], "prompts": ["a lighthouse, noir style"]},
        "images": images if state == "ready" else [], "expires_at": "2026-12-02T00:00:00Z", **more,
    }  # fmt: skip


def answer(
    fake: FakeHub, pattern: str, document: object, status: int = 200, **headers: str
) -> None:
    fake.answers.append((pattern, status, headers, json.dumps(document).encode()))


@pytest.fixture
def ready(fake: FakeHub) -> FakeHub:
    """A hub that queues, renders and has the picture."""
    answer(fake, "tryouts$", tryout(fake, "queued"), 202)
    for state in ("running", "ready"):
        answer(fake, "tryouts/0b1f", tryout(fake, state))
    fake.answers.append(("/media/images/9.png", 200, {}, PNG))
    return fake


def test_a_stack_becomes_a_file(ready: FakeHub, run: Run, tmp_path: Path) -> None:
    ran = run(*WORDS, "--seed", 7, "--out", tmp_path / "night.png", "--json")
    assert (ran.code, ran.err) == (0, "lorary: rendering…\n")
    assert (tmp_path / "night.png").read_bytes() == PNG
    assert ran.document["local_path"] == str(tmp_path / "night.png")
    assert (ran.document["seed"], ran.document["prompt"]) == (7, "a lighthouse, noir style")
    assert ran.document["layers"][0]["version"] == "v3"
    [asked] = ready.requests("^POST")
    assert asked.path == "/api/v1/tryouts"
    # The hub calls itself “inside”; the token goes where it was asked for, and nowhere else.
    [fetched] = ready.requests("/media/")
    assert fetched.headers["Authorization"] == asked.headers["Authorization"]


def test_without_a_file_the_page_is_shown(ready: FakeHub, run: Run) -> None:
    ran = run(*WORDS)
    assert ran.code == 0
    assert ran.out.splitlines()[0] == f"{ready.url}/mixer/0b1f"
    assert not ready.requests("/media/")


def test_steps_and_waiting_are_reported(fake: FakeHub, hub: Hub) -> None:
    nobody = {"ahead": 0, "workers": 0}
    answer(fake, "tryouts$", tryout(fake, "queued", queue=nobody), 202)
    waits = {"reason": "waiting for a worker for SDXL", "queue": None}
    answer(fake, "tryouts/0b1f", tryout(fake, "waiting", **waits))
    for state in ("running", "ready"):
        answer(fake, "tryouts/0b1f", tryout(fake, state))
    told: list[Progress] = []
    found = hub.try_stack(["studio/noir"], "a lighthouse", on_progress=told.append)
    assert found.images[0].url.endswith("/9.png")
    assert [(one.stage, one.name, one.done) for one in told] == [
        ("wait", "for a worker for its base model", 0),
        ("wait", "for a worker for SDXL", 0),
        ("render", "the stack", 2),
    ]


def test_each_new_state_is_said_without_a_terminal(fake: FakeHub, run: Run) -> None:
    nobody = {"ahead": 0, "workers": 0}
    answer(fake, "tryouts$", tryout(fake, "queued", queue=nobody), 202)
    answer(fake, "tryouts/0b1f", tryout(fake, "queued", queue=nobody))
    for state in ("running", "running", "ready"):
        answer(fake, "tryouts/0b1f", tryout(fake, state))
    ran = run(*WORDS)
    assert ran.err.splitlines() == [
        "lorary: waiting for a worker for its base model…", "lorary: rendering…",
    ]  # fmt: skip


def test_ctrl_c_stops_the_hub_too(fake: FakeHub, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sessions, "Backoff", lambda: Backoff(sleep=interrupted))
    answer(fake, "tryouts$", tryout(fake, "queued"), 202)
    fake.answers.append(("tryouts/0b1f", 204, {}, b""))
    assert run(*WORDS).code == 130
    assert [seen.path for seen in fake.requests("^DELETE")] == ["/api/v1/tryouts/0b1f"]


def test_a_failure_tells_the_hubs_reason(fake: FakeHub, run: Run) -> None:
    answer(fake, "tryouts$", tryout(fake, "queued"), 202)
    answer(fake, "tryouts/0b1f", tryout(fake, "failed", reason="The file holds no modules."))
    ran = run(*WORDS, "--json")
    assert ran.code == 1
    assert ran.document["error"] == {
        "code": "render_failed",
        "message": "The file holds no modules.",
    }


@pytest.mark.parametrize(
    ("status", "code", "exit_code"),
    [
        (400, "validation_failed", 1),
        (401, "not_authenticated", 4),
        (404, "not_found", 3),
        (409, "wrong_state", 1),
        (429, "rate_limited", 5),
    ],
)
def test_refusals_have_their_exit_codes(
    fake: FakeHub, run: Run, status: int, code: str, exit_code: int
) -> None:
    for _try in range(5):  # as often as it is worth asking again
        answer(fake, "tryouts$", {"code": code, "detail": "No.", "status": status}, status)
    ran = run(*WORDS, "--json")
    assert (ran.code, ran.document["error"]["code"]) == (exit_code, code)


@pytest.mark.parametrize("layer", ["noir", "studio/noir:loud", "studio/noir@:1", "studio/noir@v1:"])
def test_layers_that_cannot_be_read_are_wrong_usage(fake: FakeHub, run: Run, layer: str) -> None:
    ran = run("try", layer, "--prompt", "x", "--json")
    assert (ran.code, ran.document["error"]["code"]) == (2, "reference_invalid")
    assert not fake.seen


def test_layers_are_sent_as_they_were_said() -> None:
    assert Layer.parse("studio/noir").to_json() == {"adapter": "studio/noir"}
    assert Layer.parse("studio/noir@v2:-0.5").to_json() == {
        "adapter": "studio/noir",
        "version": "v2",
        "strength": -0.5,
    }
    with pytest.raises(ReferenceInvalid):
        Layer.parse("studio/noir:")


def test_what_was_not_said_is_not_sent(ready: FakeHub, hub: Hub) -> None:
    hub.try_stack([Layer.parse("studio/noir")], "a lighthouse", triggers=False, width=96)
    [seen] = ready.requests("^POST")
    to_json = {
        "layers": [{"adapter": "studio/noir"}],
        "prompt": "a lighthouse",
        "width": 96,
        "triggers": False,
        "compare": False,
    }
    assert seen.body_bytes == len(json.dumps(to_json))


def test_a_picture_that_breaks_off_is_said(ready: FakeHub, run: Run, tmp_path: Path) -> None:
    headers = {"Content-Length": "999", "Connection": "close"}
    ready.answers[-1:] = [("/media/images/9.png", 200, headers, PNG)] * 5
    ran = run(*WORDS, "--out", tmp_path / "night.png")
    assert ran.code == 5
    assert not (tmp_path / "night.png").exists()


def test_patience_ends_and_says_where_it_goes_on(
    fake: FakeHub, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lorary.client.tryouts._TIMEOUT_S", -1.0)
    answer(fake, "tryouts$", tryout(fake, "queued"), 202)
    with pytest.raises(TimedOut, match="/mixer/0b1f"):
        hub.try_stack(["studio/noir"], "a lighthouse")
    assert not fake.requests("^DELETE")


def test_an_answer_that_is_none_is_a_failure_of_the_hub(fake: FakeHub, hub: Hub) -> None:
    answer(fake, "tryouts$", ["odd"], 202)
    with pytest.raises(LoraryError, match="valid try-out"):
        hub.try_stack(["studio/noir"], "a lighthouse")

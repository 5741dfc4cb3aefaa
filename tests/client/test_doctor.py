"""lorary doctor."""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from tests.client.fakehandler import Handler
from tests.client.tiny import adapter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.client.conftest import Ran
    from tests.client.fakehub import FakeHub

    Run = Callable[..., Ran]

NAMES = ["version", "settings", "home", "cache", "folder", "hub", "clock", "token"]


def states(ran: Ran) -> dict[str, str]:
    return {row["check"]: row["state"] for row in ran.documents}


def disk(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    """Have the disk so many free bytes."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))


def test_all_is_well(run: Run, fake: FakeHub, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk(monkeypatch, free=8_500_000_000_000)
    ran = run("doctor", "--json")
    assert (ran.code, list(states(ran))) == (0, NAMES)
    assert set(states(ran).values()) == {"ok", "skipped"}
    out = run("doctor").out
    assert "token     of ada (read, write)" in out
    assert "0 bytes; 8.5 TB is free" in out
    assert not home.exists()


def test_each_fault_is_named_with_its_code(
    run: Run, fake: FakeHub, home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LORARY_TOKEN", "lor_wrong")
    monkeypatch.setenv("LORARY_LAYOUT", "comfyui")
    monkeypatch.setattr(Handler, "date_time_string", lambda *_: "Sat, 01 Jan 2000 00:00:00 GMT")
    disk(monkeypatch, free=1)
    ran = run("doctor", "--json")
    assert ran.code == 4
    found = states(ran)
    assert {name: found[name] for name in ("cache", "folder", "clock", "token")} == {
        "cache": "warning", "folder": "warning", "clock": "warning", "token": "error",
    }  # fmt: skip
    monkeypatch.delenv("LORARY_TOKEN")
    assert states(run("doctor", "--json"))["token"] == "warning"


@pytest.mark.parametrize(("is_open", "clock"), [(True, "ok"), (False, "skipped")])
def test_a_hub_that_refuses_the_token_has_answered(
    run: Run, fake: FakeHub, monkeypatch: pytest.MonkeyPatch, *, is_open: bool, clock: str
) -> None:
    monkeypatch.setenv("LORARY_TOKEN", "lor_wrong")
    refused = json.dumps({"status": 401, "code": "not_authenticated", "detail": "Not valid."})
    problem = {"Content-Type": "application/problem+json"}
    fake.answers.extend([("/adapters", 401, problem, refused.encode())] * (1 if is_open else 2))
    ran = run("doctor", "--json")
    found = states(ran)
    assert (ran.code, found["hub"], found["token"]) == (4, "ok", "error")
    assert found["clock"] == clock


def test_a_hub_that_does_not_answer_is_asked_once(
    run: Run, monkeypatch: pytest.MonkeyPatch, waits: list[float]
) -> None:
    monkeypatch.setenv("LORARY_ENDPOINT", "http://127.0.0.1:9")
    ran = run("doctor", "--json")
    assert (ran.code, states(ran)["hub"], states(ran)["token"]) == (5, "error", "skipped")
    assert waits == []


@pytest.mark.parametrize("time", ["Sat, 01 Jan 2000 00:00:00 -0000", "soon"])
def test_times_of_a_hub_are_untrusted(
    run: Run, fake: FakeHub, monkeypatch: pytest.MonkeyPatch, time: str
) -> None:
    monkeypatch.setattr(Handler, "date_time_string", lambda *_: time)
    for expires_at in ("never", "2026-01-01", "\x1b[31m"):
        body = json.dumps({"name": "ada", "expires_at": expires_at}).encode()
        fake.answers.append(("/me$", 200, {"Content-Type": "application/json"}, body))
        ran = run("doctor")
        assert (ran.code, "warning  token" in ran.out, "\x1b" in ran.out) == (0, True, False)


def test_a_token_that_is_none_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORARY_TOKEN", "two words")
    ran = run("doctor", "--json")
    assert (ran.code, states(ran)["token"]) == (2, "error")


def test_in_a_project_the_hub_of_sync_is_asked(
    run: Run, fake: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of lorary.toml, else that of the lock if nothing says which hub is in use."""
    fake.publish("studio/noir", {"noir.safetensors": adapter()})
    monkeypatch.delenv("LORARY_TOKEN")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lorary.toml").write_text('[adapters]\n"studio/noir" = "*"\n')
    assert run("lock").code == 0
    monkeypatch.delenv("LORARY_ENDPOINT")
    ran = run("doctor")
    assert (ran.code, f"hub       {fake.url} answers" in ran.out) == (0, True), ran.out
    assert "sign in with `lorary login`" in ran.out
    (tmp_path / "lorary.toml").write_text(f'hub = "{fake.url}"\n')
    monkeypatch.setenv("LORARY_TOKEN", "lor_secret")
    (row,) = [one for one in run("doctor", "--json").documents if one["check"] == "token"]
    sentence = f"LORARY_TOKEN was not sent to {fake.url}: set LORARY_ENDPOINT to this address, too"
    assert (row["state"], row["message"].endswith(sentence)) == ("warning", True), row
    (tmp_path / "lorary.toml").write_text('hub = "http://127.0.0.1:9"\n')
    ran = run("doctor", "--json")
    assert (ran.code, states(ran)["hub"]) == (5, "error")
    (tmp_path / "lorary.toml").write_text("?")
    ran = run("doctor", "--json")
    assert (ran.code, states(ran)["hub"]) == (2, "error")


def test_offline_the_hub_is_left_out(run: Run, fake: FakeHub) -> None:
    ran = run("doctor", "--offline", "--json")
    assert (ran.code, states(ran)["hub"], fake.seen) == (0, "skipped", [])


def test_wrong_settings_and_folders_are_named(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("LORARY_HOME", str(tmp_path / "file" / "home"))
    monkeypatch.setenv("LORARY_JOBS", "99")
    ran = run("doctor", "--json")
    assert ran.code == 2
    assert {name for name, state in states(ran).items() if state == "error"} >= {"settings", "home"}

"""What a push says of private things before anything travels, and drafts."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.builders.adapters import DENOISERS, kohya
from tests.client.conftest import CLI

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lorary.client import Hub
    from tests.client.conftest import Ran
    from tests.client.fakehub import FakeHub

    Run = Callable[..., Ran]
    Typed = Callable[..., subprocess.CompletedProcess[str]]

ASKED = "Publish anyway? [y/N]"


@pytest.fixture
def leaky(tmp_path: Path) -> Path:
    """An adapter whose metadata names a user of the trainer's machine."""
    place = tmp_path / "noir.safetensors"
    metadata = {"ss_train_data_dir": "/home/ada.lovelace/noir"}
    place.write_bytes(kohya(DENOISERS["sd1", "diffusers"], metadata=metadata))
    return place


@pytest.fixture
def typed(environment: dict[str, str], leaky: Path) -> Typed:
    """Push the file from a terminal and answer what is asked."""

    def call(answer: str, *words: str) -> subprocess.CompletedProcess[str]:
        ours, theirs = os.openpty()
        os.write(ours, answer.encode())
        command = [*CLI, "push", str(leaky), "--to", "ada/noir", *words]
        try:
            return subprocess.run(
                command, env=environment, stdin=theirs, capture_output=True, text=True,
                timeout=60, check=False,
            )  # fmt: skip
        finally:
            os.close(ours)
            os.close(theirs)

    return call


def test_private_things_are_told_with_their_code_before_anything_travels(
    run: Run, fake: FakeHub, leaky: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []
    fake.answers = [("/uploads$", 503, {}, b"{}")]
    fake.on_answer = lambda: said.append(capsys.readouterr().err)
    ran = run("push", leaky, "--to", "ada/noir")
    assert ran.code == 0
    assert "warning  privacy_path: The metadata contains file paths" in said[0]
    assert ASKED not in said[0]
    assert "privacy_path" not in ran.out + ran.err
    again = run("push", leaky, "--to", "ada/noir", "--json")
    assert again.document["findings"][0]["code"] == "privacy_path"
    assert "privacy_path" in again.err


def test_a_no_at_the_terminal_sends_nothing(fake: FakeHub, typed: Typed) -> None:
    for answer in ("n\n", "\n"):
        ran = typed(answer)
        assert (ran.returncode, ran.stdout) == (1, "")
        assert ran.stderr.index("privacy_path") < ran.stderr.index(ASKED)
        assert "Nothing was sent." in ran.stderr
        assert "--private so that only the owner" in ran.stderr
    told = json.loads(typed("n\n", "--json").stdout)
    assert told["error"]["code"] == "not_confirmed"
    assert [found["code"] for found in told["findings"]] == ["privacy_path"]
    assert {seen.method for seen in fake.seen} == {"GET"}
    assert len(fake.requests("/adapters/ada/noir$")) == 3


def test_a_yes_at_the_terminal_publishes(fake: FakeHub, typed: Typed) -> None:
    ran = typed("y\n")
    assert (ran.returncode, ASKED in ran.stderr) == (0, True)
    assert fake.versions["ada/noir"][0]["state"] == "published"


@pytest.mark.parametrize("option", ["--yes", "--draft", "--private"])
def test_nobody_is_asked_about_what_is_meant_or_stays_private(
    fake: FakeHub, typed: Typed, option: str
) -> None:
    ran = typed("", option)
    assert (ran.returncode, ASKED in ran.stderr) == (0, False)
    assert "privacy_path" in ran.stderr
    assert len(fake.versions["ada/noir"]) == 1


@pytest.mark.parametrize(("visibility", "is_asked"), [("private", False), ("unlisted", True)])
def test_the_visibility_of_an_adapter_decides_whether_to_ask(
    fake: FakeHub, typed: Typed, visibility: str, is_asked: bool
) -> None:
    fake.adapters["ada/noir"] = fake.adapter("ada/noir", visibility=visibility)
    assert (ASKED in typed("y\n").stderr) == is_asked


@pytest.mark.parametrize(
    ("said", "words", "code"),
    [({"can_write": False}, [], 4), ({"visibility": "unlisted"}, ["--private"], 1)],
)
def test_nobody_is_asked_about_what_would_be_refused(
    fake: FakeHub, typed: Typed, said: dict[str, object], words: list[str], code: int
) -> None:
    fake.adapters["ada/noir"] = fake.adapter("ada/noir", **said)
    ran = typed("", *words)
    assert (ran.returncode, ASKED in ran.stderr) == (code, False)
    assert "Nothing was sent." in ran.stderr
    assert {seen.method for seen in fake.seen} == {"GET"}


def test_a_no_is_not_told_of_an_option_for_new_adapters(fake: FakeHub, typed: Typed) -> None:
    fake.publish("ada/noir", {"other.safetensors": b"w"})
    ran = typed("n\n")
    assert (ran.returncode, "--private" in ran.stderr, "--draft" in ran.stderr) == (1, False, True)


@pytest.mark.parametrize(
    ("state", "is_asked"), [("published", False), ("yanked", False), ("draft", True)]
)
def test_nobody_is_asked_about_what_is_out_already(
    fake: FakeHub, typed: Typed, leaky: Path, state: str, is_asked: bool
) -> None:
    fake.publish("ada/noir", {"noir.safetensors": leaky.read_bytes()}, state=state)
    ran = typed("y\n")
    assert (ran.returncode, ASKED in ran.stderr) == (0, is_asked)


def test_other_bytes_of_the_same_size_are_asked_about(
    fake: FakeHub, typed: Typed, leaky: Path
) -> None:
    data = leaky.read_bytes()
    fake.publish("ada/noir", {"noir.safetensors": data[::-1]})
    assert ASKED in typed("y\n").stderr


def test_a_draft_is_published_by_pushing_it_again(run: Run, fake: FakeHub, lora: Path) -> None:
    ran = run("push", lora, "--to", "ada/noir", "--draft")
    assert (ran.code, fake.versions["ada/noir"][0]["state"]) == (0, "draft")
    assert f"{fake.url}/ada/noir?v=v1" in ran.out
    said = "v1 is a draft. Publish it on its page, or push again without --draft."
    assert ran.err.endswith(f"lorary: {said}\n")
    document = run("push", lora, "--to", "ada/noir", "--draft", "--json").document
    assert (document["version"], document["state"]) == ("v1", "draft")
    document = run("push", lora, "--to", "ada/noir", "--json").document
    assert (document["version"], document["state"]) == ("v1", "published")
    assert "already v1; nothing" in run("push", lora, "--to", "ada/noir", "--draft").err
    assert run("push", lora, "--to", "ada/noir", "--draft", "--wait").code == 2


def test_nobody_waits_for_the_previews_of_a_draft(
    hub: Hub, fake: FakeHub, lora: Path, waits: list[float]
) -> None:
    fake.preview_states = ["running"]
    assert hub.push(lora, "ada/noir", draft=True, wait=True).version.state == "draft"
    assert len(waits) <= 1  # for the checks of the file


def test_the_kind_and_copies_are_said_by_both_kinds_of_push(
    run: Run, fake: FakeHub, lora: Path
) -> None:
    fake.publish("studio/night", {"n.safetensors": lora.read_bytes()})
    ran = run("push", lora, "--to", "ada/noir", "--dry-run")
    assert "missing  kind; style is used (--kind)" in ran.out
    assert "weights_known: These weights are already published: studio/night v1." in ran.out
    assert (
        "no --kind was given, so the adapter is a style"
        in run("push", lora, "--to", "ada/noir").err
    )
    assert "weights_known" in run("push", lora, "--to", "ada/noir", "--dry-run").out
    assert "--kind was given" not in run("push", lora, "--to", "ada/n2", "--kind", "tool").err

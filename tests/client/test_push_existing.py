"""Pushing to a name that exists with options that describe a new adapter."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from lorary.client import Details, errors
from tests.client.conftest import CLI
from tests.client.tiny import adapter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lorary.client import Hub
    from tests.client.conftest import Ran
    from tests.client.fakehub import FakeHub

    Run = Callable[..., Ran]

OPTIONS = ("--kind", "pose", "--title", "Night")


@pytest.fixture
def other(fake: FakeHub) -> FakeHub:
    """A hub on which another adapter has the name."""
    fake.publish("ada/run", {"other.safetensors": b"w"})
    fake.adapters["ada/run"] |= {"title": "Run", "kind": "style", "maturity": "general"}
    return fake


@pytest.mark.parametrize("more", [[], ["--yes"], ["--dry-run"]])
@pytest.mark.parametrize("is_folder", [False, True])
def test_another_adapter_gets_no_version_without_a_person(
    run: Run, other: FakeHub, lora: Path, more: list[str], *, is_folder: bool
) -> None:
    what = lora.parent if is_folder else lora
    ran = run("push", what, "--to", "ada/run", *OPTIONS, *more, "--json")
    assert (ran.code, ran.document["error"]["code"]) == (1, "adapter_differs")
    assert "values that differ from --title and --kind (it has: title Run, kind style)" in ran.err
    assert ("Leave --title and --kind out" in ran.err, "--rating" in ran.err) == (True, False)
    assert len(other.versions["ada/run"]) == 1
    assert other.requests("(PATCH|POST .*/(uploads|versions))$") == []


def test_python_refuses_the_details_of_another_adapter(
    hub: Hub, other: FakeHub, lora: Path
) -> None:
    with pytest.raises(errors.AdapterDiffers, match=r"\(it has: title Run, kind") as caught:
        hub.push(lora, "ada/run", details=Details(title="Night", kind="pose", rating="general"))
    assert caught.value.facts["fields"] == {"title": "Run", "kind": "style"}
    assert other.requests("(PATCH|POST .*/(uploads|versions))$") == []
    assert hub.push(lora, "ada/run", details=Details(kind="style")).version.name == "v2"
    pushed = hub.push(lora, "ada/run", details=Details(title="Night"))  # it has the weights
    assert (pushed.version.name, other.adapters["ada/run"]["title"]) == ("v2", "Run")


@pytest.mark.parametrize(("answer", "code", "count"), [("n\n", 1, 1), ("y\n", 0, 2)])
@pytest.mark.parametrize("is_folder", [False, True])
def test_a_person_is_asked(
    other: FakeHub, lora: Path, environment: dict[str, str], answer: str, code: int, count: int,
    *, is_folder: bool,
) -> None:  # fmt: skip
    ours, theirs = os.openpty()
    os.write(ours, answer.encode() * 2)
    what = lora.parent if is_folder else lora
    command = [*CLI, "push", str(what), "--to", "ada/run", *OPTIONS]
    ran = subprocess.run(
        command, env=environment, stdin=theirs, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    os.close(ours)
    os.close(theirs)
    assert (ran.returncode, len(other.versions["ada/run"])) == (code, count), ran.stderr
    assert "Publish a new version of ada/run" in ran.stderr
    assert "only a new adapter takes" not in ran.stderr
    assert other.adapters["ada/run"]["title"] == "Run"


def test_values_that_the_adapter_has_are_accepted(run: Run, other: FakeHub, lora: Path) -> None:
    words = ("--kind", "style", "--title", " Run ", "--rating", "general")
    ran = run("push", lora, "--to", "ada/run", *words)
    assert (ran.code, ran.err, len(other.versions["ada/run"])) == (0, "", 2)
    ran = run("push", lora, "--to", "ada/run", *OPTIONS)
    assert (ran.code, len(other.versions["ada/run"])) == (0, 2)
    assert "only a new adapter takes --title and --kind\n" in ran.err


def test_a_trainer_goes_on_after_an_edit_on_the_hub(
    run: Run, fake: FakeHub, tmp_path: Path
) -> None:
    words = ("push", tmp_path / "out", "--to", "ada/run", "--yes", *OPTIONS)
    for epoch in (1, 2, 3):
        place = tmp_path / "out" / f"run-{epoch:06}.safetensors"
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(adapter(epoch, ss_session_id="7", ss_epoch=str(epoch)))
        ran = run(*words)
        assert (ran.code, len(fake.versions["ada/run"])) == (0, epoch), ran.err
        assert ("only a new adapter takes --title" in ran.err) == (epoch == 3)
        fake.adapters["ada/run"]["title"] = "Night" if epoch == 1 else "A better title"
    ran = run("push", tmp_path / "out", "--to", "ada/run", "--kind", "style")  # nothing is new
    assert "only a new adapter takes --kind\n" in ran.err
    assert "--title" not in ran.err

"""Pulls of files that the hub makes: what an older hub, an odd one and a refusal lead to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.client.conftest import Ran
    from tests.client.fakehub import FakeHub

PULL = ("pull", "studio/noir", "--naming", "comfyui", "--json")


@pytest.fixture(autouse=True)
def _noir(fake: FakeHub, lora: Path) -> None:
    fake.publish("studio/noir", {"noir.safetensors": lora.read_bytes()})


def told(fake: FakeHub, status: int = 200, **facts: Any) -> None:
    """Prepare the answer to the request for a derived file."""
    known = {"variant": "comfyui", "name": "noir.comfyui.safetensors", "state": "ready"}
    body = json.dumps({**known, **facts}).encode()
    headers = {"Content-Type": "application/json"}
    fake.answers.append((r"/derived", status, headers, body))


def test_an_older_hub_is_named_as_the_reason(run: Callable[..., Ran], fake: FakeHub) -> None:
    told(fake, 404, code="not_found", detail="There is no such endpoint; see /api/docs.")
    ran = run(*PULL)
    assert (ran.code, ran.document["error"]["code"]) == (1, "hub_too_old")
    assert "is older than this command" in ran.document["error"]["message"]
    assert "lorary convert" in ran.document["error"]["message"]


def test_a_refusal_names_the_module(run: Callable[..., Ran], fake: FakeHub) -> None:
    reason = "The module “lora_te_odd” has no known name in ComfyUI."
    told(fake, state="refused", refusal="not_convertible", reason=reason)
    ran = run(*PULL)
    assert (ran.code, ran.document["error"]["code"]) == (1, "not_convertible")
    assert reason in ran.document["error"]["message"]


@pytest.mark.parametrize("name", ["noir.safetensors", "../noir.comfyui.safetensors", "con.x"])
def test_a_derived_file_never_gets_a_name_of_the_hubs_choice(
    run: Callable[..., Ran], fake: FakeHub, tmp_path: Path, name: str
) -> None:
    told(fake, name=name, size=5, sha256="0" * 64)
    ran = run(*PULL, "--to", tmp_path / "loras")
    assert ran.code != 0
    assert not (tmp_path / "loras").exists()


def test_a_file_that_has_the_form_is_pulled_as_it_is(
    run: Callable[..., Ran], fake: FakeHub, lora: Path
) -> None:
    told(fake, variant="", name="noir.safetensors")
    (found,) = run(*PULL).document["files"]
    assert (found["path"], found["size"]) == ("noir.safetensors", lora.stat().st_size)
    assert "certificate" not in found


def test_packs_have_no_forms(run: Callable[..., Ran]) -> None:
    assert run("pull", "pack:studio/dusk", "--strip").code == 2

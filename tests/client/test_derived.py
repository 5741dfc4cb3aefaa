"""Pulls of files that the hub makes: what an older hub, an odd one and a refusal lead to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from lorary.client.names import RANKS
from registry.derived import options
from tests.client.conftest import sha

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


FORM = {"variant": "comfyui.r8", "naming": "comfyui", "max_rank": 8, "strip": False}
MADE, NAME = b"made of noir", "noir.comfyui.r8.safetensors"


@pytest.fixture
def made(fake: FakeHub) -> None:
    """A file that the hub made of one of two files; it still makes the same bytes."""
    version = fake.publish("studio/two", {"noir.safetensors": b"1", "other.safetensors": b"2"})
    version["files"][0]["derived"] = dict.fromkeys([sha(MADE), sha(MADE)[:10], "0" * 12], FORM)
    told(fake, name=NAME, variant="comfyui.r8", size=len(MADE), sha256=sha(MADE),
         download_url=f"{fake.url}/made")  # fmt: skip
    fake.answers.append(("/made", 200, {}, MADE))


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize("digits", [sha(MADE), sha(MADE)[:10].upper(), "0" * 12])
@pytest.mark.parametrize("others", [(), ("studio/noir",)])
def test_the_hash_of_a_derived_file_pulls_that_file_alone(
    run: Callable[..., Ran], fake: FakeHub, tmp_path: Path, digits: str, others: tuple[str, ...]
) -> None:
    ran = run("pull", digits, *others, "--to", tmp_path / "loras", "--json")
    assert ran.code == 0
    (file,) = ran.documents[0]["files"]
    assert (file["sha256"], file["source"]["path"]) == (sha(MADE), "noir.safetensors")
    assert (tmp_path / "loras" / NAME).read_bytes() == MADE
    (asked,) = fake.requests("POST .*/derived")
    wanted = {"path": "noir.safetensors", "naming": "comfyui", "max_rank": 8}
    assert json.loads(asked.body) == wanted


@pytest.mark.usefixtures("made")
def test_a_requested_form_comes_before_that_of_the_hash(
    run: Callable[..., Ran], fake: FakeHub
) -> None:
    fake.answers.clear()
    for path in ("noir.safetensors", "other.safetensors"):
        told(fake, variant="", name=path)
    ran = run("pull", sha(MADE), "--strip", "--json")
    assert [file["path"] for file in ran.document["files"]] == [
        "noir.safetensors", "other.safetensors",
    ]  # fmt: skip
    forms = [json.loads(seen.body) for seen in fake.requests("POST .*/derived")]
    assert [(one.get("naming"), one["strip"]) for one in forms] == [(None, True)] * 2


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize(
    ("digits", "facts"),
    [
        (sha(MADE), {"variant": "comfyui.r8", "name": NAME, "size": 5, "sha256": sha(b"other")}),
        (sha(MADE)[:10], {"variant": "comfyui.r8", "name": NAME, "size": 5, "sha256": sha(b"x")}),
        ("0" * 12, {"variant": "", "name": "noir.safetensors"}),
    ],
)
def test_a_hub_that_makes_other_bytes_now_is_told_before_a_download(
    run: Callable[..., Ran], fake: FakeHub, tmp_path: Path, digits: str, facts: dict[str, Any]
) -> None:
    fake.answers.clear()
    told(fake, **facts)
    ran = run("pull", digits, "--to", tmp_path / "loras")
    assert ran.code == 3
    assert "noir.safetensors of studio/two@v1 in this form (comfyui, rank 8)" in ran.err
    assert not (tmp_path / "loras").exists()


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize("state", ["published", "yanked"])
def test_a_published_file_comes_before_one_that_the_hub_made(
    run: Callable[..., Ran], fake: FakeHub, state: str
) -> None:
    fake.publish("bob/copy", {"copy.safetensors": MADE}, state=state)
    ran = run("pull", sha(MADE), "--json")
    assert (ran.code, ran.document["adapter"]) == (0, "bob/copy")
    assert not fake.requests("POST .*/derived")


def test_a_rank_that_no_hub_makes_is_wrong_usage(run: Callable[..., Ran], fake: FakeHub) -> None:
    assert RANKS == options.RANKS
    ran = run("pull", "studio/noir", "--max-rank", "5")
    assert (ran.code, "128" in ran.err) == (2, True)
    assert fake.seen == []

"""Pulling from a hub that does not answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lorary.client import Hub, errors
from tests.client.fakehub import FakeHub, serving

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.client.conftest import Ran

    Run = Callable[..., Ran]

NAME = "studio/noir"
FILES = {"noir.safetensors": b"noir", "README.md": b"# Noir"}


@pytest.fixture
def gone(home: Path, waits: list[float], monkeypatch: pytest.MonkeyPatch) -> str:
    """Pull two versions from a hub and stop it; returns the revision of the first."""
    del waits
    with serving(FakeHub()) as fake:
        monkeypatch.setenv("LORARY_ENDPOINT", fake.url)
        version = fake.publish(NAME, FILES)
        fake.publish(NAME, {"noir.safetensors": b"other"})
        with Hub() as hub:
            hub.pull(f"{NAME}@v1")
            hub.pull(NAME)
    return str(version["revision"])


def test_names_that_are_for_good_come_from_the_cache(run: Run, gone: str, tmp_path: Path) -> None:
    for rev in ("v1", gone):
        ran = run("pull", f"{NAME}@{rev}", "--json")
        assert ran.code == 0, ran.err
        assert (ran.document["revision"], ran.document["offline"]) == (gone, True)
        assert [file["bytes_fetched"] for file in ran.document["files"]] == [0, 0]
        assert "does not answer; studio/noir v1 comes from the cache" in ran.err
    ran = run("pull", f"{NAME}@v2", "--to", tmp_path / "loras", "--verify")
    assert ran.code == 0, ran.err
    assert (tmp_path / "loras" / "noir.safetensors").read_bytes() == b"other"


@pytest.mark.parametrize("reference", [NAME, f"{NAME}@main", f"{NAME}@latest", f"{NAME}@v3"])
def test_names_that_move_or_are_unknown_need_the_hub(run: Run, gone: str, reference: str) -> None:
    ran = run("pull", reference, "--json")
    assert (ran.code, ran.document["error"]["code"]) == (5, "unreachable")


def test_an_incomplete_cache_is_said_so(run: Run, gone: str, home: Path) -> None:
    for blob in (home / "cache" / "blobs").iterdir():
        blob.unlink()
    ran = run("pull", f"{NAME}@v1", "--json")
    assert (ran.code, ran.document["error"]["code"]) == (5, "unreachable")
    assert "noir.safetensors of this version is not in the cache" in ran.err


@pytest.mark.parametrize("text", ["", "[]", "{", '{"version": "v2"}'])
def test_a_damaged_memory_is_as_if_absent(run: Run, gone: str, home: Path, text: str) -> None:
    for place in (home / "cache" / "versions").rglob("v1.json"):
        place.write_text(text)
    assert run("pull", f"{NAME}@v1").code == 5
    assert run("pull", f"{NAME}@{gone}").code == 0


def test_another_hub_of_the_same_names_is_no_stand_in(run: Run, gone: str) -> None:
    ran = run("pull", f"{NAME}@v1", "--endpoint", "http://127.0.0.1:9", "--json")
    assert ran.code == 5


def test_a_hub_that_refuses_is_heard(hub: Hub, fake: FakeHub) -> None:
    fake.publish(NAME, FILES)
    hub.pull(f"{NAME}@v1")
    fake.versions[NAME][0].update(state="withdrawn", reason="Stolen.")
    with pytest.raises(errors.Gone):
        hub.pull(f"{NAME}@v1")

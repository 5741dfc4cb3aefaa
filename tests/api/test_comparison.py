"""``/compare``: the weights of two versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lorary.algebra.comparing import compare
from registry.adapters import services as adapters
from registry.jobs import worker_process
from registry.models import Adapter, VersionComparison
from tests import catalogue
from tests.builders.relatives import write_original

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from registry.models import User
    from tests.api.conftest import Caller

pytestmark = pytest.mark.django_db
PLACE = "compare?a=ada/noir@v1&b=bob/film"


@pytest.fixture
def paths(noir: Adapter, bob: User, tmp_path: Path) -> tuple[Path, Path]:
    """The files of two adapters."""
    found = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    film = adapters.create(actor=bob, name="film")
    for adapter, path, seed in zip((noir, film), found, (1, 2), strict=True):
        write_original(path, "sd1", "kohya", seed=seed, modules=8)
        catalogue.release(adapter, path.read_bytes())
    return found


def test_the_answer_is_what_the_command_prints(stranger: Caller, paths: tuple[Path, Path]) -> None:
    waiting = stranger.send("get", PLACE)
    assert (waiting.status_code, waiting.json()) == (202, {"state": "queued"})
    assert waiting["Retry-After"] == "1"
    worker_process.drain("checks")
    found = stranger.send("get", PLACE)
    expected = compare(*paths).to_dict()
    assert found.status_code == 200
    assert list(found.json()) == list(expected)
    assert found.json()["cosine"] == pytest.approx(expected["cosine"])
    turned = stranger.send("get", "compare?a=bob/film@v1&b=ada/noir")
    assert turned.json()["energy"] == found.json()["energy"][::-1]


def test_what_cannot_be_compared_says_why(stranger: Caller, paths: tuple[Path, Path]) -> None:
    del paths
    answer = stranger.send("get", "compare?a=ada/noir&b=ada/noir@v1")
    assert (answer.status_code, answer.json()["code"]) == (409, "wrong_state")
    assert answer.json()["refusal"] == "same_version"
    stranger.send("get", PLACE)
    VersionComparison.objects.update(state="failed", reason="It took too long.")
    failed = stranger.send("get", PLACE)
    assert (failed.status_code, failed.json()["state"]) == (409, "failed")
    assert failed.json()["detail"] == "It took too long."


@pytest.mark.parametrize("query", ["", "a=ada/noir", "a=ada/noir&b=bob/film&c=1", "a=&b=x"])
def test_both_names_are_needed(stranger: Caller, query: str) -> None:
    assert stranger.send("get", f"compare?{query}").status_code == 400


@pytest.mark.parametrize("name", ["bob/none", "bob/film@v9", "bob", "/", "@", "a/b/c@v1"])
def test_unknown_names_are_absent(stranger: Caller, paths: tuple[Path, Path], name: str) -> None:
    del paths
    assert stranger.send("get", f"compare?a=ada/noir&b={name}").status_code == 404


def test_a_private_adapter_does_not_leak(
    stranger: Caller, as_bob: Caller, paths: tuple[Path, Path]
) -> None:
    """Also where a comparison is there already, and in either place."""
    del paths
    as_bob.send("get", PLACE)
    worker_process.drain("checks")
    assert as_bob.send("get", PLACE).status_code == 200
    Adapter.objects.filter(name="film").update(visibility="private")
    assert as_bob.send("get", PLACE).status_code == 200
    for place in (PLACE, "compare?a=bob/film&b=ada/noir", "compare?a=bob/film&b=bob/film"):
        hidden = stranger.send("get", place)
        absent = stranger.send("get", place.replace("film", "none"))
        assert hidden.status_code == absent.status_code == 404
        assert hidden.json()["detail"] == absent.json()["detail"].replace("none", "film")


def test_requests_are_limited(
    stranger: Caller, paths: tuple[Path, Path], own_settings: Callable[..., None]
) -> None:
    del paths
    own_settings(derived_per_hour=0)
    answer = stranger.send("get", PLACE)
    assert (answer.status_code, answer.json()["state"]) == (409, "off")

"""What others may not do, over real HTTP: refused with its code, and nothing changes."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from tests.builders.adapters import DENOISERS, kohya
from tests.e2e.talk import Caller, caller, kept

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.running import RunningHub

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SD1 = DENOISERS["sd1", "diffusers"]
ADAPTER = kohya(SD1)


@pytest.fixture(scope="module")
def ada(quiet_hub: RunningHub) -> Caller:
    return caller(quiet_hub, "ada")


@pytest.fixture(scope="module")
def bob(quiet_hub: RunningHub) -> Caller:
    return caller(quiet_hub, "bob")


@pytest.fixture
def stranger(quiet_hub: RunningHub) -> Caller:
    return caller(quiet_hub)


@pytest.fixture
def secret(ada: Caller, request: pytest.FixtureRequest) -> str:
    """A private adapter of Ada's with a version of bytes that are nowhere else."""
    name = "secret-" + hashlib.sha256(request.node.name.encode()).hexdigest()[:8]
    data = kohya(SD1, metadata={"only": name})
    assert ada.publish(data, name, visibility="private").status == 201
    return name


def test_another_ones_adapter_takes_no_version(
    quiet_hub: RunningHub, ada: Caller, bob: Caller, stranger: Caller
) -> None:
    assert ada.publish(kohya(SD1, metadata={"of": "ada"}), "hers").status == 201
    upload = bob.accepted(kohya(SD1, metadata={"of": "bob"}))
    before = kept(quiet_hub)
    place = "/api/v1/adapters/ada/hers"
    forbidden = [
        bob.post(f"{place}/versions", {"uploads": [upload]}),
        bob.call("PATCH", place, {"title": "His"}),
        bob.post(f"{place}/versions/v1/yank", {"reason": "mine"}),
        bob.post(f"{place}/versions/v1/withdraw", {"reason": "mine"}),
        bob.post(f"{place}/withdraw", {"reason": "mine"}),
        bob.call("PUT", f"{place}/aliases/mine", {"to": "v1"}),
        bob.post("/api/v1/adapters", {"name": "his", "owner": "ada"}),
    ]
    assert {(answer.status, answer.code) for answer in forbidden} == {(403, "forbidden")}
    answer = stranger.post(f"{place}/versions", {"uploads": [upload]})
    assert (answer.status, answer.code) == (401, "not_authenticated")
    assert kept(quiet_hub) == before


def test_another_ones_upload_is_as_if_absent(
    quiet_hub: RunningHub, ada: Caller, bob: Caller
) -> None:
    assert bob.post("/api/v1/adapters", {"name": "bobs"}).status == 201
    upload = ada.accepted(kohya(SD1, metadata={"of": "ada", "no": "2"}))
    before = kept(quiet_hub)
    place = f"/api/v1/uploads/{upload}"
    answers = [
        bob.get(place),
        bob.call("DELETE", place),
        bob.call("PUT", f"{place}/content", ADAPTER),
        bob.post(f"{place}/complete"),
        bob.post("/api/v1/adapters/bob/bobs/versions", {"uploads": [upload]}),
    ]
    assert [(answer.status, answer.code) for answer in answers] == [(404, "not_found")] * 5
    assert kept(quiet_hub) == before


def test_what_is_published_is_not_published_twice(quiet_hub: RunningHub, ada: Caller) -> None:
    data = kohya(SD1, metadata={"published": "once"})
    first = ada.publish(data, "once")
    assert (first.status, first.document["state"]) == (201, "published")
    before = kept(quiet_hub)
    place = "/api/v1/adapters/ada/once/versions"
    again = ada.post(f"{place}/v1/publish")
    assert (again.status, again.code) == (409, "already_published")
    same = ada.post(place, {"uploads": [ada.accepted(data)]})
    assert (same.status, same.document["version"]) == (200, "v1")
    assert kept(quiet_hub) == before
    taken = ada.post("/api/v1/adapters", {"name": "Once"})
    assert (taken.status, taken.code) == (409, "name_taken")
    assert kept(quiet_hub) == before


READS: dict[str, Callable[[str], str]] = {
    "adapter": lambda name: f"/api/v1/adapters/ada/{name}",
    "versions": lambda name: f"/api/v1/adapters/ada/{name}/versions",
    "version": lambda name: f"/api/v1/adapters/ada/{name}/versions/v1",
    "file": lambda name: f"/api/v1/adapters/ada/{name}/versions/v1/files/noir.safetensors",
    "page": lambda name: f"/ada/{name}",
}


@pytest.mark.parametrize("thing", READS)
def test_a_private_adapter_is_as_if_absent(
    ada: Caller, bob: Caller, stranger: Caller, secret: str, thing: str
) -> None:
    path, absent = READS[thing](secret), READS[thing]("nothing")
    if thing != "page":  # pages know sessions, not tokens
        assert ada.get(path).status == 200
    for who in (bob, stranger):
        answer, nothing = who.get(path), who.get(absent)
        assert answer.status == nothing.status == 404
        if thing != "page":
            assert answer.code == nothing.code == "not_found"
        assert answer.body.replace(secret.encode(), b"nothing") == nothing.body


def test_a_private_adapter_cannot_be_written_to_by_others(
    bob: Caller, stranger: Caller, secret: str
) -> None:
    place = f"/api/v1/adapters/ada/{secret}"
    for who, status, code in ((bob, 404, "not_found"), (stranger, 401, "not_authenticated")):
        answers = [
            who.call("PATCH", place, {"title": "Mine"}),
            who.post(f"{place}/versions/v1/yank", {"reason": "mine"}),
            who.post(f"{place}/versions/v1/withdraw", {"reason": "mine"}),
            who.post(f"{place}/withdraw", {"reason": "mine"}),
            who.call("PUT", f"{place}/aliases/mine", {"to": "v1"}),
            who.post(f"{place}/versions/v1/renders"),
        ]
        assert {(answer.status, answer.code) for answer in answers} == {(status, code)}


def test_private_adapters_are_in_no_list(ada: Caller, stranger: Caller, secret: str) -> None:
    hers = ada.get("/api/v1/adapters?owner=ada&limit=100").document["results"]
    assert secret in {adapter["name"] for adapter in hers}
    for path in ("/api/v1/adapters?owner=ada&limit=100", "/browse?owner=ada", "/ada", "/"):
        assert secret.encode() not in stranger.get(path).body


def test_knowing_the_digest_of_private_bytes_gives_nothing(
    ada: Caller, bob: Caller, secret: str
) -> None:
    version = ada.get(f"/api/v1/adapters/ada/{secret}/versions/v1").document
    file = version["files"][0]
    announced = bob.announce("noir.safetensors", file["size"], file["sha256"])
    assert (announced.status, announced.document["state"]) == (201, "receiving")
    upload = announced.document["id"]
    assert bob.call("DELETE", f"/api/v1/uploads/{upload}").status == 204

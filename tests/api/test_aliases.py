"""Aliases over the API."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from registry.aliases import services as aliases
from tests.builders.adapters import DENOISERS, kohya

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.models import Adapter, User, Version
    from tests.api.conftest import Caller

pytestmark = pytest.mark.django_db

PLACE = "adapters/ada/noir/aliases"
RESTORED = "two"


@pytest.fixture
def two(noir: Adapter, released: Callable[..., Version], lora: bytes) -> tuple[Version, Version]:
    second = kohya(DENOISERS["sd1", "diffusers"], rank=8)
    if made := tuple(noir.versions.order_by("number")):
        return made[0], made[1]
    return released(noir, lora), released(noir, second)


def test_an_alias_is_made_moved_and_removed(
    as_ada: Caller, stranger: Caller, two: tuple[Version, Version]
) -> None:
    first, second = two
    made = as_ada.send("put", f"{PLACE}/stable", {"to": "v1"})
    assert made.status_code == 200
    told = made.json()
    assert told == {
        "name": "stable", "version": "v1", "state": "published",
        "revision": first.revision.commit, "moved_at": told["moved_at"], "moved_by": "ada",
    }  # fmt: skip
    assert stranger.send("get", f"{PLACE}/stable").json() == told
    place = "adapters/ada/noir/versions/stable"
    assert stranger.send("get", place).json()["version"] == "v1"
    assert stranger.send("get", f"{place}/files/noir.safetensors").status_code == 200
    moved = as_ada.send("put", f"{PLACE}/stable", {"to": second.revision.commit})
    assert moved.json()["version"] == "v2"
    assert stranger.send("get", place).json()["version"] == "v2"
    listed = stranger.send("get", PLACE).json()
    assert [(row["name"], row["version"]) for row in listed["results"]] == [
        ("main", "v2"), ("stable", "v2"),
    ]  # fmt: skip
    assert listed["next"] is None
    assert as_ada.send("delete", f"{PLACE}/stable").status_code == 204
    for gone in (place, f"{PLACE}/stable"):
        assert stranger.send("get", gone).status_code == 404
    assert "stable" not in stranger.send("get", "adapters/ada/noir").json()["aliases"]


def test_an_alias_of_several_parts_has_addresses_of_its_own(
    as_ada: Caller, stranger: Caller, two: tuple[Version, Version]
) -> None:
    for address in (f"{PLACE}/feat%2Frain", f"{PLACE}/feat/rain"):
        assert as_ada.send("put", address, {"to": "v1"}).json()["name"] == "feat/rain"
        assert stranger.send("get", address).json()["version"] == "v1"
        moves = stranger.send("get", f"{address}/history").json()["results"]
        assert [move["after"]["version"] for move in moves] == ["v1"]
    assert b"feat/rain" in stranger.get("/ada/noir/aliases").content
    assert as_ada.send("delete", f"{PLACE}/feat%2Frain").status_code == 204


def test_its_history_outlives_it_and_comes_page_by_page(
    as_ada: Caller, stranger: Caller, two: tuple[Version, Version]
) -> None:
    for to in ("v1", "v2"):
        as_ada.send("put", f"{PLACE}/stable", {"to": to})
    as_ada.send("delete", f"{PLACE}/stable")
    moves, place = [], f"{PLACE}/stable/history?limit=2"
    while place:
        page = stranger.send("get", place).json()
        moves += page["results"]
        place = page["next"]
    one, two_ = ({"version": v.name, "revision": v.revision.commit} for v in two)
    assert [(move["before"], move["after"]) for move in moves] == [
        (two_, None), (one, two_), (None, one),
    ]  # fmt: skip
    assert {move["moved_by"] for move in moves} == {"ada"}
    assert stranger.send("get", f"{PLACE}/never/history").status_code == 404
    (first, *_rest) = stranger.send("get", f"{PLACE}/main/history").json()["results"]
    assert first["after"]["version"] == "v2"


def test_a_move_that_another_was_faster_with_answers_409(
    as_ada: Caller, two: tuple[Version, Version]
) -> None:
    first, second = two
    body = {"to": "v1", "expected": None}
    assert as_ada.send("put", f"{PLACE}/stable", body).status_code == 200
    answer = as_ada.send("put", f"{PLACE}/stable", {"to": "v2", "expected": None})
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert answer.json()["current"] == first.revision.commit
    assert "points to v1" in answer.json()["detail"]
    body = {"to": "v2", "expected": "v1"}
    assert as_ada.send("put", f"{PLACE}/stable", body).json()["version"] == "v2"
    again = as_ada.send("put", f"{PLACE}/stable", body)
    assert (again.status_code, again.json()["current"]) == (409, second.revision.commit)
    late = as_ada.send("delete", f"{PLACE}/stable?expected=v1")
    assert (late.status_code, late.json()["code"]) == (409, "conflict")
    assert as_ada.send("delete", f"{PLACE}/stable?expected=v2").status_code == 204


NAMES = [
    ("main", "name_invalid"), ("v7", "name_invalid"), ("latest", "name_invalid"),
    ("a" * 40, "name_invalid"), ("a b", "name_invalid"), ("%2e%2e", "malformed_request"),
    ("%00", "not_found"),
]  # fmt: skip


def test_names_of_other_things_are_refused(
    as_ada: Caller, two: tuple[Version, Version], subtests: pytest.Subtests
) -> None:
    for name, code in NAMES:
        with subtests.test(name=name, code=code):
            for method, body in (("put", {"to": "v1"}), ("delete", None)):
                answer = as_ada.send(method, f"{PLACE}/{name}", body)
                assert answer.json()["code"] == code


BODIES = [
    ({}, 400), ({"to": ""}, 400), ({"to": 1.5}, 404), ({"to": "v9"}, 404),
    ({"to": "x" * 97}, 400), ({"to": "v1", "from": "v2"}, 400), ({"to": ["v1"]}, 400),
    ({"to": "v1", "expected": "v9"}, 404),
]  # fmt: skip


def test_a_target_that_is_none_is_refused(
    as_ada: Caller, two: tuple[Version, Version], subtests: pytest.Subtests
) -> None:
    for body, status in BODIES:
        with subtests.test(body=body, status=status):
            assert as_ada.send("put", f"{PLACE}/stable", body).status_code == status
            assert as_ada.send("get", f"{PLACE}/stable").status_code == 404


def test_others_see_and_do_not_move(
    as_bob: Caller, stranger: Caller, ada: User, noir: Adapter, two: tuple[Version, Version]
) -> None:
    aliases.point(actor=ada, adapter=noir, name="stable", to=two[0].revision)
    assert as_bob.send("get", f"{PLACE}/stable").status_code == 200
    for method in ("put", "delete"):
        answer = as_bob.send(method, f"{PLACE}/stable", {"to": "v2"} if method == "put" else None)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    noir.visibility = "private"
    noir.save(update_fields=["visibility"])
    for place in (PLACE, f"{PLACE}/stable", f"{PLACE}/stable/history"):
        assert stranger.send("get", place).status_code == 404

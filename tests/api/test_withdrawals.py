"""Withdrawals over the API: what is gone, and what is told of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from registry.aliases import services as aliases
from registry.models import Version
from registry.tokens import services as tokens
from tests.api.conftest import Caller
from tests.builders.adapters import DENOISERS, kohya

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.models import Adapter, User

pytestmark = pytest.mark.django_db

ADAPTER = "adapters/ada/noir"
V1 = f"{ADAPTER}/versions/v1"
WHY = {"reason": "Rights of the photographer."}
RESTORED = "version"


@pytest.fixture
def version(noir: Adapter, released: Callable[..., Version], lora: bytes) -> Version:
    return noir.versions.first() or released(noir, lora)


def test_a_withdrawn_version_is_gone_and_says_why(
    as_ada: Caller, stranger: Caller, noir: Adapter, version: Version
) -> None:
    done = as_ada.send("post", f"{V1}/withdraw", WHY)
    assert done.status_code == 200
    told = done.json()
    assert (told["state"], told["reason"]) == ("withdrawn", WHY["reason"])
    assert told["withdrawn_at"]
    file = told["files"][0]
    for place in (V1, f"{ADAPTER}/versions/main", f"{V1}/files/noir.safetensors"):
        answer = stranger.send("get", place)
        assert answer.status_code == 410
        assert answer.headers["Content-Type"] == "application/problem+json"
        problem = answer.json()
        assert (problem["code"], problem["reason"]) == ("gone", WHY["reason"])
        assert WHY["reason"] in problem["detail"]
        assert (problem["adapter"], problem["version"]) == ("ada/noir", "v1")
        known = {"path": "noir.safetensors", "size": file["size"], "sha256": file["sha256"]}
        assert problem["files"][0] == known
    assert stranger.send("head", f"{V1}/files/noir.safetensors").status_code == 410
    (row,) = stranger.send("get", f"{ADAPTER}/versions").json()["results"]
    assert (row["version"], row["state"], row["reason"]) == ("v1", "withdrawn", WHY["reason"])
    assert stranger.send("get", "adapters").json()["results"] == []
    assert stranger.send("get", ADAPTER).json()["latest_version"] is None


def test_an_alias_of_a_withdrawn_version_explains_itself(
    as_ada: Caller,
    stranger: Caller,
    ada: User,
    noir: Adapter,
    version: Version,
    released: Callable[..., Version],
) -> None:
    aliases.point(actor=ada, adapter=noir, name="stable", to=version.revision)
    released(noir, kohya(DENOISERS["sd1", "diffusers"], rank=8))
    as_ada.send("post", f"{V1}/withdraw", WHY)
    problem = stranger.send("get", f"{ADAPTER}/versions/stable").json()
    assert problem["detail"].startswith("“stable” points to v1, which was withdrawn: Rights")
    assert problem["detail"].endswith("Use v2 instead.")
    assert problem["latest_version"] == "v2"
    assert stranger.send("get", f"{ADAPTER}/aliases/stable").json()["state"] == "withdrawn"


def test_a_version_is_taken_down_by_number_or_revision_only(
    as_ada: Caller,
    ada: User,
    noir: Adapter,
    version: Version,
    released: Callable[..., Version],
) -> None:
    newest = released(noir, kohya(DENOISERS["sd1", "diffusers"], rank=8))
    aliases.point(actor=ada, adapter=noir, name="stable", to=newest.revision)
    for name in ("latest", "main", "stable"):
        place = f"{ADAPTER}/versions/{name}"
        for method, request in (
            ("post", f"{place}/withdraw"), ("post", f"{place}/yank"), ("delete", f"{place}/yank"),
            ("delete", place),
        ):  # fmt: skip
            refused = as_ada.send(method, request, WHY if method == "post" else None)
            assert (refused.status_code, refused.json()["code"]) == (400, "validation_failed")
            assert refused.json()["version"] == "v2"
            assert f"“{name}” currently means v2" in refused.json()["detail"]
    assert not Version.objects.exclude(state="published").exists()
    exact = f"{ADAPTER}/versions/{newest.revision.commit}"
    for _ in range(2):
        assert as_ada.send("post", f"{exact}/withdraw", WHY).json()["version"] == "v2"
    assert as_ada.send("get", V1).json()["state"] == "published"


BODIES = [
    {}, {"reason": ""}, {"reason": "  "}, {"reason": "x" * 281}, {"reason": None},
    {"reason": "a\x00"}, {"reason": ["x"]}, {"why": "x"},
]  # fmt: skip


def test_a_reason_is_needed(as_ada: Caller, version: Version, subtests: pytest.Subtests) -> None:
    for body in BODIES:
        with subtests.test(body=body):
            for place in (V1, ADAPTER):
                answer = as_ada.send("post", f"{place}/withdraw", body)
                assert (answer.status_code, answer.json()["code"]) == (400, "validation_failed")
            answer = as_ada.send("post", f"{V1}/yank", body)
            assert (answer.status_code, answer.json()["code"]) == (400, "validation_failed")
            assert as_ada.send("get", V1).json()["state"] == "published"


def test_it_is_for_the_owner_and_for_those_who_run_the_hub(
    as_bob: Caller, stranger: Caller, bob: User, version: Version
) -> None:
    for place in (V1, ADAPTER):
        assert stranger.send("post", f"{place}/withdraw", WHY).status_code == 401
        assert as_bob.send("post", f"{place}/withdraw", WHY).status_code == 403
    bob.is_staff = True
    bob.save()
    # staff with a token for everyday work is nobody special
    assert as_bob.send("post", f"{V1}/withdraw", WHY).status_code == 403
    _token, secret = tokens.issue(actor=bob, name="desk", scopes=("read", "write", "admin"))
    assert Caller(secret).send("post", f"{V1}/withdraw", WHY).json()["state"] == "withdrawn"
    version.refresh_from_db()
    assert version.is_takedown


def test_it_cannot_be_undone(as_ada: Caller, version: Version) -> None:
    as_ada.send("post", f"{V1}/withdraw", WHY)
    assert as_ada.send("post", f"{V1}/withdraw", WHY).status_code == 200
    for method, place, body in (
        ("post", f"{V1}/yank", {"reason": "x"}),
        ("delete", f"{V1}/yank", None), ("patch", V1, {"label": "x"}),
        ("post", f"{V1}/withdraw", {"reason": "another"}), ("post", f"{V1}/renders", None),
    ):  # fmt: skip
        answer = as_ada.send(method, place, body)
        assert (answer.status_code, answer.json()["code"]) == (409, "wrong_state"), place
    for method, place in (("delete", V1), ("post", f"{V1}/publish")):
        answer = as_ada.send(method, place)
        assert (answer.status_code, answer.json()["code"]) == (409, "already_published")


def test_a_whole_adapter_goes_and_its_name_stays(
    as_ada: Caller, stranger: Caller, version: Version
) -> None:
    done = as_ada.send("post", f"{ADAPTER}/withdraw", WHY)
    assert (done.status_code, done.json()["latest_version"]) == (200, None)
    problem = stranger.send("get", ADAPTER).json()
    assert (problem["status"], problem["code"], problem["versions"]) == (410, "gone", ["v1"])
    assert WHY["reason"] in problem["detail"]
    assert stranger.send("get", V1).status_code == 410
    for method, place, body in (
        ("patch", ADAPTER, {"title": "x"}), ("put", f"{ADAPTER}/aliases/x", {"to": "v1"}),
        ("post", f"{V1}/samples", {}),
    ):  # fmt: skip
        assert as_ada.send(method, place, body).status_code == 410, place
    again = as_ada.send("post", "adapters", {"name": "noir"})
    assert (again.status_code, again.json()["code"]) == (409, "name_taken")


def test_a_yank_is_taken_back_by_deleting_it(as_ada: Caller, version: Version) -> None:
    as_ada.send("post", f"{V1}/yank", {"reason": "too strong"})
    assert as_ada.send("post", f"{V1}/yank", {"reason": " "}).status_code == 400
    assert as_ada.send("get", V1).json()["state"] == "yanked"
    for _again in range(2):
        back = as_ada.send("delete", f"{V1}/yank")
        assert (back.status_code, back.json()["state"], back.json()["reason"]) == (
            200, "published", "",
        )  # fmt: skip

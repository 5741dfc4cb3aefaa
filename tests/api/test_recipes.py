"""``/adapters/{owner}/{name}/recipe``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from previews.models import PromptSet
from previews.recipes.selectors import HISTORY
from previews.renders import services as renders
from tests.served import serve

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_django import Settings

    from registry.models import Adapter, User, Version
    from tests.api.conftest import Caller

pytestmark = pytest.mark.django_db

ADDRESS = "adapters/ada/noir/recipe"
KITE = "a {trigger} kite over the sea"
RESTORED = "v1"


@pytest.fixture
def v1(
    settings: Settings, tmp_path: Path, noir: Adapter, released: Callable[..., Version], lora: bytes
) -> Version:
    serve(settings, tmp_path, "sd1")
    return noir.versions.first() or released(noir, lora)


def put(caller: Caller, *prompts: Any, status: int = 200) -> dict[str, Any]:
    answer = caller.send("put", ADDRESS, {"prompts": prompts})
    assert answer.status_code == status, answer.content
    return dict(answer.json())


def test_everyone_reads_what_the_previews_are_made_by(stranger: Caller, v1: Version) -> None:
    said = stranger.send("get", ADDRESS).json()
    assert {key: said[key] for key in ("adapter", "number", "prompts", "history")} == {
        "adapter": "ada/noir",
        "number": 0,
        "prompts": [],
        "history": [],
    }
    [plan] = said["plans"]
    assert (plan["family"], plan["base"], plan["versions"]) == ("sd1", "sd1-base", ["v1"])
    assert plan["recipe"]["prompts"] == plan["default_prompts"]
    assert (plan["recipe"]["seeds"], plan["recipe"]["strengths"][0]) == ([7, 21], 0.0)
    assert (plan["recipe"]["edition"], plan["recipe"]["swept"], plan["recipe"]["at"]) == (3, 1, 1.0)
    assert plan["pictures"] == 20


def test_prompts_are_put_and_told_with_their_history(as_ada: Caller, v1: Version) -> None:
    renders.begin(version=v1)
    put(as_ada, "a dog")
    said = put(as_ada, f"  {KITE} ", "")
    assert (said["number"], said["prompts"]) == (2, [KITE])
    assert [(one["number"], one["prompts"], one["author"]) for one in said["history"]] == [
        (2, [KITE], "ada"),
        (1, ["a dog"], "ada"),
    ]
    [plan] = said["plans"]
    assert plan["recipe"]["prompts"] == [*plan["default_prompts"], KITE]
    assert plan["pictures"] == 22
    assert as_ada.send("get", ADDRESS).json() == said
    render = as_ada.send("get", "adapters/ada/noir/versions/v1").json()["previews"]
    assert render["progress"]["total"] == 22


def test_the_newest_sets_are_told(stranger: Caller, ada: User, v1: Version) -> None:
    PromptSet.objects.bulk_create(
        PromptSet(adapter=v1.adapter, number=number, prompts=["a dog"], author=ada)
        for number in range(1, HISTORY + 3)
    )
    said = stranger.send("get", ADDRESS).json()
    assert [one["number"] for one in said["history"]] == list(range(HISTORY + 2, 2, -1))


def test_deleting_is_the_way_back(as_ada: Caller, v1: Version) -> None:
    put(as_ada, KITE)
    said = as_ada.send("delete", ADDRESS)
    assert said.status_code == 200
    assert (said.json()["number"], said.json()["prompts"]) == (2, [])
    assert as_ada.send("delete", ADDRESS).json()["number"] == 2


def test_faults_are_named_by_their_place(as_ada: Caller, v1: Version) -> None:
    default = "a portrait of a woman by a window, soft light"
    said = put(as_ada, KITE, default, "x" * 1001, KITE, status=400)
    assert said["code"] == "validation_failed"
    assert said["fields"].keys() == {"prompts.1", "prompts.2", "prompts.3"}
    assert put(as_ada, *(f"a dog {n}" for n in range(7)), status=400)["fields"].keys() == {
        "prompts"
    }
    assert not PromptSet.objects.exists()


@pytest.mark.parametrize(
    "body",
    [{}, {"prompts": "a dog"}, {"prompts": [["a dog"]]}, {"prompts": [None]}, {"prompt": ["x"]}],
)
def test_what_is_no_list_of_texts_is_refused(as_ada: Caller, v1: Version, body: Any) -> None:
    answer = as_ada.send("put", ADDRESS, body)
    assert (answer.status_code, answer.json()["code"]) == (400, "validation_failed")


def test_only_owners_write(as_bob: Caller, v1: Version) -> None:
    assert put(as_bob, KITE, status=403)["code"] == "forbidden"
    assert as_bob.send("delete", ADDRESS).status_code == 403
    noir = v1.adapter
    noir.visibility = "private"
    noir.save()
    assert as_bob.send("get", ADDRESS).status_code == 404


def test_without_a_base_there_is_no_recipe(stranger: Caller, noir: Adapter) -> None:
    [plan] = stranger.send("get", ADDRESS).json()["plans"]
    assert (plan["family"], plan["base"], plan["recipe"], plan["pictures"]) == ("", None, None, 0)
    assert len(plan["default_prompts"]) == 6

"""Try-outs over the API: requesting, reading, sharing, and what is refused at once."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest

from previews.models import Image, Render, RenderState, Tryout
from registry.adapters import services as adapters
from registry.models import Blob, Job, JobState, Version
from registry.tokens import services as tokens
from registry.versions.details import Details
from tests import catalogue
from tests.api.conftest import Caller

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.models import Adapter, User

    Own = Callable[..., None]

pytestmark = pytest.mark.django_db
RESTORED = "v1"

PROBLEM = "application/problem+json"


@pytest.fixture
def v1(noir: Adapter, lora: bytes) -> Version:
    words = Details(declared_family="miniature", trigger_words=("noir light",))
    return noir.versions.first() or catalogue.release(noir, lora, words)


@pytest.fixture
def ink(bob: User, lora: bytes) -> Version:
    adapter = adapters.create(actor=bob, name="ink", title="Ink", kind="style")
    return catalogue.release(adapter, lora, Details(declared_family="miniature"))


@pytest.fixture(autouse=True)
def _miniatures(request: pytest.FixtureRequest) -> None:
    """Say that the tiny adapters are for the base that every hub has."""
    for name in ("v1", "ink"):
        if name in request.fixturenames:
            version = request.getfixturevalue(name)
            version.family = "miniature"
            version.save()


def layer(version: Version, strength: float = 1.0) -> dict[str, Any]:
    return {
        "adapter": version.adapter.full_name,
        "version": version.name,
        "strength": strength,
    }


def asked(*layers: dict[str, Any], **said: Any) -> dict[str, Any]:
    return {"layers": list(layers), "prompt": "a red boat", "seed": 5, **said}


@pytest.fixture
def stack(v1: Version, ink: Version) -> dict[str, Any]:
    return asked(layer(v1, 0.8), layer(ink, -0.5))


@pytest.fixture
def mine(as_ada: Caller, stack: dict[str, Any]) -> dict[str, Any]:
    answer = as_ada.send("post", "tryouts", stack)
    assert answer.status_code == 202
    document: dict[str, Any] = answer.json()
    return document


def finish(document: dict[str, Any]) -> Image:
    """Give a try-out its picture, as a worker would."""
    render = Render.objects.get(tryout__key=document["key"])
    blob, _made = Blob.objects.get_or_create(sha256="1" * 64, defaults={"size_bytes": 1})
    Job.objects.filter(renders=render).update(state=JobState.DONE)
    Render.objects.filter(pk=render.pk).update(state=RenderState.READY)
    return Image.objects.create(
        render=render, blob=blob, position=0, prompt_index=0, prompt="a red boat", seed=5,
        strength=1.0, width=128, height=128,
    )  # fmt: skip


def test_asking_answers_where_to_look_and_when(as_ada: Caller, stack: dict[str, Any]) -> None:
    answer = as_ada.send("post", "tryouts", stack)
    document = answer.json()
    assert answer.status_code == 202
    assert answer["Location"].endswith(f"/api/v1/tryouts/{document['key']}")
    assert answer["Retry-After"] == "2"
    assert document["url"].endswith(f"/mixer/{document['key']}")
    assert document["layers"] == stack["layers"]
    assert (document["state"], document["images"], document["shared"]) == ("queued", [], False)
    assert document["queue"]["workers"] == 0
    assert document["recipe"]["prompts"] == ["a red boat, noir light"]
    assert document["trigger_words"] == ["noir light"]
    assert document["progress"] == {"done": 0, "total": document["recipe"]["steps"]}
    assert as_ada.send("get", answer["Location"]).json() == document


def test_a_running_one_tells_its_steps_and_a_ready_one_its_picture(
    as_ada: Caller, mine: dict[str, Any]
) -> None:
    render = Render.objects.get(tryout__key=mine["key"])
    Job.objects.filter(renders=render).update(state=JobState.RUNNING, done=3, total=8)
    Render.objects.filter(pk=render.pk).update(state=RenderState.RUNNING)
    answer = as_ada.send("get", f"tryouts/{mine['key']}")
    assert answer["Retry-After"] == "1"
    assert answer.json()["progress"]["done"] == 3
    picture = finish(mine)
    answer = as_ada.send("get", f"tryouts/{mine['key']}")
    document = answer.json()
    assert "Retry-After" not in answer
    assert document["queue"] is None
    assert document["progress"]["done"] == document["progress"]["total"]
    [image] = document["images"]
    assert image["url"].endswith(f"/media/images/{picture.pk}.png")


def test_values_that_are_left_out_come_from_the_base(as_ada: Caller, v1: Version) -> None:
    bare = {"adapter": v1.adapter.full_name}
    document = as_ada.send("post", "tryouts", {"layers": [bare], "prompt": ""}).json()
    assert document["layers"] == [layer(v1)]
    assert document["recipe"]["prompts"] == ["noir light"]
    assert document["recipe"]["strengths"] == [1.0]


def test_a_renamed_adapter_is_found_by_its_old_name(as_ada: Caller, ada: User, v1: Version) -> None:
    old = layer(v1)
    v1.adapter.name = v1.adapter.key = "night"
    v1.adapter.save()
    v1.adapter.names.create(namespace=v1.adapter.namespace, key="night")
    document = as_ada.send("post", "tryouts", asked(old)).json()
    assert document["layers"][0]["adapter"] == "ada/night"


def test_a_bound_token_opens_and_asks_for_try_outs_of_its_own_alone(
    as_ada: Caller, ada: User, v1: Version, ink: Version
) -> None:
    of_noir, of_ink = (
        as_ada.send("post", "tryouts", asked(layer(one))).json() for one in (v1, ink)
    )
    for bound_to in ("ada", "ada/noir"):
        bound = Caller(tokens.issue(actor=ada, name="build", bound_to=bound_to)[1])
        results = bound.send("get", "tryouts").json()["results"]
        assert [one["key"] for one in results] == [of_noir["key"]]
        for verb, place in (("get", ""), ("delete", ""), ("post", "/share")):
            answer = bound.send(verb, f"tryouts/{of_ink['key']}{place}")
            assert answer.status_code == 404, (verb, place)
        answer = bound.send("post", "tryouts", asked(layer(ink)))
        assert (answer.status_code, answer.json()["bound_to"]) == (403, bound_to)
        assert bound.send("get", f"tryouts/{of_noir['key']}").status_code == 200
    assert bound.send("delete", f"tryouts/{of_noir['key']}").status_code == 204
    assert bound.send("post", "tryouts", asked(layer(v1), layer(ink))).status_code == 202


# --- Refusals -----------------------------------------------------------------------------------


def refused(caller: Caller, said: object, status: int, code: str) -> dict[str, Any]:
    answer = caller.send("post", "tryouts", said)
    assert (answer.status_code, answer["Content-Type"]) == (status, PROBLEM)
    document: dict[str, Any] = answer.json()
    assert document["code"] == code
    assert not Tryout.objects.exists()
    return document


def test_strangers_get_401(stranger: Caller, stack: dict[str, Any]) -> None:
    refused(stranger, stack, 401, "not_authenticated")
    assert stranger.send("get", "tryouts").status_code == 401


def test_a_token_that_only_reads_gets_403(
    ada: User, token_of: Callable[..., str], stack: dict[str, Any]
) -> None:
    refused(Caller(token_of(ada, "read")), stack, 403, "scope_missing")


#: What is said, and the field that does not fit.
MISFITS: list[tuple[dict[str, Any], str]] = [
    ({"prompt": "x" * 100_000}, "prompt"),
    ({"layers": []}, "layers"),
    ({"seed": 2**32}, "seed"),
    ({"width": 20}, "width"),
    ({"sharpness": 1}, "sharpness"),
]


def test_each_field_that_does_not_fit_is_named(as_ada: Caller, stack: dict[str, Any]) -> None:
    for said, field in MISFITS:
        assert field in refused(as_ada, stack | said, 400, "validation_failed")["fields"]


def test_strengths_versions_and_families_that_do_not_fit(
    as_ada: Caller, v1: Version, ink: Version
) -> None:
    for strength in (2.5, -3, "loud"):
        refused(as_ada, asked(layer(v1) | {"strength": strength}), 400, "validation_failed")
    far = refused(as_ada, asked(layer(v1) | {"strength": 9}), 400, "validation_failed")
    assert "Enter a strength from −2 to 2." in str(far)
    refused(as_ada, asked(layer(v1) | {"version": "v9"}), 404, "not_found")
    refused(as_ada, asked(layer(v1) | {"adapter": "noir"}), 404, "not_found")
    ink.family = "sdxl"
    ink.save()
    said = refused(as_ada, asked(layer(v1), layer(ink)), 400, "validation_failed")
    assert "bob/ink@v1" in said["detail"]
    assert "Stable Diffusion XL" in refused(as_ada, asked(layer(ink)), 409, "wrong_state")["detail"]


def test_too_many_get_429_with_when_to_come_back(
    as_ada: Caller, stack: dict[str, Any], own_settings: Own
) -> None:
    own_settings(tryouts_open=1)
    assert as_ada.send("post", "tryouts", stack).status_code == 202
    answer = as_ada.send("post", "tryouts", stack)
    assert (answer.status_code, answer["Retry-After"]) == (429, "10")
    assert answer.json()["limit"] == 1
    assert "remove" in answer.json()["detail"]


# --- Who may see --------------------------------------------------------------------------------


def seen(caller: Caller, document: dict[str, Any], picture: Image) -> set[int]:
    """Statuses of everything that shows a try-out: none may tell more than the others."""
    key = document["key"]
    answers = [
        caller.send("get", f"tryouts/{key}"),
        caller.get(f"/media/images/{picture.pk}.png?key={key}"),
        caller.get(f"/mixer/{key}"),
        caller.get(f"/mixer/{key}/state"),
    ]
    return {200 if answer.status_code in {200, 410} else answer.status_code for answer in answers}


def test_it_is_private_until_shared(
    as_ada: Caller, as_bob: Caller, stranger: Caller, mine: dict[str, Any]
) -> None:
    picture = finish(mine)
    place = f"tryouts/{mine['key']}/share"
    assert seen(as_bob, mine, picture) == seen(stranger, mine, picture) == {404}
    assert as_bob.send("post", place).status_code == 404
    assert as_bob.send("delete", f"tryouts/{mine['key']}").status_code == 404
    assert stranger.send("post", place).status_code == 401
    assert as_ada.send("post", place).json()["shared"] is True
    assert seen(as_bob, mine, picture) == seen(stranger, mine, picture) == {200}
    whole = f"/media/images/{picture.pk}.png"
    assert [one.get(whole).status_code for one in (as_bob, stranger)] == [404, 404]
    assert as_ada.get(whole).status_code != 404
    [image] = stranger.send("get", f"tryouts/{mine['key']}").json()["images"]
    assert image["url"].endswith(f"{whole}?key={mine['key']}")
    assert as_bob.send("get", "tryouts").json()["results"] == []
    assert as_bob.send("delete", place).status_code == 404
    assert as_ada.send("delete", place).json()["shared"] is False
    assert seen(stranger, mine, picture) == {404}


def test_a_shared_one_tells_nothing_of_an_adapter_that_became_private(
    as_ada: Caller, stranger: Caller, mine: dict[str, Any], ink: Version
) -> None:
    picture = finish(mine)
    as_ada.send("post", f"tryouts/{mine['key']}/share")
    ink.adapter.visibility = "private"
    ink.adapter.save()
    assert seen(stranger, mine, picture) == {404}
    assert as_ada.send("get", f"tryouts/{mine['key']}").status_code == 404
    assert as_ada.send("get", "tryouts").json()["results"] == []
    assert as_ada.send("delete", f"tryouts/{mine['key']}").status_code == 204


def test_renders_of_try_outs_have_no_other_door(as_ada: Caller, mine: dict[str, Any]) -> None:
    render = Render.objects.get(tryout__key=mine["key"])
    assert as_ada.send("get", f"renders/{render.pk}").status_code == 404


def test_removing_is_final(as_ada: Caller, mine: dict[str, Any]) -> None:
    place = f"tryouts/{mine['key']}"
    assert as_ada.send("delete", place).status_code == 204
    assert as_ada.send("delete", place).status_code == 404
    assert as_ada.send("get", place).status_code == 404
    assert Job.objects.get(renders__tryout__key=mine["key"]).state == JobState.CANCELLED
    assert as_ada.send("get", f"tryouts/{uuid.uuid4()}").status_code == 404


def test_lists_are_pages_of_ones_own_newest_first(
    as_ada: Caller, as_bob: Caller, stack: dict[str, Any], django_assert_max_num_queries: Any
) -> None:
    keys = [as_ada.send("post", "tryouts", stack | {"seed": n}).json()["key"] for n in range(3)]
    as_bob.send("post", "tryouts", stack)
    page = as_ada.send("get", "tryouts?limit=2").json()
    rest = as_ada.send("get", page["next"]).json()
    assert [one["key"] for one in page["results"] + rest["results"]] == keys[::-1]
    assert rest["next"] is None
    Render.objects.update(state=RenderState.READY)
    with django_assert_max_num_queries(12):
        as_ada.send("get", "tryouts")

"""Making, deleting, renaming repositories; their settings, branches and tags."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from registry.adapters import selectors as adapter_selectors
from registry.adapters import services as adapters
from registry.cards import services as cards
from registry.models import Adapter, Alias, Membership, Namespace, NamespaceKind, Role
from tests import catalogue as steps
from tests.builders.adapters import DENOISERS, kohya

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from registry.models import User, Version

pytestmark = pytest.mark.django_db

HOST = "http://testserver"
NOIR = "/api/models/ada/noir"


def send(client: Client, method: str, path: str, body: Any = None) -> Any:
    """Send JSON, as clients do: with a body whatever the method is."""
    return client.generic(method, path, json.dumps(body), content_type="application/json")


def create(client: Client, name: str, **more: Any) -> Any:
    body = {"name": name, "organization": None, **more}
    return send(client, "POST", "/api/repos/create", body)


def refs(adapter: Adapter) -> dict[str, bool]:
    """Return name → whether it is a branch, of what points somewhere."""
    rows = Alias.objects.filter(adapter=adapter, revision__isnull=False)
    return dict(rows.values_list("name", "is_branch"))


@pytest.mark.parametrize(
    ("said", "visibility"),
    [
        ({}, "public"),
        ({"type": "model", "private": False}, "public"),
        ({"type": "model", "private": True}, "private"),
        ({"visibility": "private"}, "private"),
        ({"visibility": "public", "license": "mit", "sdk": None}, "public"),
    ],
)
def test_a_repo_is_made_as_seen_as_its_maker_says(
    as_ada: Client, said: dict[str, Any], visibility: str
) -> None:
    answer = create(as_ada, "rain.v1", **said)
    assert answer.status_code == 200
    assert answer.json()["url"] == f"{HOST}/ada/rain.v1"
    assert Adapter.objects.get(name="rain.v1").visibility == visibility


def test_a_repo_that_exists_is_a_conflict_that_says_where(as_ada: Client, noir: Adapter) -> None:
    answer = create(as_ada, "Noir")
    assert (answer.status_code, answer.json()["url"]) == (409, f"{HOST}/ada/noir")
    adapters.rename(actor=noir.namespace.user, adapter=noir, name="night")  # type: ignore[arg-type]
    assert create(as_ada, "noir").json()["url"] == f"{HOST}/ada/night"


@pytest.mark.parametrize("owner", ["bob", "nobody-at-all"])
def test_nobody_makes_a_repo_of_anothers(as_ada: Client, bob: User, owner: str) -> None:
    answer = create(as_ada, "rain", organization=owner)
    assert answer.status_code == 403
    assert "cannot publish under" in answer.json()["error"]


def test_members_make_repos_of_their_organisation(as_ada: Client, ada: User) -> None:
    guild = Namespace.objects.create(
        name="Guild", key="guild", kind=NamespaceKind.ORGANISATION, display_name="The Guild"
    )
    guild.names.create(key="guild")
    Membership.objects.create(namespace=guild, user=ada, role=Role.WRITE)
    assert create(as_ada, "rain", organization="guild").json()["url"] == f"{HOST}/Guild/rain"


BODIES: list[Any] = [
    None, [], "x", 3, {}, {"name": 3}, {"name": None}, {"name": ""}, {"name": "a/b"},
    {"name": "a--b"}, {"name": "x" * 97}, {"name": "a\0b"}, {"name": "\ud800"},
    {"name": "a", "type": "dataset"}, {"name": "a", "type": 1}, {"name": "a", "private": "yes"},
    {"name": "a", "visibility": "secret"}, {"name": "a", "visibility": ["public"]},
    {"name": "a", "organization": {"a": 1}},
]  # fmt: skip


def test_what_makes_no_sense_makes_no_repo(as_ada: Client, subtests: pytest.Subtests) -> None:
    for body in BODIES:
        with subtests.test(body=body):
            answer = send(as_ada, "POST", "/api/repos/create", body)
            assert answer.status_code == 400
            assert answer.json()["error"]
            assert not Adapter.objects.exists()


def test_bodies_that_are_no_json_are_refused(as_ada: Client, noir: Adapter) -> None:
    for body in (b"{", b"\xff\xfe", b"[" * 100_000, b"NaN", b"3", b"\n" * 100_000):
        for method, path in WRITES:
            answer = as_ada.generic(method, path, body, content_type="application/json")
            assert answer.status_code in {400, 404}, (method, path, body[:9])
    assert set(refs(noir)) == {"main", "v1"}


WRITES = [
    ("POST", "/api/repos/create"),
    ("DELETE", "/api/repos/delete"),
    ("POST", "/api/repos/move"),
    ("PUT", f"{NOIR}/settings"),
    ("POST", f"{NOIR}/tag/main"),
    ("DELETE", f"{NOIR}/tag/x"),
    ("POST", f"{NOIR}/branch/x"),
    ("DELETE", f"{NOIR}/branch/x"),
    ("POST", f"{NOIR}/preupload/main"),
    ("POST", f"{NOIR}/commit/main"),
    ("POST", "/ada/noir.git/info/lfs/objects/batch"),
]


@pytest.mark.parametrize(("method", "path"), WRITES)
def test_strangers_and_others_change_nothing(
    stranger: Client,
    as_bob: Client,
    noir: Adapter,
    ada: User,
    token_of: Callable[..., str],
    caller: Callable[[str], Client],
    method: str,
    path: str,
) -> None:
    body = {"name": "noir", "organization": "ada", "fromRepo": "ada/noir", "toRepo": "ada/x",
            "tag": "x", "files": [], "operation": "upload", "objects": []}  # fmt: skip
    before = (
        adapter_selectors.get(None, "ada", "noir").visibility,
        refs(noir),
        Adapter.objects.count(),
    )
    for client, status in (
        (stranger, 401),
        (caller("lor_unknown"), 401),
        (caller(token_of(ada, "read")), 403),
        (as_bob, 403),
    ):
        answer = send(client, method, path, body)
        assert answer.status_code == status, (status, answer.content)
        assert answer.headers["X-Error-Message"]
    assert before == (
        adapter_selectors.get(None, "ada", "noir").visibility, refs(noir), Adapter.objects.count(),
    )  # fmt: skip


def test_a_private_repo_is_not_there_for_others(
    as_bob: Client, noir: Adapter, ada: User, subtests: pytest.Subtests
) -> None:
    for method, path in WRITES:
        with subtests.test(method=method, path=path):
            cards.edit_adapter(actor=ada, adapter=noir, visibility="private")
            if "create" in path:
                return
            body = {
                "name": "noir",
                "organization": "ada",
                "fromRepo": "ada/noir",
                "toRepo": "ada/x",
            }
            answer = send(as_bob, method, path, body)
            assert (answer.status_code, answer.headers["X-Error-Code"]) == (404, "RepoNotFound")


def test_a_deleted_repo_is_gone_and_its_name_stays(as_ada: Client, noir: Adapter) -> None:
    answer = send(as_ada, "DELETE", "/api/repos/delete", {"name": "noir", "organization": None})
    assert answer.status_code == 200
    noir.refresh_from_db()
    assert noir.withdrawn_reason == "Deleted by its owner."
    again = create(as_ada, "noir")
    assert again.status_code == 410
    assert "cannot be reused" in again.json()["error"]


def test_what_is_not_there_cannot_be_deleted(as_ada: Client) -> None:
    answer = send(as_ada, "DELETE", "/api/repos/delete", {"name": "x", "organization": "ada"})
    assert (answer.status_code, answer.headers["X-Error-Code"]) == (404, "RepoNotFound")


def test_a_repo_is_renamed_and_stays_with_its_owner(
    as_ada: Client, noir: Adapter, bob: User
) -> None:
    body = {"fromRepo": "ada/noir", "toRepo": "bob/noir", "type": "model"}
    away = send(as_ada, "POST", "/api/repos/move", body)
    assert away.status_code == 403
    assert "cannot move to another owner" in away.json()["error"]
    moved = send(as_ada, "POST", "/api/repos/move", {**body, "toRepo": "ada/night"})
    assert moved.status_code == 200
    old = as_ada.generic("POST", f"{NOIR}/tag/main", json.dumps({"tag": "x"}))
    assert (old.status_code, old.headers["Location"]) == (307, "/api/models/ada/night/tag/main")
    create(as_ada, "rain")
    taken = send(as_ada, "POST", "/api/repos/move", {"fromRepo": "ada/rain", "toRepo": "ada/noir"})
    assert taken.status_code == 409


@pytest.mark.parametrize("body", [{"toRepo": "ada/x"}, {"fromRepo": "noir", "toRepo": "ada/x"},
                                  {"fromRepo": "ada/noir", "toRepo": "ada/a/b"},
                                  {"fromRepo": "ada/noir", "toRepo": ["x"]}])  # fmt: skip
def test_a_move_names_two_repos(as_ada: Client, noir: Adapter, body: dict[str, Any]) -> None:
    assert send(as_ada, "POST", "/api/repos/move", body).status_code in {400, 404}


def test_settings_change_who_sees_it(as_ada: Client, noir: Adapter) -> None:
    body: dict[str, Any]
    for body, visibility in (
        ({"private": True}, "private"),
        ({"visibility": "public"}, "public"),
        ({"visibility": "private", "gated": False}, "private"),
        ({}, "private"),
    ):
        answer = send(as_ada, "PUT", f"{NOIR}/settings", body)
        assert (answer.status_code, answer.json()["visibility"]) == (200, visibility)
    wrong: list[dict[str, Any]]
    wrong = [{"gated": "manual"}, {"gated": True}, {"gated": []}, {"visibility": 1}, {"private": 1}]
    for body in wrong:
        assert send(as_ada, "PUT", f"{NOIR}/settings", body).status_code == 400


def test_tags_are_made_once_and_removed(as_ada: Client, noir: Adapter, first: Version) -> None:
    assert send(as_ada, "POST", f"{NOIR}/tag/main", {"tag": "v1.0"}).status_code == 200
    assert send(as_ada, "POST", f"{NOIR}/tag/main", {"tag": "v1.0"}).status_code == 409
    by_id = f"{NOIR}/tag/{first.revision.commit}"
    assert send(as_ada, "POST", by_id, {"tag": "b", "message": "x"}).status_code == 200
    assert refs(noir) == {"main": True, "v1": False, "v1.0": False, "b": False}
    assert send(as_ada, "DELETE", f"{NOIR}/tag/b").status_code == 200
    gone = send(as_ada, "DELETE", f"{NOIR}/tag/b")
    assert (gone.status_code, gone.headers["X-Error-Code"]) == (404, "RevisionNotFound")
    nowhere = send(as_ada, "POST", f"{NOIR}/tag/nowhere", {"tag": "c"})
    assert (nowhere.status_code, nowhere.headers["X-Error-Code"]) == (404, "RevisionNotFound")


def test_a_tag_that_names_a_version_fits_it_or_is_refused(
    as_ada: Client, noir: Adapter, first: Version
) -> None:
    assert send(as_ada, "POST", f"{NOIR}/tag/main", {"tag": "v1"}).status_code == 200
    steps.release(noir, kohya(DENOISERS["sd1", "diffusers"], rank=8))
    elsewhere = send(as_ada, "POST", f"{NOIR}/tag/main", {"tag": "v1"})
    assert elsewhere.status_code == 409
    assert "cannot be moved" in elsewhere.json()["error"]
    assert send(as_ada, "POST", f"{NOIR}/tag/main", {"tag": "v3"}).status_code == 400
    assert send(as_ada, "DELETE", f"{NOIR}/tag/v1").status_code == 400


@pytest.mark.parametrize("name", ["feat%2Frain", "feat/rain", "draft"])
def test_branches_are_made_and_removed(
    as_ada: Client, noir: Adapter, first: Version, name: str
) -> None:
    plain = name.replace("%2F", "/")
    made = as_ada.generic("POST", f"{NOIR}/branch/{name}", b"")
    assert made.status_code == 200
    assert refs(noir)[plain] is True
    twice = send(as_ada, "POST", f"{NOIR}/branch/{name}", {"startingPoint": "main"})
    assert twice.status_code == 409
    assert send(as_ada, "DELETE", f"{NOIR}/tag/{name}").status_code == 404
    assert send(as_ada, "DELETE", f"{NOIR}/branch/{name}").status_code == 200
    assert plain not in refs(noir)
    at = {"startingPoint": first.revision.commit}
    assert send(as_ada, "POST", f"{NOIR}/branch/{name}", at).status_code == 200


def test_other_names_are_no_branches(
    as_ada: Client, noir: Adapter, subtests: pytest.Subtests
) -> None:
    for name in ["main", "v9", "HEAD", "refs/heads/x", "a b", "-x", "a/"]:
        with subtests.test(name=name):
            answer = send(as_ada, "POST", f"{NOIR}/branch/{name}", {})
            assert answer.status_code in {400, 409}
            assert set(refs(noir)) == {"main", "v1"}
            assert send(as_ada, "DELETE", f"{NOIR}/branch/main").status_code == 400


CARDS = [
    ("---\nlicense: mit\ntags:\n- lora\n---\n# Noir", True),
    ("---\r\nlicense: mit\r\n---\r\n# Noir", True),
    ("# Noir", True),
    ("", True),
    ("---\n---\n", True),
    ("---\nlicense: [mit\n---\n", False),
    ("---\nlicense: mit\n", True),
    ("---\n- a\n- b\n---\n", False),
    ("---\nwhen: 2026-13-45\n---\n", True),
    ("---\na: &a [b]\nc: *a\n---\n", False),
    ("---\na: " + "[" * 20_000 + "\n---\n", False),
    ("---\na: !!python/object/apply:os.system [id]\n---\n", False),
    ("---\na: '" + "x" * 70_000 + "'\n---\n", False),
]


def test_a_card_is_judged_before_it_is_pushed(stranger: Client, subtests: pytest.Subtests) -> None:
    for card, is_fine in CARDS:
        with subtests.test(card=card, is_fine=is_fine):
            body = {"content": card, "repoType": "model"}
            answer = send(stranger, "POST", "/api/validate-yaml", body)
            assert answer.status_code == (200 if is_fine else 400)
            assert bool(answer.json()["errors"]) is not is_fine
            assert all(set(one) == {"message"} for one in answer.json()["errors"])

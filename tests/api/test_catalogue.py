"""Searching, editing, moving, versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from previews.models import RenderState
from registry.adapters import services as adapters
from registry.models import Adapter, Version
from registry.publication import services as publication
from registry.versions import latest
from registry.versions.details import Details
from tests import catalogue
from tests.builders.adapters import DENOISERS, kohya

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_django import DjangoAssertNumQueries

    from registry.models import Upload, User
    from tests.api.conftest import Caller

pytestmark = pytest.mark.django_db

#: Queries of a page of search results: adapters, tags, chosen, rendered and uploaded covers.
SEARCH_QUERIES = 5
#: Of one version: names, adapter, version, files, measured lineage, renders.
VERSION_QUERIES = 6
RESTORED = "shelf"


@pytest.fixture
def shelf(ada: User, released: Callable[..., Version], lora: bytes) -> list[Adapter]:
    """Thirty published adapters."""
    if made := list(Adapter.objects.order_by("id")):
        return made
    for number in range(30):
        adapter = adapters.create(
            actor=ada, name=f"style{number}", title=f"Style {number}", tags=["film", f"t{number}"]
        )
        released(adapter, lora)
        made.append(adapter)
    return made


def test_search_walks_every_page_once(stranger: Caller, shelf: list[Adapter]) -> None:
    place, seen = "adapters?limit=7&sort=new", []
    while place:
        page = stranger.send("get", place).json()
        seen += [row["name"] for row in page["results"]]
        place = page["next"]
        assert place is None or place.startswith("http://testserver/api/v1/adapters?")
    assert seen == [adapter.name for adapter in reversed(shelf)]


def test_search_asks_the_database_a_fixed_number_of_questions(
    stranger: Caller,
    shelf: list[Adapter],
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    for limit in (1, 24):
        with django_assert_num_queries(SEARCH_QUERIES):
            page = stranger.send("get", f"adapters?limit={limit}").json()
        assert len(page["results"]) == limit


def test_an_uploads_list_asks_a_fixed_number_of_questions(
    as_ada: Caller, ada: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(12):
        as_ada.send("post", "uploads", {"path": "a.safetensors", "size": 100})
    # The token with its user; uploads with their counts, and their findings.
    for limit in (1, 12):
        with django_assert_num_queries(3) as asked:
            assert len(as_ada.send("get", f"uploads?limit={limit}").json()["results"]) == limit
        assert not any("is_kept" in query["sql"] for query in asked)  # only the page shows it


def test_a_version_asks_a_fixed_number_of_questions(
    stranger: Caller,
    shelf: list[Adapter],
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    with django_assert_num_queries(VERSION_QUERIES):
        assert stranger.send("get", "adapters/ada/style1/versions/v1").status_code == 200


def test_search_filters_by_word_family_kind_tag_and_owner(
    stranger: Caller, noir: Adapter, released: Callable[..., Version], lora: bytes
) -> None:
    released(noir, lora)
    for query, count in {
        "q=noir": 1, "q=NOIR": 1, "q=absent": 0, "family=sd1": 1, "family=sdxl": 0,
        "kind=style": 1, "kind=pose": 0, "tag=film": 1, "tag=FILM": 1, "tag=x": 0,
        "tag=film&tag=film": 1, "tag=film&tag=": 1, "tag=film&tag=x": 0,
        "owner=ada": 1, "owner=ADA": 1, "owner=bob": 0, "q=": 1, "q=noir&kind=style&tag=film": 1,
    }.items():  # fmt: skip
        assert len(stranger.send("get", f"adapters?{query}").json()["results"]) == count, query


NONSENSE = [
    "tag=a&tag=" + "x" * 49, "tag=x&" * 11, "permission=foo", "parts=foo",
    "kind=foo", "family=foo", "sort=foo", "limit=0", "limit=101", "limit=x", "limit=-1",
    "cursor=foo", "cursor=%FF", "colour=red", "q=" + "x" * 201, "q=a%00b", "cursor=WzEsMl0",
]  # fmt: skip


def test_a_query_that_makes_no_sense_is_refused(
    stranger: Caller, subtests: pytest.Subtests
) -> None:
    for query in NONSENSE:
        with subtests.test(query=query):
            answer = stranger.send("get", f"adapters?{query}")
            assert answer.status_code == 400
            assert answer.json()["code"] in {"validation_failed", "cursor_invalid"}


def test_an_adapter_has_the_shape_that_clients_rely_on(
    stranger: Caller, noir: Adapter, released: Callable[..., Version], lora: bytes
) -> None:
    released(noir, lora)
    row = stranger.send("get", "adapters").json()["results"][0]
    assert set(row) == {
        "id", "owner", "name", "full_name", "title", "kind", "summary", "tags", "licence",
        "maturity", "visibility", "access", "family", "downloads", "latest_version",
        "trigger_words", "cover", "cover_picture", "url", "api_url",
        "created_at", "updated_at",
        "snippet",
    }  # fmt: skip
    assert row["url"] == "http://testserver/ada/noir"
    assert row["api_url"] == "http://testserver/api/v1/adapters/ada/noir"
    assert row["cover"].startswith("http://testserver/media/covers/")
    version = stranger.send("get", "adapters/ada/noir/versions/v1").json()
    assert set(version) >= {
        "id", "adapter", "version", "label", "state", "revision", "notes", "family", "lineage",
        "rank", "algorithm", "trigger_words", "optional_trigger_words", "strength", "anatomy",
        "findings", "files", "previews", "url", "created_at", "published_at",
    }  # fmt: skip
    assert version["adapter"] == "ada/noir"
    assert set(version["files"][0]) == {
        "id", "path", "role", "variant", "size", "sha256", "hashes", "claimed_hashes", "primary",
        "download_url",
    }  # fmt: skip
    assert set(version["previews"]) >= {"state", "reason", "progress", "images"}


def test_a_renamed_adapter_is_found_at_its_new_address(as_ada: Caller, noir: Adapter) -> None:
    answer = as_ada.send("patch", "adapters/ada/noir", {"name": "dark", "title": "Dark"})
    assert (answer.json()["full_name"], answer.json()["title"]) == ("ada/dark", "Dark")
    for method, place in (
        ("get", "adapters/ada/noir"),
        ("get", "adapters/ada/NOIR/versions?limit=2"),
        ("patch", "adapters/ada/noir"),
        ("post", "adapters/ada/noir/versions/v1/yank"),
        ("get", "adapters/ada/noir/versions/v1/files/a/b.json"),
    ):
        moved = as_ada.send(method, place, {})
        assert moved.status_code == 308
        assert moved.content == b""
        new = place.replace("noir", "dark").replace("NOIR", "dark")
        assert moved.headers["Location"] == f"/api/v1/{new}"


def test_a_rename_that_fails_changes_nothing(as_ada: Caller, ada: User, noir: Adapter) -> None:
    adapters.create(actor=ada, name="dark")
    answer = as_ada.send("patch", "adapters/ada/noir", {"name": "dark", "title": "Dark"})
    assert answer.json()["code"] == "name_taken"
    noir.refresh_from_db()
    assert (noir.name, noir.title) == ("noir", "Noir")


def test_a_patch_changes_what_it_names(as_ada: Caller, noir: Adapter) -> None:
    answer = as_ada.send("patch", "adapters/ada/noir", {"summary": "dark", "tags": ["B", "a"]})
    told = answer.json()
    assert (told["title"], told["summary"], told["tags"]) == ("Noir", "dark", ["a", "b"])


def test_an_adapter_tells_what_its_licence_allows(as_ada: Caller, noir: Adapter) -> None:
    as_ada.send("patch", "adapters/ada/noir", {"licence": "CC-BY-NC-4.0"})
    told = as_ada.send("get", "adapters/ada/noir").json()["licence_permissions"]
    assert (told["commercial"], told["changes"], told["same_terms"]) == ("no", "yes", False)
    as_ada.send("patch", "adapters/ada/noir", {"licence": "ask me"})
    assert as_ada.send("get", "adapters/ada/noir").json()["licence_permissions"] is None


def test_a_version_is_edited_field_by_field(
    as_ada: Caller, noir: Adapter, ada: User, accepted: Callable[..., Upload], lora: bytes
) -> None:
    details = Details(label="first", trigger_words=["noir style"], strength=0.7)
    publication.create_draft(
        actor=ada, adapter=noir, uploads=[accepted(ada, lora)], details=details
    )
    optional = ["low sun", "noir style", " low  sun "]
    body = {"notes": "better", "strength_max": 1.2, "family": "sd1"}
    body |= {"optional_trigger_words": optional}
    told = as_ada.send("patch", "adapters/ada/noir/versions/v1", body).json()
    assert (told["label"], told["notes"]) == ("first", "better")
    assert told["trigger_words"] == ["noir style"]
    assert told["optional_trigger_words"] == ["low sun"]
    assert told["strength"] == {"recommended": 0.7, "min": None, "max": 1.2}
    assert told["anatomy"]["base"]["declared"] == "sd1"


def test_an_edit_keeps_what_another_one_changed_meanwhile(
    as_ada: Caller,
    noir: Adapter,
    released: Callable[..., Version],
    lora: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    version, lock = released(noir, lora), latest.lock

    def lock_later(row: Version) -> None:
        Version.objects.filter(pk=version.pk).update(notes="meanwhile")
        lock(row)

    monkeypatch.setattr(latest, "lock", lock_later)
    told = as_ada.send("patch", "adapters/ada/noir/versions/v1", {"label": "final"}).json()
    assert (told["label"], told["notes"]) == ("final", "meanwhile")


BODIES = [
    {"strength": 11}, {"strength": "x"}, {"strength_min": 2, "strength_max": 1},
    {"family": "foo"}, {"trigger_words": "x"}, {"trigger_words": ["a\nb"]},
    {"optional_trigger_words": ["a"] * 33}, {"optional_trigger_words": ["a\nb"]},
    {"label": "x" * 49}, {"uploads": ["x"]}, {"colour": "red"},
]  # fmt: skip


def test_a_detail_that_does_not_fit_is_refused(
    as_ada: Caller,
    noir: Adapter,
    released: Callable[..., Version],
    lora: bytes,
    subtests: pytest.Subtests,
) -> None:
    released(noir, lora)
    for body in BODIES:
        with subtests.test(body=body):
            answer = as_ada.send("patch", "adapters/ada/noir/versions/v1", body)
            assert (answer.status_code, answer.json()["code"]) == (400, "validation_failed")


def test_a_draft_is_its_owner_s_until_it_is_published(
    as_ada: Caller,
    stranger: Caller,
    noir: Adapter,
    ada: User,
    accepted: Callable[..., Upload],
    lora: bytes,
) -> None:
    upload = str(accepted(ada, lora).public_id)
    made = as_ada.send(
        "post", "adapters/ada/noir/versions", {"uploads": [upload], "publish": False}
    )
    assert (made.status_code, made.json()["state"]) == (201, "draft")
    place = "adapters/ada/noir/versions/v1"
    assert stranger.send("get", place).status_code == 404
    assert stranger.send("get", f"{place}/files/noir.safetensors").status_code == 404
    assert stranger.send("get", "adapters/ada/noir/versions").json()["results"] == []
    early = as_ada.send("post", f"{place}/renders")
    assert (early.status_code, early.json()["code"]) == (409, "wrong_state")
    assert as_ada.send("delete", place).status_code == 204
    assert as_ada.send("get", place).status_code == 404


def test_publishing_a_draft_s_files_again_publishes_the_draft(
    as_ada: Caller, noir: Adapter, ada: User, accepted: Callable[..., Upload], lora: bytes
) -> None:
    body = {"uploads": [str(accepted(ada, lora).public_id)]}
    as_ada.send("post", "adapters/ada/noir/versions", {**body, "publish": False})
    again = as_ada.send("post", "adapters/ada/noir/versions", body)
    assert (again.status_code, again.json()["state"], again.json()["version"]) == (
        201,
        "published",
        "v1",
    )
    assert as_ada.send("post", "adapters/ada/noir/versions", body).status_code == 200


def test_a_yanked_version_is_kept_but_not_offered(
    as_ada: Caller, stranger: Caller, noir: Adapter, released: Callable[..., Version], lora: bytes
) -> None:
    released(noir, lora)
    released(noir, kohya(DENOISERS["sd1", "diffusers"], rank=8))
    told = as_ada.send("post", "adapters/ada/noir/versions/v2/yank", {"reason": "too strong"})
    assert (told.json()["state"], told.json()["reason"]) == ("yanked", "too strong")
    assert stranger.send("get", "adapters/ada/noir/versions/latest").json()["version"] == "v1"
    assert stranger.send("get", "adapters/ada/noir/versions/v2").json()["state"] == "yanked"
    main = "adapters/ada/noir/versions/main"  # the same as for clients of the Hugging Face Hub
    assert stranger.send("get", main).json()["version"] == "v1"
    as_ada.send("post", "adapters/ada/noir/versions/v1/yank", {"reason": "too weak"})
    assert stranger.send("get", main).json()["version"] == "v2"
    as_ada.send("delete", "adapters/ada/noir/versions/v1/yank")
    back = as_ada.send("delete", "adapters/ada/noir/versions/v2/yank")
    assert back.json()["state"] == "published"


def test_versions_are_named_by_number_alias_and_revision(
    stranger: Caller, noir: Adapter, released: Callable[..., Version], lora: bytes
) -> None:
    version = released(noir, lora)
    for name in ("v1", "latest", "main", version.revision.commit):
        assert stranger.send("get", f"adapters/ada/noir/versions/{name}").json()["id"] == version.pk
    for name in ("v2", "V1", "0", "absent", "a" * 40):
        assert stranger.send("get", f"adapters/ada/noir/versions/{name}").status_code == 404


def test_versions_come_page_by_page(
    stranger: Caller, noir: Adapter, released: Callable[..., Version]
) -> None:
    for rank in (2, 4, 8):
        released(noir, kohya(DENOISERS["sd1", "diffusers"], rank=rank))
    first = stranger.send("get", "adapters/ada/noir/versions?limit=2").json()
    assert [row["version"] for row in first["results"]] == ["v3", "v2"]
    rest = stranger.send("get", first["next"]).json()
    assert ([row["version"] for row in rest["results"]], rest["next"]) == (["v1"], None)
    assert stranger.send("get", "adapters/ada/noir/versions?cursor=x").json()["code"] == (
        "cursor_invalid"
    )


def test_previews_can_be_asked_for_again(
    as_ada: Caller, stranger: Caller, noir: Adapter, released: Callable[..., Version], lora: bytes
) -> None:
    released(noir, lora)
    Version.objects.update(family="miniature")  # which every hub can render
    asked = as_ada.send("post", "adapters/ada/noir/versions/v1/renders")
    assert asked.status_code == 202
    render = asked.json()
    assert render["state"] in {RenderState.WAITING, RenderState.QUEUED}
    assert (render["adapter"], render["version"]) == ("ada/noir", "v1")
    assert stranger.send("get", f"renders/{render['id']}").json() == render
    assert stranger.send("get", "renders/99999").status_code == 404
    assert stranger.send("post", "adapters/ada/noir/versions/v1/renders").status_code == 401


def test_a_render_is_shown_to_those_who_see_its_version(
    as_ada: Caller, stranger: Caller, noir: Adapter, released: Callable[..., Version], lora: bytes
) -> None:
    version = released(noir, lora)
    Version.objects.update(family="miniature")
    path = f"renders/{as_ada.send('post', 'adapters/ada/noir/versions/v1/renders').json()['id']}"
    assert stranger.send("get", path).status_code == 200
    catalogue.put(Version.objects.filter(pk=version.pk), "draft")
    assert stranger.send("get", path).status_code == 404
    assert as_ada.send("get", path).status_code == 200


def test_an_adapter_says_whether_the_caller_may_publish_to_it(
    as_ada: Caller, as_bob: Caller, stranger: Caller, noir: Adapter
) -> None:
    answers = [who.send("get", "adapters/ada/noir").json() for who in (as_ada, as_bob, stranger)]
    assert [answer["can_write"] for answer in answers] == [True, False, False]


def test_search_filters_by_what_the_browse_page_does(
    stranger: Caller, noir: Adapter, shelf: list[Adapter]
) -> None:
    columns = {
        "lineage": "Pony", "algorithm": "dora", "maturity": "mature", "licence": "mit",
        "permissions": "pictures+changes", "parts": "text_encoder", "trainer": "OneTrainer",
    }  # fmt: skip
    Adapter.objects.filter(pk=shelf[0].pk).update(**columns)
    for query in (
        "lineage=Pony", "method=dora", "maturity=mature", "licence=mit", "parts=text_encoder",
        "trainer=OneTrainer", "permission=changes&permission=pictures", "permission=changes",
    ):  # fmt: skip
        found = stranger.send("get", f"adapters?{query}").json()["results"]
        assert [one["name"] for one in found] == [shelf[0].name], query
    assert stranger.send("get", "adapters?pictures=true").json()["results"] == []
    assert stranger.send("get", "adapters?maturity=odd").status_code == 400
    assert stranger.send("get", "adapters?pictures=perhaps").status_code == 400


def test_search_finds_ratings_up_to_a_level(
    as_ada: Caller, stranger: Caller, shelf: list[Adapter]
) -> None:
    levels = ("general", "suggestive", "mature", "explicit")
    for adapter, level in zip(shelf, levels, strict=False):
        answer = as_ada.send("patch", f"adapters/{adapter.full_name}", {"maturity": level})
        assert answer.json()["maturity"] == level
    Adapter.objects.exclude(pk__in=[one.pk for one in shelf[:4]]).update(visibility="private")
    for count, level in enumerate(levels, start=1):
        found = stranger.send("get", f"adapters?max_maturity={level}").json()["results"]
        assert {one["maturity"] for one in found} == set(levels[:count])
    both = "adapters?max_maturity=mature&maturity=suggestive"
    assert [one["maturity"] for one in stranger.send("get", both).json()["results"]] == [
        "suggestive"
    ]
    assert stranger.send("get", "adapters?max_maturity=odd").status_code == 400

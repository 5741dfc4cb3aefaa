"""Documents, folders, refs and commits of the Hugging Face protocol, asked by hand."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from registry.adapters import manifests
from registry.adapters import services as adapters
from registry.aliases import services as aliases
from registry.cards import services as cards
from registry.models import Adapter
from registry.publication import services as publication
from registry.versions import withdraw
from tests import catalogue
from tests.builders.adapters import DENOISERS, kohya

if TYPE_CHECKING:
    from django.test import Client
    from pytest_django import DjangoAssertNumQueries

    from registry.models import Revision, User, Version

pytestmark = pytest.mark.django_db

MODEL = "/api/models/ada/noir"
#: What `git hash-object` says of "Some words." and an end of line.
GIT_OID = "7bdd7ac6406b6614a8760392485b28c9ef77a377"
#: Queries of a repo's document: adapter, tip of main with its versions, files with anatomies, tags,
#: bytes.
INFO_QUERIES = 6
#: Of a list with files: adapters, tags, tips with their versions, files.
FULL_LIST_QUERIES = 5


@pytest.fixture
def second(noir: Adapter) -> Version:
    """A second version, under another name, with more files."""
    return grow(noir, "noir-v2.safetensors", 2)


def grow(adapter: Adapter, path: str, rank: int, **more: bytes) -> Version:
    owner = adapter.namespace.user
    assert owner is not None
    uploads = [catalogue.accept(owner, kohya(DENOISERS["sd1", "diffusers"], rank=rank), path)]
    uploads += [catalogue.accept(owner, data, name) for name, data in more.items()]
    draft = publication.create_draft(actor=owner, adapter=adapter, uploads=uploads)
    return publication.publish(actor=owner, version=draft)


def edited(adapter: Adapter, **files: bytes) -> Revision:
    """Commit files beside those of main, without a version; README.md is called README_md."""
    owner = adapter.namespace.user
    assert owner is not None
    parent = manifests.main_of(adapter)
    entries = manifests.entries_of(parent)
    for name, data in files.items():
        path = name.replace("__", "/").replace("_md", ".md")
        blob = catalogue.accept(owner, data, path).blob
        assert blob is not None
        entries = [entry for entry in entries if entry.path != path]
        entries.append(manifests.Entry(path, blob, "other"))
    revision = manifests.commit(
        actor=owner, adapter=adapter, parent=parent, entries=entries, message="Add\n\nmore files"
    )
    manifests.move(actor=owner, revision=revision, name="main", is_branch=True)
    return revision


def test_a_repo_has_the_document_that_clients_read(
    stranger: Client, noir: Adapter, first: Version
) -> None:
    said = stranger.get(MODEL).json()
    assert said["id"] == said["modelId"] == "ada/noir"
    assert said["sha"] == first.revision.commit
    assert said["siblings"] == [{"rfilename": "noir.safetensors"}]
    assert (said["author"], said["private"], said["gated"], said["disabled"]) == (
        "ada", False, False, False,
    )  # fmt: skip
    assert said["pipeline_tag"] == "text-to-image"
    assert said["library_name"] == "diffusers"
    base = "stable-diffusion-v1-5/stable-diffusion-v1-5"
    assert {"lora", "sd1", "film", "style", f"base_model:adapter:{base}"} <= set(said["tags"])
    assert said["cardData"]["base_model"] == base
    assert said["baseModels"]["models"] == [{"id": base}]
    assert said["safetensors"]["total"] == sum(said["safetensors"]["parameters"].values()) > 0
    assert said["usedStorage"] == first.size_bytes
    for name in ("lastModified", "createdAt"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", said[name])


def test_a_document_names_sizes_and_digests_when_asked(
    stranger: Client, noir: Adapter, first: Version
) -> None:
    edited(noir, notes_md=b"Some words.\n")
    weights, notes = sorted(
        stranger.get(f"{MODEL}?blobs=True").json()["siblings"], key=lambda one: -one["size"]
    )
    file = first.primary_file
    assert file is not None
    assert weights["lfs"]["sha256"] == file.sha256
    assert weights["lfs"]["size"] == weights["size"] == file.size_bytes
    assert 120 < weights["lfs"]["pointerSize"] < 140
    assert notes == {"rfilename": "notes.md", "size": 12, "blobId": GIT_OID}


def test_the_card_of_a_readme_counts(stranger: Client, noir: Adapter) -> None:
    edited(noir, README_md=b"---\nlicense: mit\nwidget:\n- text: rain\n---\n# Noir\n")
    said = stranger.get(MODEL).json()["cardData"]
    assert (said["license"], said["widget"]) == ("mit", [{"text": "rain"}])
    assert said["library_name"] == "diffusers"


@pytest.mark.parametrize("text", [b"---\n: [\n---\n", b"---\n- a\n---\n", b"no front matter"])
def test_a_readme_that_says_nothing_leaves_what_the_fields_say(
    stranger: Client, noir: Adapter, text: bytes
) -> None:
    edited(noir, README_md=text)
    assert stranger.get(MODEL).json()["cardData"]["library_name"] == "diffusers"


def test_expand_leaves_everything_else_out(stranger: Client, noir: Adapter) -> None:
    said = stranger.get(f"{MODEL}?expand=sha&expand=tags").json()
    assert set(said) == {"_id", "id", "sha", "tags"}


@pytest.mark.parametrize("ref", ["main", "latest", "v2", "stable", "feat/rain", "hex"])
def test_revisions_have_many_names(
    stranger: Client, noir: Adapter, second: Version, ref: str
) -> None:
    owner = second.author
    aliases.point(actor=owner, adapter=noir, name="stable", to=second.revision)
    aliases.point(actor=owner, adapter=noir, name="feat/rain", to=second.revision, is_branch=True)
    name = second.revision.commit if ref == "hex" else ref
    said = stranger.get(f"{MODEL}/revision/{name.replace('/', '%2F')}").json()
    assert said["sha"] == second.revision.commit
    assert [one["rfilename"] for one in said["siblings"]] == ["noir-v2.safetensors"]


def test_weights_come_first_where_diffusers_would_take_others(
    stranger: Client, noir: Adapter, first: Version
) -> None:
    file = first.primary_file
    assert file is not None
    other = manifests.Entry("a-half.safetensors", file.blob, "weights")
    owner = first.author
    revision = manifests.commit(
        actor=owner,
        adapter=noir,
        parent=first.revision,
        entries=[*manifests.entries_of(first.revision), other],
        message="x",
    )
    manifests.move(actor=owner, revision=revision, name="main")
    names = [one["rfilename"] for one in stranger.get(MODEL).json()["siblings"]]
    assert names == ["noir.safetensors", "a-half.safetensors"]


def test_an_adapter_without_versions_is_an_empty_repo(
    stranger: Client, ada: User, as_ada: Client
) -> None:
    made = adapters.create(actor=ada, name="empty.v1")
    said = stranger.get("/api/models/ada/empty.v1").json()
    assert said["siblings"] == []
    assert said["safetensors"] is None
    assert stranger.get("/api/models/ada/empty.v1/tree/main").json() == []
    (branch,) = stranger.get("/api/models/ada/empty.v1/refs").json()["branches"]
    assert branch["targetCommit"] == manifests.main_of(made).commit == said["sha"]
    assert stranger.get("/api/models/ada/empty.v1/tree/main/x").status_code == 404
    assert as_ada.get("/api/models").json()[0]["id"] == "ada/empty.v1"


def test_folders_are_listed_level_by_level_and_all_at_once(stranger: Client, noir: Adapter) -> None:
    edited(noir, docs__a_md=b"a", docs__deep__b_md=b"b", README_md=b"Hello")
    top = stranger.get(f"{MODEL}/tree/main").json()
    assert [(one["type"], one["path"]) for one in top] == [
        ("file", "README.md"), ("directory", "docs"), ("file", "noir.safetensors"),
    ]  # fmt: skip
    assert top[2]["lfs"]["oid"] == top[2]["lfs"]["oid"].lower()
    assert "lfs" not in top[0]
    assert len(top[1]["oid"]) == 40
    below = stranger.get(f"{MODEL}/tree/main/docs%2Fdeep").json()
    assert [one["path"] for one in below] == ["docs/deep/b.md"]
    deep = stranger.get(f"{MODEL}/tree/main?recursive=True&expand=False").json()
    assert [one["path"] for one in deep] == [
        "README.md", "docs", "docs/a.md", "docs/deep", "docs/deep/b.md", "noir.safetensors",
    ]  # fmt: skip


def test_a_page_of_a_branch_with_a_slash_leads_on_there(stranger: Client, noir: Adapter) -> None:
    made = edited(noir, a_md=b"a", b_md=b"b")
    manifests.move(actor=made.author, revision=made, name="feat/x", is_branch=True)
    page = stranger.get(f"{MODEL}/tree/feat%2Fx?limit=1", RAW_URI=f"{MODEL}/tree/feat%2Fx?limit=1")
    assert f"<http://testserver{MODEL}/tree/feat%2Fx?limit=1&cursor=a.md>" in page.headers["Link"]


def test_pages_of_a_folder_lead_on(stranger: Client, noir: Adapter) -> None:
    edited(noir, **{f"n{number}_md": b"%d" % number for number in range(5)})
    place, seen = f"{MODEL}/tree/main?recursive=true&limit=2", []
    while place:
        page = stranger.get(place)
        seen += [one["path"] for one in page.json()]
        link = page.headers.get("Link", "")
        assert not link or link.startswith(f"<http://testserver{MODEL}/tree/main?recursive=true")
        place = link.removeprefix("<http://testserver").removesuffix('>; rel="next"')
    assert seen == [*(f"n{number}.md" for number in range(5)), "noir.safetensors"]


def test_the_last_change_of_a_file_is_told(stranger: Client, noir: Adapter, first: Version) -> None:
    change = edited(noir, docs__a_md=b"a")
    edited(noir, b_md=b"b")
    found = {
        one["path"]: one["lastCommit"]["id"]
        for one in stranger.get(f"{MODEL}/tree/main?recursive=true&expand=true").json()
    }
    assert found["docs/a.md"] == found["docs"] == change.commit
    assert found["noir.safetensors"] == first.revision.commit
    assert found["b.md"] == manifests.main_of(noir).commit


def test_paths_are_looked_up_and_unknown_ones_left_out(stranger: Client, noir: Adapter) -> None:
    edited(noir, docs__a_md=b"a")
    asked = {"paths": ["docs", "docs/a.md", "nothing", "noir.safetensors"], "expand": "true"}
    found = stranger.post(f"{MODEL}/paths-info/main", asked).json()
    assert [(one["type"], one["path"]) for one in found] == [
        ("directory", "docs"), ("file", "docs/a.md"), ("file", "noir.safetensors"),
    ]  # fmt: skip
    assert found[1]["lastCommit"]["title"] == "Add"
    as_json = stranger.post(
        f"{MODEL}/paths-info/main", {"paths": ["docs/a.md"]}, content_type="application/json"
    )
    assert [one["path"] for one in as_json.json()] == ["docs/a.md"]


def test_branches_tags_and_versions_are_refs(
    stranger: Client, noir: Adapter, first: Version, second: Version
) -> None:
    owner = first.author
    aliases.point(actor=owner, adapter=noir, name="stable", to=first.revision)
    aliases.point(actor=owner, adapter=noir, name="feat/x", to=first.revision, is_branch=True)
    said = stranger.get(f"{MODEL}/refs?include_prs=1").json()
    assert {one["ref"]: one["targetCommit"] for one in said["branches"]} == {
        "refs/heads/main": second.revision.commit,
        "refs/heads/feat/x": first.revision.commit,
    }
    assert {one["name"]: one["targetCommit"] for one in said["tags"]} == {
        "v1": first.revision.commit,
        "v2": second.revision.commit,
        "stable": first.revision.commit,
    }
    assert said["converts"] == said["pullRequests"] == []


def test_commits_are_told_newest_first_page_by_page(
    stranger: Client, noir: Adapter, first: Version
) -> None:
    last = edited(noir, a_md=b"a")
    place, seen = f"{MODEL}/commits/main?limit=2&expand[]=formatted", []
    while place:
        page = stranger.get(place)
        seen += page.json()
        link = page.headers.get("Link", "")
        place = link.removeprefix("<http://testserver").removesuffix('>; rel="next"')
    assert [one["id"] for one in seen[:2]] == [last.commit, first.revision.commit]
    assert len(seen) == 3
    assert (seen[0]["title"], seen[0]["message"]) == ("Add", "more files")
    assert seen[0]["authors"] == [{"user": "ada"}]
    assert seen[0]["formatted"]["title"] == "Add"
    assert seen[0]["date"].endswith("Z")


def test_lists_are_searched_filtered_and_sorted(
    stranger: Client, noir: Adapter, ada: User, lora: bytes
) -> None:
    other = adapters.create(actor=ada, name="rain", kind="pose", tags=["wet"], licence="MIT")
    catalogue.release(other, kohya(DENOISERS["sd1", "diffusers"], rank=3), path="rain.safetensors")
    Adapter.objects.filter(pk=other.pk).update(downloads=5)
    base = "stable-diffusion-v1-5/stable-diffusion-v1-5"
    for query, names in {
        "": "rain noir", "search=noir": "noir", "author=ADA": "rain noir", "author=bob": "",
        "filter=lora": "rain noir", "filter=film": "noir", "filter=film&filter=wet": "",
        "filter=pose": "rain", "filter=license:mit": "rain", "filter=sd1,wet": "rain",
        f"filter=base_model:adapter:{base}": "rain noir", "filter=base_model:x/y": "",
        "pipeline_tag=text-to-image": "rain noir", "pipeline_tag=text-to-video": "",
        "sort=createdAt": "rain noir", "sort=lastModified": "rain noir",
        "sort=downloads": "rain noir",
        "gated=true": "", "gated=False": "rain noir", "inference=warm": "", "filter=": "rain noir",
    }.items():  # fmt: skip
        found = [one["id"] for one in stranger.get(f"/api/models?{query}").json()]
        assert found == [f"ada/{name}" for name in names.split()], query


def test_lists_are_filtered_by_the_tag_of_mature_and_explicit_adapters(
    stranger: Client, noir: Adapter
) -> None:
    for maturity, is_found in (
        ("general", False), ("suggestive", False), ("mature", True), ("explicit", True),
    ):  # fmt: skip
        Adapter.objects.filter(pk=noir.pk).update(maturity=maturity)
        found = stranger.get("/api/models?filter=not-for-all-audiences").json()
        assert [one["id"] for one in found] == (["ada/noir"] if is_found else [])
        (every,) = stranger.get("/api/models").json()
        assert ("not-for-all-audiences" in every["tags"]) == is_found


def test_a_list_leads_on_with_its_whole_question(
    stranger: Client, noir: Adapter, ada: User
) -> None:
    for number in range(3):
        adapter = adapters.create(actor=ada, name=f"x{number}", tags=["film"])
        catalogue.release(adapter, kohya(DENOISERS["sd1", "diffusers"], rank=number + 5))
    place, seen = "/api/models?filter=film&filter=lora&limit=2&full=true", []
    while place:
        page = stranger.get(place)
        seen += [one["id"] for one in page.json()]
        link = page.headers.get("Link", "")
        place = link.removeprefix("<http://testserver").removesuffix('>; rel="next"')
        assert not place or "filter=film&filter=lora" in place
    assert seen == ["ada/x2", "ada/x1", "ada/x0", "ada/noir"]


def test_documents_and_lists_ask_a_fixed_number_of_questions(
    stranger: Client,
    noir: Adapter,
    ada: User,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    for number in range(3):
        adapter = adapters.create(actor=ada, name=f"x{number}", tags=["film"])
        catalogue.release(adapter, kohya(DENOISERS["sd1", "diffusers"], rank=number + 5))
    with django_assert_num_queries(INFO_QUERIES):
        stranger.get(f"{MODEL}?blobs=true")
    for limit in (1, 4):
        with django_assert_num_queries(2):
            stranger.get(f"/api/models?limit={limit}")
        with django_assert_num_queries(FULL_LIST_QUERIES):
            found = stranger.get(f"/api/models?limit={limit}&full=true").json()
        assert len(found) == limit
        assert all(one["sha"] and one["siblings"] for one in found)


def test_a_full_list_agrees_with_the_documents(
    stranger: Client, noir: Adapter, second: Version
) -> None:
    fields = "sha&expand=siblings&expand=safetensors&expand=usedStorage&expand=cardData"
    (listed,) = stranger.get(f"/api/models?expand={fields}").json()
    alone = stranger.get(f"{MODEL}?expand={fields}").json()
    assert listed == alone
    assert listed["sha"] == second.revision.commit


def test_own_repos_are_listed_with_what_they_take(
    as_ada: Client, as_bob: Client, stranger: Client, noir: Adapter, first: Version, ada: User
) -> None:
    adapters.create(actor=ada, name="bare")
    mine, bare = sorted(
        as_ada.get("/api/settings/repositories").json(), key=lambda one: -one["storage"]
    )
    assert (mine["id"], mine["type"], mine["visibility"]) == ("ada/noir", "model", "public")
    assert (mine["storage"], mine["storagePercent"]) == (first.size_bytes, 100)
    assert (bare["storage"], bare["storagePercent"]) == (0, 0)
    assert as_bob.get("/api/settings/repositories").json() == []
    assert stranger.get("/api/settings/repositories").status_code == 401
    assert as_bob.get("/api/organizations/ada/settings/repositories").json()[0]["id"] == "ada/noir"


@pytest.mark.parametrize("visibility", ["unlisted", "private"])
def test_repos_that_are_not_listed_are_told_to_their_owner_alone(
    as_ada: Client, as_bob: Client, noir: Adapter, ada: User, visibility: str
) -> None:
    cards.edit_adapter(actor=ada, adapter=noir, visibility=visibility)
    place = "/api/organizations/ada/settings/repositories"
    assert as_bob.get(place).json() == []
    assert [one["id"] for one in as_ada.get(place).json()] == ["ada/noir"]
    withdraw.withdraw_adapter(actor=ada, adapter=noir, reason="no more")
    assert as_ada.get("/api/settings/repositories").json() == []


def test_tags_are_told_by_kind(stranger: Client, noir: Adapter) -> None:
    said = stranger.get("/api/models-tags-by-type").json()
    assert [one["id"] for one in said["other"]] == ["film"]
    assert [one["id"] for one in said["pipeline_tag"]] == ["text-to-image"]

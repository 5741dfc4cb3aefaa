"""Bytes through the Hugging Face protocol, and every way in which it refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import pytest

from registry.adapters import manifests
from registry.adapters import services as adapters
from registry.cards import services as cards
from registry.models import Adapter, DailyDownloads, Namespace, Version
from registry.publication import services as publication
from registry.versions import download_counts, revisions, withdraw
from registry.versions import services as versions
from tests import catalogue
from tests.builders.adapters import DENOISERS, kohya
from tests.transfers import body_of

if TYPE_CHECKING:
    from django.test import Client
    from pytest_django import DjangoAssertNumQueries

    from registry.models import File, User
    from tests.buckets import SeaweedFS

pytestmark = pytest.mark.django_db

PLACE = "/ada/noir/resolve/main/noir.safetensors"
ABSENT = (
    "/api/models/ada/noir", "/api/models/ada/noir/tree/main", "/api/models/ada/noir/refs",
    "/api/models/ada/noir/commits/main", "/api/models/ada/noir/auth-check", PLACE,
)  # fmt: skip


@pytest.fixture
def weights(first: Version) -> File:
    file = first.primary_file
    assert file is not None
    return file


def test_a_head_tells_commit_digest_and_size(
    stranger: Client, first: Version, weights: File
) -> None:
    answer = stranger.head(PLACE, headers={"X-HF-Download-Counter": "1"})
    assert answer.status_code == 200
    assert answer.headers["X-Repo-Commit"] == first.revision.commit
    assert answer.headers["ETag"] == answer.headers["X-Linked-ETag"] == f'"{weights.sha256}"'
    assert (
        answer.headers["Content-Length"]
        == answer.headers["X-Linked-Size"]
        == str(weights.size_bytes)
    )
    download_counts.write()
    assert not DailyDownloads.objects.exists()


@pytest.mark.parametrize("way", ["resolve", "raw"])
def test_a_get_sends_the_bytes_and_counts(
    stranger: Client, lora: bytes, first: Version, way: str
) -> None:
    answer = stranger.get(PLACE.replace("resolve", way))
    assert body_of(answer) == lora
    assert "noir.safetensors" in answer.headers["Content-Disposition"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    download_counts.write()
    first.refresh_from_db()
    assert first.downloads == 1


def test_a_range_goes_on_where_the_last_transfer_ended(
    stranger: Client, lora: bytes, first: Version
) -> None:
    answer = stranger.get(PLACE, headers={"Range": "bytes=100-"})
    assert (answer.status_code, body_of(answer)) == (206, lora[100:])
    assert answer.headers["X-Repo-Commit"] == first.revision.commit
    assert answer.headers["Content-Range"] == f"bytes 100-{len(lora) - 1}/{len(lora)}"
    beyond = stranger.get(PLACE, headers={"Range": f"bytes={len(lora)}-"})
    assert beyond.status_code == 416
    assert beyond.headers["Content-Range"] == f"bytes */{len(lora)}"


@pytest.mark.parametrize("path", ["a b é %.md", "100%25.md", "sub dir/ü#1.md", "naïve+file.md"])
def test_odd_names_are_found(stranger: Client, noir: Adapter, path: str) -> None:
    commit_file(noir, path, b"words")
    answer = stranger.get(f"/ada/noir/resolve/main/{quote(path)}")
    assert body_of(answer) == b"words"
    assert stranger.head(f"/ada/noir/resolve/main/{quote(path)}").headers["Content-Length"] == "5"


def commit_file(adapter: Adapter, path: str, data: bytes, ref: str = "main") -> None:
    owner = adapter.namespace.user
    assert owner is not None
    blob, parent = catalogue.accept(owner, data, path).blob, manifests.main_of(adapter)
    assert blob is not None
    entries = [*manifests.entries_of(parent), manifests.Entry(path, blob, "other")]
    made = manifests.commit(
        actor=owner, adapter=adapter, parent=parent, entries=entries, message=path
    )
    manifests.move(actor=owner, revision=made, name=ref, is_branch=True)


def test_a_branch_with_a_slash_ends_where_it_is_quoted_or_at_the_longest_alias(
    stranger: Client, noir: Adapter
) -> None:
    commit_file(noir, "a.md", b"branch", "feat/x")
    commit_file(noir, "x/a.md", b"folder", "feat")
    quoted, plain = "/ada/noir/resolve/feat%2Fx/a.md", "/ada/noir/resolve/feat/x/a.md"
    assert body_of(stranger.get(quoted, RAW_URI=quoted)) == b"branch"
    assert body_of(stranger.get(plain, RAW_URI=plain)) == b"folder"
    noir.aliases.filter(name="feat").update(revision=None)
    assert body_of(stranger.get(plain)) == b"branch"
    tree = "/api/models/ada/noir/tree/feat%2Fx"
    assert [one["path"] for one in stranger.get(tree).json()] == ["a.md", "noir.safetensors"]


def test_weights_of_a_revision_without_version_count_for_the_version_they_are_of(
    stranger: Client, noir: Adapter, first: Version
) -> None:
    commit_file(noir, "README.md", b"words")
    answer = stranger.get(PLACE)
    body_of(answer)
    download_counts.write()
    first.refresh_from_db()
    assert first.downloads == 1


def test_a_file_asks_a_fixed_number_of_questions(
    stranger: Client, first: Version, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    # Adapter, tip of main, its versions, the file.
    with django_assert_num_queries(4):
        stranger.head(PLACE)
    # Adapter, revision, its versions, the file.
    pinned = PLACE.replace("main", first.revision.commit)
    with django_assert_num_queries(4):
        stranger.head(pinned)


@pytest.mark.service
def test_bytes_in_a_bucket_come_by_a_redirect_that_tells_of_them(
    bucket: SeaweedFS, stranger: Client, first: Version, weights: File
) -> None:
    answer = stranger.get(PLACE)
    assert answer.status_code == 302
    assert urlsplit(answer.headers["Location"]).netloc not in {"", "testserver"}
    assert answer.headers["X-Repo-Commit"] == first.revision.commit
    assert answer.headers["X-Linked-Size"] == str(weights.size_bytes)
    assert answer.headers["X-Linked-ETag"] == f'"{weights.sha256}"'
    assert stranger.head(PLACE).status_code == 200


@pytest.mark.parametrize("place", ABSENT)
def test_a_repo_that_is_not_there_is_401_to_strangers_and_404_to_users(
    stranger: Client, as_bob: Client, place: str
) -> None:
    for client, status in ((stranger, 401), (as_bob, 404)):
        answer = client.get(place)
        assert (answer.status_code, answer.headers["X-Error-Code"]) == (status, "RepoNotFound")
        assert answer.json()["error"] == 'There is no adapter "ada/noir".'


@pytest.mark.parametrize("place", ABSENT)
def test_a_private_repo_is_answered_as_if_absent(
    stranger: Client, as_bob: Client, as_ada: Client, noir: Adapter, ada: User, place: str
) -> None:
    absent = stranger.get(place.replace("noir", "nothing")).json()["error"]
    cards.edit_adapter(actor=ada, adapter=noir, visibility="private")
    for client, status in ((stranger, 401), (as_bob, 404)):
        answer = client.get(place)
        assert (answer.status_code, answer.headers["X-Error-Code"]) == (status, "RepoNotFound")
        assert answer.json()["error"] == absent.replace("nothing", "noir")
        assert set(answer.headers) == set(client.get(place.replace("noir", "nothing")).headers)
    assert as_ada.get(place).status_code == 200


def test_private_bytes_are_for_no_shared_cache(as_ada: Client, noir: Adapter, ada: User) -> None:
    cards.edit_adapter(actor=ada, adapter=noir, visibility="private")
    assert as_ada.get(PLACE).headers["Cache-Control"] == "private, no-store"
    assert as_ada.get("/api/models/ada/noir").json()["private"] is True


PLACES = [
    "/api/models/ada/noir/revision/%s", "/api/models/ada/noir/tree/%s",
    "/api/models/ada/noir/commits/%s", "/ada/noir/resolve/%s/noir.safetensors",
]  # fmt: skip


def test_an_unknown_revision_is_said_so(
    stranger: Client, noir: Adapter, subtests: pytest.Subtests
) -> None:
    for place in PLACES:
        for ref in ["nothing", "v9", "refs%2Fpr%2F1", "0" * 40, "a/b/c", "v1%00"]:
            with subtests.test(place=place, ref=ref):
                answer = stranger.get(place % ref)
                assert answer.status_code == 404
                assert answer.headers.get("X-Error-Code") == (
                    None if "%00" in ref else "RevisionNotFound"
                )


def test_an_unknown_file_is_said_so_with_the_commit(stranger: Client, first: Version) -> None:
    for place in (
        "/ada/noir/resolve/main/nothing.bin", "/ada/noir/resolve/v1/x/y.txt",
        "/api/models/ada/noir/tree/main/nothing",
    ):  # fmt: skip
        answer = stranger.get(place)
        assert (answer.status_code, answer.headers["X-Error-Code"]) == (404, "EntryNotFound")
        assert answer.headers["X-Repo-Commit"] == first.revision.commit


@pytest.mark.parametrize("kind", ["gated-auto", "gated-manual"])
def test_a_gated_repo_can_be_read_about_and_not_downloaded(
    stranger: Client, as_bob: Client, as_ada: Client, noir: Adapter, kind: str
) -> None:
    Adapter.objects.filter(pk=noir.pk).update(access=kind)
    said = stranger.get("/api/models/ada/noir").json()
    assert said["gated"] == kind.removeprefix("gated-")
    for place in (PLACE, "/api/models/ada/noir/auth-check"):
        for client, status in ((stranger, 401), (as_bob, 403)):
            answer = client.get(place)
            assert (answer.status_code, answer.headers["X-Error-Code"]) == (status, "GatedRepo")
        assert as_ada.get(place).status_code == 200
    api = "/api/v1/adapters/ada/noir/versions/v1/files/noir.safetensors"
    assert (stranger.get(api).status_code, as_ada.get(api).status_code) == (403, 200)
    for place in (PLACE, api):
        assert as_ada.get(place).headers["Cache-Control"] == "private, no-store"
    listed = stranger.get("/api/models?gated=true").json()
    assert [one["id"] for one in listed] == ["ada/noir"]


@pytest.mark.parametrize("place", ABSENT)
def test_a_blocked_repo_is_disabled(
    stranger: Client, as_bob: Client, noir: Adapter, place: str
) -> None:
    Adapter.objects.filter(pk=noir.pk).update(blocked_reason="spam")
    for client in (stranger, as_bob):
        answer = client.get(place)
        assert answer.status_code == 403
        assert answer.headers["X-Error-Message"] == "Access to this resource is disabled."
        assert "spam" in answer.json()["error"]


def test_a_blocked_private_repo_stays_as_if_absent(as_bob: Client, noir: Adapter) -> None:
    Adapter.objects.filter(pk=noir.pk).update(blocked_reason="spam", visibility="private")
    assert as_bob.get(PLACE).headers["X-Error-Code"] == "RepoNotFound"


def test_an_old_name_leads_to_the_new_one_on_this_origin(
    stranger: Client, noir: Adapter, ada: User
) -> None:
    adapters.rename(actor=ada, adapter=noir, name="noir.film")
    for place in (*ABSENT, PLACE + "?download=true", "/ada/noir/resolve/feat%2Fx/a%20b"):
        answer = stranger.get(place, RAW_URI=place)
        assert answer.status_code == 307
        assert answer.headers["Location"] == place.replace("ada/noir", "ada/noir.film")
    assert stranger.get("/ada/noir.film/resolve/main/noir.safetensors").status_code == 200


@pytest.fixture
def second(noir: Adapter, ada: User) -> Version:
    data = kohya(DENOISERS["sd1", "diffusers"], rank=2)
    return catalogue.release(noir, data, path="noir.safetensors")


def test_a_withdrawn_version_is_gone_with_its_reason(
    stranger: Client, ada: User, first: Version, second: Version
) -> None:
    withdraw.withdraw(actor=ada, version=first, reason="The model asked for it")
    for place, code in {
        "/ada/noir/resolve/v1/noir.safetensors": "RevisionNotFound",
        f"/ada/noir/resolve/{first.revision.commit}/noir.safetensors": "RevisionNotFound",
        "/api/models/ada/noir/revision/v1": "RevisionNotFound",
        "/api/models/ada/noir/tree/v1": "RevisionNotFound",
    }.items():
        answer = stranger.get(place)
        assert (answer.status_code, answer.headers["X-Error-Code"]) == (410, code)
        assert "The model asked for it" in answer.headers["X-Error-Message"]
    assert stranger.get(PLACE).headers["X-Repo-Commit"] == second.revision.commit


@pytest.mark.parametrize("verb", ["withdraw", "yank"])
def test_main_means_what_is_offered_while_its_end_is_not(
    stranger: Client, ada: User, first: Version, second: Version, verb: str
) -> None:
    if verb == "withdraw":
        withdraw.withdraw(actor=ada, version=second, reason="Wrong file")
    else:
        versions.yank(actor=ada, version=second, reason="Wrong file")
    assert stranger.get(PLACE).headers["X-Repo-Commit"] == first.revision.commit
    (branch,) = stranger.get("/api/models/ada/noir/refs").json()["branches"]
    assert branch["targetCommit"] == first.revision.commit
    assert stranger.get("/api/models/ada/noir").json()["sha"] == first.revision.commit


def test_a_yanked_version_comes_with_a_warning(
    stranger: Client, ada: User, second: Version
) -> None:
    versions.yank(actor=ada, version=second, reason="Washed out; “soft”")
    for place in ("/ada/noir/resolve/v2/noir.safetensors", "/api/models/ada/noir/revision/v2"):
        said = stranger.get(place).headers["X-HF-Warning"]
        assert said == 'yanked; v2 was yanked: Washed out, "soft"'


def test_a_withdrawal_takes_its_bytes_out_of_every_revision(
    stranger: Client, ada: User, noir: Adapter, first: Version
) -> None:
    commit_file(noir, "README.md", b"words")
    tip = revisions.at(None, noir).revision.commit
    withdraw.withdraw(actor=ada, version=first, reason="Wrong file")
    for ref in ("main", tip):
        answer = stranger.get(f"/ada/noir/resolve/{ref}/noir.safetensors")
        assert (answer.status_code, answer.headers["X-Error-Code"]) == (410, "EntryNotFound")
        assert "Wrong file" in answer.headers["X-Error-Message"]
        assert body_of(stranger.get(f"/ada/noir/resolve/{ref}/README.md")) == b"words"


@pytest.mark.parametrize("place", ABSENT)
def test_a_withdrawn_adapter_is_gone_with_its_reason(
    stranger: Client, ada: User, noir: Adapter, place: str
) -> None:
    withdraw.withdraw_adapter(actor=ada, adapter=noir, reason="Out of date")
    answer = stranger.get(place)
    assert (answer.status_code, answer.headers["X-Error-Code"]) == (410, "RepoNotFound")
    assert "Out of date" in answer.headers["X-Error-Message"]


def test_a_draft_is_there_for_its_owner_alone(
    stranger: Client, as_bob: Client, as_ada: Client, ada: User, noir: Adapter
) -> None:
    upload = catalogue.accept(ada, kohya(DENOISERS["sd1", "diffusers"], rank=7))
    draft = publication.create_draft(actor=ada, adapter=noir, uploads=[upload])
    for ref in ("v2", draft.revision.commit):
        place = f"/api/models/ada/noir/revision/{ref}"
        assert as_ada.get(place).status_code == 200
        for client in (stranger, as_bob):
            assert client.get(place).headers["X-Error-Code"] == "RevisionNotFound"
            assert client.get(f"/ada/noir/resolve/{ref}/noir.safetensors").status_code == 404
    names = [one["name"] for one in stranger.get("/api/models/ada/noir/refs").json()["tags"]]
    assert names == ["v1"]


def test_who_may_write_can_ask(
    stranger: Client, as_bob: Client, as_ada: Client, noir: Adapter
) -> None:
    place = "/api/models/ada/noir/auth-check/write"
    assert [client.get(place).status_code for client in (stranger, as_bob, as_ada)] == [
        401,
        403,
        200,
    ]


NONSENSE = [
    ("/api/models?limit=x", 400), ("/api/models?limit=0", 400), ("/api/models?cursor=%ff", 400),
    ("/api/models?cursor=WzEsMl0&sort=createdAt", 400), ("/api/models?search=%00", 400),
    ("/api/models/ada/noir/commits/main?cursor=-1", 400),
    ("/api/models/ada/noir/tree/main?limit=-5", 400), ("/ada/noir/resolve/main", 404),
    ("/ada/noir/resolve/main/", 404), ("/ada/noir/resolve//noir.safetensors", 404),
    ("/ada/noir/resolve/main/../../x", 400), ("/ada/noir/resolve/main/%00", 404),
]  # fmt: skip


def test_nonsense_is_refused_in_words(
    stranger: Client, noir: Adapter, subtests: pytest.Subtests
) -> None:
    for place, status in NONSENSE:
        with subtests.test(place=place, status=status):
            answer = stranger.get(place)
            assert answer.status_code == status
            if status == 400:
                assert answer.json()["error"] == answer.headers["X-Error-Message"]


def test_a_question_with_too_many_paths_is_refused(stranger: Client, noir: Adapter) -> None:
    place = "/api/models/ada/noir/paths-info/main"
    odd: list[Any] = [{"paths": ["x"] * 1001}, {"paths": 3}, [], "x"]
    for asked in odd:
        answer = stranger.post(place, asked, content_type="application/json")
        assert answer.status_code == 400, asked
    assert stranger.post(place, {"paths": ["x"] * 1001}).status_code == 400


def test_a_member_reads_what_is_private_to_an_organisation(
    as_bob: Client, bob: User, noir: Adapter, ada: User
) -> None:
    guild = Namespace.objects.create(name="guild", key="guild", kind="organisation")
    Adapter.objects.filter(pk=noir.pk).update(namespace=guild, visibility="private")
    noir.names.update(namespace=guild)
    guild.names.create(key="guild")
    assert as_bob.get("/api/models/guild/noir").status_code == 404
    guild.memberships.create(user=bob, role="read")
    assert as_bob.get("/api/models/guild/noir").status_code == 200

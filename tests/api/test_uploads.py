"""How uploads are limited and how they end, as programs are told."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from registry import sweep
from registry.adapters import services as adapters
from registry.models import Adapter, Membership, Namespace, Role, Upload, Version
from registry.publication import services as publication
from registry.uploads import services as uploads

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.models import User
    from tests.api.conftest import Caller

pytestmark = pytest.mark.django_db(transaction=True)


def begin(caller: Caller, size: int = 5000, path: str = "noir.safetensors") -> dict[str, object]:
    answer = caller.send("post", "uploads", {"path": path, "size": size})
    assert answer.status_code == 201
    document: dict[str, object] = answer.json()
    return document


@pytest.mark.parametrize("is_swept", [True, False])
def test_an_expired_upload_says_so_and_what_to_do(as_ada: Caller, is_swept: bool) -> None:
    upload = begin(as_ada)
    Upload.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    if is_swept:
        assert sweep.run().uploads_expired == 1
    place = f"uploads/{upload['id']}"
    assert as_ada.send("get", place).json()["state"] == "expired"
    late = [
        as_ada.put_bytes(f"{place}/parts/1", bytes(5000)),
        as_ada.put_bytes(f"{place}/content", bytes(5000)),
        as_ada.send("post", f"{place}/complete"),
    ]
    for answer in late:
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (409, "wrong_state")
        assert problem["state"] == "expired"
        assert "was not finished by" in problem["detail"]
        assert problem["detail"].endswith("Start a new one.")
    assert as_ada.send("delete", place).status_code == 204
    ended = "expired" if is_swept else "cancelled"
    assert as_ada.send("get", place).json()["state"] == ended


def test_a_part_is_taken_without_a_look_at_the_others(
    as_ada: Caller, own_settings: Callable[..., None]
) -> None:
    """Of an upload in thousands of parts, each would cost as many rows."""
    own_settings(part_bytes=1000)
    place = f"uploads/{begin(as_ada)['id']}"
    for number in (1, 2, 3):
        with CaptureQueriesContext(connection) as asked:
            assert as_ada.put_bytes(f"{place}/parts/{number}", bytes(1000)).status_code == 200
        about = [one["sql"] for one in asked if 'FROM "registry_uploadpart"' in one["sql"]]
        assert about
        assert all('"number" =' in sql for sql in about)


def test_nobody_has_more_open_uploads_than_the_limit(
    as_ada: Caller, as_bob: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "MAX_OPEN_UPLOADS", 2)
    first, _second = begin(as_ada), begin(as_ada)
    refused = as_ada.send("post", "uploads", {"path": "c.safetensors", "size": 1})
    assert (refused.status_code, refused.json()["code"]) == (400, "validation_failed")
    assert refused.json()["limit"] == 2
    assert "Finish or cancel some" in refused.json()["detail"]
    begin(as_bob)
    as_ada.send("delete", f"uploads/{first['id']}")
    begin(as_ada)


def test_what_is_open_counts_against_the_quota_until_it_is_cancelled(
    as_ada: Caller, ada: User
) -> None:
    ada.namespace.quota_bytes = 6000
    ada.namespace.save()
    upload = begin(as_ada, 5000)
    refused = as_ada.send("post", "uploads", {"path": "b.safetensors", "size": 2000})
    problem = refused.json()
    assert (refused.status_code, problem["code"]) == (413, "quota_exceeded")
    assert problem["quota_bytes"] == 6000
    as_ada.send("delete", f"uploads/{upload['id']}")
    begin(as_ada, 2000)


def test_an_accepted_upload_is_let_go_of_a_published_one_is_not(
    as_ada: Caller,
    ada: User,
    noir: Adapter,
    lora: bytes,
    accepted: Callable[..., Upload],
    released: Callable[..., Version],
) -> None:
    loose = accepted(ada, lora)
    assert as_ada.send("delete", f"uploads/{loose.public_id}").status_code == 204
    body = {"uploads": [str(loose.public_id)]}
    late = as_ada.send("post", "adapters/ada/noir/versions", body)
    assert (late.status_code, late.json()["code"]) == (422, "upload_refused")
    released(noir, lora)
    held = Upload.objects.filter(state="accepted").get()
    answer = as_ada.send("delete", f"uploads/{held.public_id}")
    assert (answer.status_code, answer.json()["state"]) == (409, "accepted")


def test_an_upload_says_which_version_it_went_into(
    as_ada: Caller, ada: User, noir: Adapter, lora: bytes, accepted: Callable[..., Upload]
) -> None:
    upload = accepted(ada, lora)
    place = f"uploads/{upload.public_id}"
    assert as_ada.send("get", place).json()["version"] is None
    version = publication.create_draft(actor=ada, adapter=noir, uploads=[upload])
    told = as_ada.send("get", place).json()["version"]
    assert told == {
        "adapter": "ada/noir", "version": "v1", "state": "draft",
        "url": "http://testserver/ada/noir?v=v1",
        "api_url": "http://testserver/api/v1/adapters/ada/noir/versions/v1",
    }  # fmt: skip
    publication.publish(actor=ada, version=version)
    assert as_ada.send("get", told["api_url"]).json()["state"] == "published"
    (listed,) = as_ada.send("get", "uploads").json()["results"]
    assert listed["version"] == {**told, "state": "published"}


def test_the_same_bytes_sent_again_say_the_version_since_or_else_the_first(
    as_ada: Caller, ada: User, noir: Adapter, lora: bytes, accepted: Callable[..., Upload]
) -> None:
    def held(upload: Upload) -> list[str]:
        version = as_ada.send("get", f"uploads/{upload.public_id}").json()["version"]
        return [version["adapter"], version["version"]]

    first = accepted(ada, lora)
    publication.release(actor=ada, adapter=noir, uploads=[first])
    again = accepted(ada, lora)
    assert held(again) == ["ada/noir", "v1"]
    publication.release(
        actor=ada, adapter=adapters.create(actor=ada, name="blanc"), uploads=[again]
    )
    assert (held(first), held(again)) == (["ada/noir", "v1"], ["ada/blanc", "v1"])


def test_an_upload_says_nothing_of_what_its_owner_may_not_see(
    as_ada: Caller, ada: User, noir: Adapter, lora: bytes, accepted: Callable[..., Upload]
) -> None:
    upload = accepted(ada, lora)
    draft = publication.create_draft(actor=ada, adapter=noir, uploads=[upload])
    studio = Namespace.objects.create(kind="organisation", name="studio", key="studio")
    member = Membership.objects.create(namespace=studio, user=ada, role=Role.WRITE)
    Adapter.objects.update(namespace=studio)
    place = f"uploads/{upload.public_id}"
    assert as_ada.send("get", place).json()["version"]["adapter"] == "studio/noir"
    member.delete()
    assert as_ada.send("get", place).json()["version"] is None  # a draft of others now
    Version.objects.filter(pk=draft.pk).update(state="published", published_at=timezone.now())
    assert as_ada.send("get", place).json()["version"]["state"] == "published"
    Adapter.objects.update(visibility="private")
    assert as_ada.send("get", place).json()["version"] is None


def test_a_list_takes_as_many_queries_for_many_as_for_one(
    as_ada: Caller, ada: User, noir: Adapter, lora: bytes, accepted: Callable[..., Upload]
) -> None:
    publication.release(actor=ada, adapter=noir, uploads=[accepted(ada, lora)])
    as_ada.send("get", "uploads")  # notes that the token is in use
    counts = []
    for _more in range(2):
        with CaptureQueriesContext(connection) as asked:
            as_ada.send("get", "uploads")
        counts.append(len(asked))
        for _each in range(3):
            accepted(ada, lora)
    assert counts[0] == counts[1]
    rows = as_ada.send("get", "uploads").json()["results"]
    assert [row["version"]["version"] for row in rows] == ["v1"] * 7
    assert {row["adapter"] for row in rows} == {"ada/noir"}


def test_a_list_counts_parts_and_only_an_upload_by_itself_tells_them(
    as_ada: Caller, own_settings: Callable[..., None]
) -> None:
    own_settings(part_bytes=2000)
    two, none = begin(as_ada), begin(as_ada)
    for number, size in ((1, 2000), (3, 1000)):
        answer = as_ada.put_bytes(f"uploads/{two['id']}/parts/{number}", bytes(size))
        assert answer.status_code == 200
    listed = {row["id"]: row for row in as_ada.send("get", "uploads").json()["results"]}
    for upload, numbers in ((two, [1, 3]), (none, [])):
        row, alone = listed[upload["id"]], as_ada.send("get", f"uploads/{upload['id']}").json()
        assert [part["number"] for part in alone["parts"]] == numbers
        assert (row.pop("part_count"), row.pop("parts_received")) == (3, len(numbers))
        assert row["received"] == alone["received"] == sum(part["size"] for part in alone["parts"])
        del alone["parts"]
        assert row == alone


def test_a_list_of_unfinished_uploads_leaves_out_the_others(as_ada: Caller) -> None:
    open_, ended = begin(as_ada, path="a.safetensors"), begin(as_ada, path="b.safetensors")
    as_ada.send("delete", f"uploads/{ended['id']}")
    listed = as_ada.send("get", "uploads?unfinished=true").json()["results"]
    assert [row["id"] for row in listed] == [open_["id"]]
    assert len(as_ada.send("get", "uploads").json()["results"]) == 2
    assert as_ada.send("get", "uploads?unfinished=perhaps").status_code == 400


def test_uploads_are_listed_page_by_page_and_only_ones_own(as_ada: Caller, as_bob: Caller) -> None:
    ids = [begin(as_ada, path=f"{number}.safetensors")["id"] for number in range(3)]
    begin(as_bob)
    first = as_ada.send("get", "uploads?limit=2").json()
    second = as_ada.send("get", first["next"]).json()
    listed = [row["id"] for page in (first, second) for row in page["results"]]
    assert listed == ids[::-1]
    assert second["next"] is None
    other = as_bob.send("get", f"uploads/{ids[0]}")
    assert (other.status_code, other.json()["code"]) == (404, "not_found")
    assert as_bob.send("delete", f"uploads/{ids[0]}").status_code == 404

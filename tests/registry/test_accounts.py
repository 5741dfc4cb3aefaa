"""Disabling, deleting and exporting accounts, and blocking adapters."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from unittest.mock import Mock

import pytest
from django.core.serializers.json import DjangoJSONEncoder
from django.test import Client

from previews.models import Recipe, Render, RenderState
from registry.accounts import deletion, disabling, export, quotas, transfer, users
from registry.adapters import selectors as adapter_selectors
from registry.adapters import services as adapters
from registry.comparisons import services as comparisons
from registry.errors import (
    Blocked,
    Gone,
    Invalid,
    Moved,
    NameTaken,
    NotFound,
    QuotaExceeded,
    StateConflict,
    StorageAway,
    Unauthenticated,
)
from registry.jobs import queue
from registry.models import (
    AccessToken,
    Adapter,
    Event,
    Job,
    JobState,
    Membership,
    Namespace,
    SearchDocument,
    UploadState,
    User,
    Version,
)
from registry.tokens import device_logins
from registry.tokens import services as tokens
from registry.uploads import services as uploads
from registry.versions import blocking, download_events, withdraw
from tests import catalogue, packs
from tests.builders.adapters import DENOISERS, kohya

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db


@pytest.fixture
def v1(noir: Adapter) -> Version:
    return catalogue.release(noir, kohya(DENOISERS["sd1", "diffusers"]))


@pytest.fixture
def operator(bob: User) -> User:
    users.set_staff(actor=None, user=bob, is_staff=True)
    bob.refresh_from_db()
    return bob


def test_a_disabled_account_is_refused_at_every_door_at_once(
    ada: User, operator: User, v1: Version, token_of: Callable[..., str]
) -> None:
    browser, secret = Client(), token_of(ada)
    browser.force_login(ada)
    program = Client(headers={"authorization": f"Bearer {secret}"})
    doors = [
        "/api/v1/me", "/api/whoami-v2", "/api/v1/uploads",
        f"/{v1.adapter.full_name}/resolve/v1/noir.safetensors",
        f"/api/download/models/{v1.pk}",
    ]  # fmt: skip
    lfs = "/ada/noir.git/info/lfs/objects/batch"
    assert browser.get("/settings/tokens").status_code == 200
    assert [program.get(door).status_code for door in doors[:3]] == [200, 200, 200]
    codes = device_logins.begin(client="lorary")
    device_logins.decide(actor=ada, user_code=codes.user, is_allowed=True)

    assert disabling.disable(actor=operator, user=ada, reason="Stolen password")

    assert browser.get("/settings/tokens").status_code == 302
    for door in doors:
        assert program.get(door).status_code == 401, door
    asked = {"operation": "upload", "objects": [{"oid": "0" * 64, "size": 1}]}
    assert program.post(lfs, asked, content_type="application/json").status_code == 401
    assert device_logins.redeem(device_code=codes.device)[0] == "invalid_grant"
    with pytest.raises(Unauthenticated):
        tokens.authenticate(secret=secret)
    told = Client().post("/signin", {"username": "ada", "password": catalogue.PASSWORD})
    assert told.status_code == 400
    assert "Stolen password" not in told.content.decode()
    page = Client().get("/ada/noir")
    assert page.status_code == 200
    assert "Stolen password" not in page.content.decode()
    event = Event.objects.get(verb="account_disabled")
    assert (event.actor, event.user, event.facts["reason"]) == (
        operator, ada, "Stolen password",
    )  # fmt: skip

    disabling.enable(actor=operator, user=ada)
    assert browser.get("/settings/tokens").status_code == 302  # the old session stays ended
    with pytest.raises(Unauthenticated):
        tokens.authenticate(secret=secret)
    assert Client().login(username="ada", password=catalogue.PASSWORD)


def test_uploads_and_jobs_of_a_disabled_account_stop(ada: User, v1: Version) -> None:
    upload = uploads.create(actor=ada, path="b.safetensors", size_bytes=1000)
    recipe = Recipe.objects.create(digest="0" * 64, document=packs.DOCUMENT)
    render = Render.objects.create(
        kind="preview", version=v1, recipe=recipe, state=RenderState.QUEUED
    )
    job = queue.enqueue(
        queue="render.sd1", task="render_version", args={"render_id": render.pk},
        key=f"render_version:{render.pk}", owner="ada",
    )  # fmt: skip
    Render.objects.filter(pk=render.pk).update(job=job)
    running = queue.enqueue(queue="checks", task="paint", args={}, key="k", owner="ada")
    Job.objects.filter(pk=running.pk).update(state=JobState.RUNNING)
    other = queue.enqueue(queue="checks", task="paint", args={}, key="o", owner="bob")
    disabling.disable(actor=None, user=ada, reason="Spam")
    for row in (upload, render, job, running, other):
        row.refresh_from_db()
    assert upload.state == UploadState.CANCELLED
    assert (render.state, job.state) == (RenderState.FAILED, JobState.CANCELLED)
    assert (running.state, running.is_cancel_asked) == (JobState.RUNNING, True)
    assert (other.state, other.is_cancel_asked) == (JobState.QUEUED, False)


def test_operators_change_others_only(operator: User, ada: User) -> None:
    with pytest.raises(Invalid, match="another administrator"):
        disabling.disable(actor=operator, user=operator, reason="x")
    for call in (
        lambda: disabling.disable(actor=ada, user=operator, reason="x"),
        lambda: deletion.delete(actor=ada, user=operator),
        lambda: export.export(actor=ada, user=operator),
        lambda: users.set_staff(actor=ada, user=ada, is_staff=True),
        lambda: tokens.revoke_all_of(actor=ada, user=operator),
        lambda: blocking.block(actor=ada, thing=adapters.create(actor=ada, name="x"), reason="x"),
    ):
        with pytest.raises(NotFound):
            call()


def test_a_deletion_loses_nothing_in_silence(ada: User, v1: Version) -> None:
    with pytest.raises(StateConflict, match="owns an adapter or a pack"):
        deletion.delete(actor=None, user=ada)
    ada.refresh_from_db()
    assert (ada.username, ada.is_active) == ("ada", True)
    deletion.delete(actor=None, user=ada, with_adapters=True)
    ada.refresh_from_db()
    name = f"deleted-{ada.pk}"
    assert (ada.username, ada.email, ada.namespace.name) == (name, "", name)
    assert not ada.has_usable_password()
    v1.refresh_from_db()
    assert (v1.state, v1.author) == ("withdrawn", ada)
    page = Client().get("/ada/noir", follow=True)
    assert page.status_code == 410
    assert page.redirect_chain == [(f"/{name}/noir", 301)]
    assert Event.objects.filter(actor=ada, verb="adapter_created").exists()
    assert Event.objects.get(verb="account_deleted").user == ada
    with pytest.raises(NameTaken):
        users.create_user(name="Ada")


def test_a_transfer_moves_files_names_counts_and_quotas(ada: User, bob: User, v1: Version) -> None:
    packs.published(ada, v1.adapter)
    used = Namespace.objects.get(user=ada).used_bytes
    assert used > 0
    deletion.delete(actor=None, user=ada, transfer_to=bob.namespace)
    assert Namespace.objects.get(user=bob).used_bytes == used
    assert Namespace.objects.get(user=ada).used_bytes == 0
    with pytest.raises(Moved) as moved:
        adapter_selectors.get(None, "ada", "noir")
    assert moved.value.facts["full_name"] == "bob/noir"
    found = adapter_selectors.search(None, adapter_selectors.Query(q="noir", owner="bob")).results
    assert [one.full_name for one in found] == ["bob/noir"]
    assert "bob" in SearchDocument.objects.get(adapter=v1.adapter).owner
    client = Client()
    assert client.get("/bob/noir").status_code == 200
    assert client.get("/packs/bob/dusk").status_code == 200
    assert client.get("/packs/ada/dusk")["Location"] == "/packs/bob/dusk"
    api = "/api/v1/adapters/bob/noir/versions/v1/files/noir.safetensors"
    assert client.get(api).status_code == 200


def test_earlier_names_follow_a_transfer_and_come_back(ada: User, bob: User, v1: Version) -> None:
    noir = v1.adapter
    adapters.rename(actor=ada, adapter=noir, name="dark")
    transfer.transfer_all(actor=ada, source=ada.namespace, target=bob.namespace)
    adapters.rename(actor=bob, adapter=Adapter.objects.get(pk=noir.pk), name="noir")
    client = Client()
    assert client.get("/bob/noir").status_code == 200
    for earlier in ("bob/dark", "ada/dark", "ada/noir"):
        assert client.get(f"/{earlier}")["Location"] == "/bob/noir", earlier
    transfer.transfer_all(actor=bob, source=bob.namespace, target=ada.namespace)
    assert client.get("/bob/noir")["Location"] == "/ada/noir"


def test_an_account_is_disabled_again_to_repeat_what_failed(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploads.create(actor=ada, path="a.safetensors", size_bytes=9)
    with monkeypatch.context() as patch:
        patch.setattr(uploads, "cancel", Mock(side_effect=StorageAway("away")))
        assert disabling.disable(actor=None, user=ada, reason="Stolen")
    assert ada.uploads.get().state == "receiving"
    assert not disabling.disable(actor=None, user=ada, reason="Stolen")
    assert ada.uploads.get().state == "cancelled"


def test_a_block_ends_after_a_withdrawal(ada: User, operator: User, v1: Version) -> None:
    blocking.block(actor=operator, thing=v1.adapter, reason="Copied")
    withdraw.withdraw_adapter(actor=ada, adapter=v1.adapter, reason="Gone")
    assert Client().get("/ada/noir").status_code == 451
    assert blocking.lift(actor=operator, thing=v1.adapter)
    assert Client().get("/ada/noir").status_code == 410


def test_a_transfer_that_does_not_fit_changes_nothing(ada: User, bob: User, v1: Version) -> None:
    adapters.create(actor=bob, name="noir")
    with pytest.raises(NameTaken, match="First rename the adapter"):
        deletion.delete(actor=None, user=ada, transfer_to=bob.namespace)
    carol = users.create_user(name="carol")
    quotas.set_limit(namespace=carol.namespace, quota_bytes=1)
    with pytest.raises(QuotaExceeded):
        deletion.delete(actor=None, user=ada, transfer_to=carol.namespace)
    disabling.disable(actor=None, user=carol, reason="x")
    with pytest.raises(Invalid, match="must not be disabled"):
        deletion.delete(actor=None, user=ada, transfer_to=carol.namespace)
    ada.refresh_from_db()
    v1.adapter.refresh_from_db()
    assert (ada.username, v1.adapter.namespace_id) == ("ada", ada.namespace.pk)


def test_an_organisation_keeps_somebody_who_manages_it(ada: User, bob: User) -> None:
    studio = Namespace.objects.create(name="studio", key="studio", kind="organisation")
    Membership.objects.create(namespace=studio, user=ada, role="admin")
    with pytest.raises(StateConflict, match="Only this account manages studio"):
        deletion.delete(actor=None, user=ada)
    Membership.objects.create(namespace=studio, user=bob, role="admin")
    deletion.delete(actor=None, user=ada)
    assert [row.user for row in studio.memberships.all()] == [bob]


def test_a_name_that_looks_deleted_is_not_taken_over(ada: User) -> None:
    users.create_user(name=f"deleted-{ada.pk}")
    deletion.delete(actor=None, user=ada)
    assert ada.username == f"deleted-{ada.pk}-{ada.pk}"


def test_an_export_has_every_row_and_no_secret(
    ada: User, bob: User, v1: Version, token_of: Callable[..., str]
) -> None:
    secret = token_of(ada)
    _token, others = tokens.issue(actor=bob, name="of bob", scopes=["read"])
    pack = packs.published(ada, v1.adapter)
    document = export.export(actor=None, user=ada)
    text = json.dumps(document, cls=DjangoJSONEncoder)
    rows = document["rows"]
    assert {
        "registry.accesstoken", "registry.adapter", "registry.alias", "registry.blob",
        "registry.event", "registry.file", "registry.namespace", "registry.namespacename",
        "registry.pack", "registry.packversion", "registry.revision", "registry.upload",
        "registry.user", "registry.version",
    } <= set(rows)  # fmt: skip
    assert [one["name"] for one in rows["registry.adapter"]] == ["noir"]
    assert [one["manifest_sha256"] for one in rows["registry.packversion"]] == [
        pack.manifest_sha256
    ]
    token = AccessToken.objects.get(name="test")
    for hidden in (secret, token.digest, ada.password, others, "of bob"):
        assert hidden not in text
    assert Event.objects.filter(verb="account_exported", user=ada).exists()


def test_an_export_names_nothing_that_is_private_to_others(
    ada: User, bob: User, v1: Version
) -> None:
    adapter = adapters.create(actor=bob, name="secret", visibility="private")
    secret = catalogue.release(adapter, kohya(DENOISERS["sd1", "diffusers"]))
    comparisons.request(actor=bob, first=v1, second=secret, address="192.0.2.1")
    event = Event.objects.get(verb="comparison_requested", adapter=v1.adapter)
    assert (event.subject, event.facts) == ("v1", {"other_version": secret.pk})
    download_events.record(
        actor=bob, adapter=v1.adapter, subject="bob/secret", path="a", sha256="a" * 64
    )
    rows = export.export(actor=None, user=ada)["rows"]
    assert "secret" not in json.dumps(rows, cls=DjangoJSONEncoder)
    assert "registry.versioncomparison" not in rows
    assert {ada.pk} == {one["actor"] or one["user"] for one in rows["registry.event"]}


@pytest.mark.parametrize("with_pack", [False, True])
def test_a_blocked_adapter_is_refused_with_its_reason(
    ada: User, operator: User, v1: Version, *, with_pack: bool
) -> None:
    if with_pack:
        packs.published(ada, v1.adapter)
    adapter = v1.adapter
    assert blocking.block(actor=operator, thing=adapter, reason=" Rights  holder ")
    with pytest.raises(Blocked) as refused:
        adapter_selectors.get(None, "ada", "noir")
    assert refused.value.facts == {"reason": "Rights holder", "adapter": "ada/noir"}
    stranger, owner = Client(), Client()
    owner.force_login(ada)
    file = "/api/v1/adapters/ada/noir/versions/v1/files/noir.safetensors"
    for door in ("/ada/noir", "/ada/noir?tab=files", file, "/api/v1/adapters/ada/noir"):
        assert stranger.get(door).status_code == 451, door
        assert owner.get(door).status_code == 200, door
    problem = stranger.get(file).json()
    assert (problem["code"], problem["reason"]) == ("blocked", "Rights holder")
    for door in ("/api/models/ada/noir", "/ada/noir/resolve/main/noir.safetensors"):
        answer = stranger.get(door)
        assert answer.status_code == 403  # as the Hugging Face Hub
        assert answer["X-Error-Message"] == "Access to this resource is disabled."
    for door in (f"/api/v1/models/{adapter.pk}", f"/api/download/models/{v1.pk}"):
        assert stranger.get(door).status_code == 404, door
    sha256 = v1.files[0].sha256
    for place in ("/browse?q=noir", "/api/v1/adapters?q=noir", "/sitemap.xml?adapters=0", "/ada"):
        assert "ada/noir" not in stranger.get(place).content.decode(), place
    found = stranger.post("/api/v1/hashes", {"hashes": [sha256]}, content_type="application/json")
    assert "ada/noir" not in found.content.decode()
    assert owner.get(file)["Cache-Control"] == "private, no-store"
    assert "Rights holder" in owner.get("/ada/noir").content.decode()
    assert "Rights holder" in stranger.get("/ada/noir").content.decode()
    if with_pack:
        assert stranger.get("/packs/ada/dusk").status_code == 200
        part = stranger.get("/api/v1/packs/ada/dusk/versions/v1").json()["variants"][0]["parts"][0]
        assert part["state"] == "private"
    assert blocking.lift(actor=operator, thing=adapter)
    assert stranger.get(file).status_code == 200
    assert Version.objects.get(pk=v1.pk).state == "published"


def test_a_withdrawn_adapter_is_not_blocked(ada: User, operator: User, v1: Version) -> None:
    withdraw.withdraw_adapter(actor=ada, adapter=v1.adapter, reason="Gone")
    with pytest.raises(Gone):
        blocking.block(actor=operator, thing=v1.adapter, reason="x")

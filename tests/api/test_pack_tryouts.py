"""Trying packs over the API: without an account, within a quota, and what nobody else sees."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import uuid
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from previews import withdrawals
from previews.models import Image, Render, RenderState, Tryout
from previews.pictures import thumbnails
from previews.tryouts import packs as pack_tryouts
from registry.adapters import services as adapters
from registry.jobs import queue
from registry.models import Blob, Job, JobState, PackVersion
from registry.packs import publish, services, states
from registry.versions import withdraw
from tests.api.conftest import Caller
from tests.builders.adapters import DENOISERS, kohya
from tests.e2e.trained import BASES as PICTURES
from tests.packs import manifest, part, variant

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_django import Settings

    from registry.models import Adapter, User, Version

    Own = Callable[..., None]

pytestmark = pytest.mark.django_db

TRY = "packs/ada/dusk/try"
ASKED = {"prompt": "a  red boat", "seed": 5}
PNG = b"a picture"


def mini(*parts: dict[str, Any], **more: Any) -> dict[str, Any]:
    return variant(*parts, **{"name": "mini", "family": "miniature", **more})


@pytest.fixture
def v1(noir: Adapter, released: Callable[..., Version], lora: bytes) -> Version:
    version = released(noir, lora)
    version.family = "miniature"
    version.save()
    return version


@pytest.fixture
def dusk(ada: User, v1: Version) -> PackVersion:
    pack = services.create(actor=ada, name="dusk", title="Dusk")
    return publish.publish(actor=ada, pack=pack, manifest=manifest(mini(part("ada/noir"))))


def ask(caller: Caller, body: dict[str, Any] | None = None, **more: Any) -> Any:
    return caller.send("post", TRY, ASKED if body is None else body, **more)


def finish(key: str) -> list[Image]:
    """Give a try-out its two pictures, as a worker would."""
    render = Render.objects.get(tryout__key=key)
    digest = hashlib.sha256(PNG).hexdigest()
    blob, _made = Blob.objects.get_or_create(sha256=digest, defaults={"size_bytes": len(PNG)})
    Job.objects.filter(renders=render).update(state=JobState.DONE)
    Render.objects.filter(pk=render.pk).update(state=RenderState.READY)
    return [
        Image.objects.create(
            render=render, blob=blob, position=place, prompt_index=0, prompt="a red boat",
            seed=5, strength=strength, width=128, height=128,
        )
        for place, strength in enumerate((0.0, 1.0))
    ]  # fmt: skip


# --- The contract -------------------------------------------------------------------------------


def test_a_stranger_tries_a_pack_and_reads_the_result(stranger: Caller, dusk: PackVersion) -> None:
    answer = ask(stranger)
    told = answer.json()
    assert (answer.status_code, answer["Retry-After"]) == (202, "2")
    assert answer["Location"] == told["url"]
    assert told["page_url"].endswith(f"/packs/try/{told['id']}")
    assert (told["state"], told["position"], told["images"]) == ("queued", 0, [])
    assert "reason" not in told
    assert (told["pack"], told["version"], told["variant"]) == ("ada/dusk", "v1", "mini")
    assert (told["prompt"], told["seed"]) == ("a red boat", 5)
    recipe = Render.objects.get(tryout__key=told["id"]).recipe
    assert recipe is not None
    assert recipe.document["prompts"] == ["noir style, a red boat, film grain"]
    assert recipe.document["plain"] == ["a red boat"]
    finish(told["id"])
    answer = stranger.send("get", told["url"])
    ready = answer.json()
    assert "Retry-After" not in answer
    assert "position" not in ready
    assert ready["state"] == "ready"
    assert [one["with_pack"] for one in ready["images"]] == [False, True]
    assert {one["media_type"] for one in ready["images"]} == {"image/png"}
    assert {one["seed"] for one in ready["images"]} == {5}


def test_users_come_before_visitors_and_visitors_before_previews(
    stranger: Caller, as_bob: Caller, dusk: PackVersion
) -> None:
    asked = [ask(stranger), ask(stranger, REMOTE_ADDR="192.0.2.7"), ask(as_bob)]
    assert [one.status_code for one in asked] == [202] * 3
    jobs = [Render.objects.get(tryout__key=one.json()["id"]).job for one in asked]
    first, other, mine = (job for job in jobs if job is not None)
    assert (mine.priority, mine.owner) == (queue.INTERACTIVE, "bob")
    assert queue.INTERACTIVE > first.priority == other.priority == queue.VISITOR > queue.ASKED
    assert first.owner != other.owner
    assert "127.0.0.1" not in first.owner
    order = [queue.claim("render.miniature") for _ in range(3)]
    assert [job.pk for job in order if job] == [mine.pk, first.pk, other.pk]


def test_variant_version_and_seed_are_chosen(
    ada: User, stranger: Caller, dusk: PackVersion, settings: Settings
) -> None:
    settings.LORARY = dataclasses.replace(settings.LORARY, bases=PICTURES)
    video = mini(part("ada/noir"), name="moving", output="video")
    two = manifest(video, mini(part("ada/noir", strength=0.5)))
    publish.publish(actor=ada, pack=dusk.pack, manifest=two)
    told = ask(stranger, {"prompt": "a boat"}).json()
    assert (told["version"], told["variant"]) == ("v2", "mini")  # the served one
    told = ask(stranger, {"prompt": "a boat", "version": "v1", "variant": "mini"}).json()
    assert told["version"] == "v1"
    for body, status, field in (
        ({"prompt": "a boat", "variant": "xl"}, 400, "variant"),
        ({"prompt": "a boat", "variant": "moving"}, 409, ""),  # no base makes videos
        ({"prompt": "a boat", "version": "v9"}, 404, ""),
        ({"prompt": "a boat", "seed": -1}, 400, "seed"),
        ({"prompt": " "}, 400, "prompt"),
        ({"prompt": "a\x01b"}, 400, "prompt"),
        ({"prompt": "x" * 2001}, 400, "prompt"),
        ({"prompt": "x" * 1999}, 400, "prompt"),  # too long with the template
        ({"subject": "a boat"}, 400, "subject"),
    ):
        answer = ask(stranger, body)
        assert answer.status_code == status, body
        assert field in answer.json().get("fields", {"": []}), (body, answer.json())
    assert Tryout.objects.count() == 2


# --- What nobody else sees ----------------------------------------------------------------------


def test_only_whoever_has_the_key_sees_a_visitors_try_out(
    stranger: Caller, as_ada: Caller, dusk: PackVersion
) -> None:
    told = ask(stranger).json()
    image = finish(told["id"])[1]
    for caller in (stranger, as_ada):
        assert caller.send("get", told["url"]).status_code == 200
        [_without, seen] = caller.send("get", told["url"]).json()["images"]
        assert seen["url"].endswith(f"/media/images/{image.pk}.png?key={told['id']}")
        for key in ("", f"?key={uuid.uuid4()}", "?key=x"):
            assert caller.get(f"/media/images/{image.pk}.png{key}").status_code == 404
        assert caller.get(seen["url"]).status_code != 404
    assert as_ada.send("get", "tryouts").json()["results"] == []
    assert stranger.send("get", f"packs/try/{uuid.uuid4()}").status_code == 404


def test_the_redirect_to_a_visitors_picture_keeps_the_key(
    stranger: Caller, dusk: PackVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: Any, **__: Any) -> None:
        raise thumbnails.Busy

    key = ask(stranger).json()["id"]
    image = finish(key)[1]
    Blob.objects.filter(pk=image.blob_id).update(is_stored=True)
    monkeypatch.setattr(thumbnails, "open_thumbnail", busy)
    place = f"/media/images/{image.pk}"
    answer = stranger.get(f"{place}/{image.blob.sha256[:12]}-128.webp?key={key}")
    assert (answer.status_code, answer["Location"]) == (302, f"{place}.png?key={key}")


def test_a_users_own_try_out_of_a_pack_is_private(
    stranger: Caller, as_bob: Caller, dusk: PackVersion
) -> None:
    told = ask(as_bob).json()
    assert as_bob.send("get", told["url"]).status_code == 200
    for method in ("get", "delete"):
        assert stranger.send(method, told["url"]).status_code in {401, 404}
    assert as_bob.send("delete", told["url"]).status_code == 204
    assert as_bob.send("get", told["url"]).status_code == 404


def test_cancelling_needs_the_key_and_ends_with_the_picture(
    stranger: Caller, dusk: PackVersion
) -> None:
    open_, done = ask(stranger).json(), ask(stranger).json()
    assert stranger.send("delete", open_["url"]).status_code == 204
    assert stranger.send("get", open_["url"]).status_code == 404
    assert Job.objects.get(renders__tryout__key=open_["id"]).state == JobState.CANCELLED
    finish(done["id"])
    assert stranger.send("delete", done["url"]).status_code == 409
    assert stranger.send("get", done["url"]).status_code == 200
    assert stranger.send("delete", f"packs/try/{uuid.uuid4()}").status_code == 404


def test_a_private_pack_is_tried_by_its_owner_alone(
    ada: User, stranger: Caller, as_ada: Caller, as_bob: Caller, dusk: PackVersion
) -> None:
    told = ask(stranger).json()
    services.describe(actor=ada, pack=dusk.pack, visibility="private")
    assert [ask(one).status_code for one in (stranger, as_bob, as_ada)] == [404, 404, 202]
    assert stranger.send("get", told["url"]).status_code == 404
    states.withdraw_pack(actor=ada, pack=dusk.pack, reason="Rights")
    assert ask(as_ada).status_code == 410


def test_what_remains_of_a_pack_is_tried(
    ada: User, stranger: Caller, released: Callable[..., Version], dusk: PackVersion
) -> None:
    data = kohya(DENOISERS["sd1", "diffusers"], rank=8)
    ink = released(adapters.create(actor=ada, name="ink"), data)
    ink.family = "miniature"
    ink.save()
    two = manifest(mini(part("ada/noir"), part("ada/ink", strength=0.5)))
    publish.publish(actor=ada, pack=dusk.pack, manifest=two)
    adapters.describe(actor=ada, adapter=ink.adapter, visibility="private")
    (layer,) = Tryout.objects.get(key=ask(stranger).json()["id"]).render.layers.all()
    assert (layer.version.adapter.name, layer.strength) == ("noir", 0.8)
    states.yank(actor=ada, version=dusk, reason="Old")
    assert ask(stranger, {**ASKED, "version": "v1"}).status_code == 202
    noir = dusk.variants.get().parts.get().adapter_version
    told = ask(stranger, {**ASKED, "version": "v1"}).json()
    states.withdraw(actor=ada, version=dusk, reason="Copied")
    assert ask(stranger, {**ASKED, "version": "v1"}).status_code == 410
    assert stranger.send("get", told["url"]).status_code == 404
    adapters.describe(actor=ada, adapter=noir.adapter, visibility="private")
    answer = ask(stranger)
    assert answer.status_code == 409
    assert "All parts" in answer.json()["detail"]
    adapters.describe(actor=ada, adapter=noir.adapter, visibility="public")
    told = ask(stranger).json()
    withdraw.withdraw(actor=ada, version=noir, reason="Copied")
    assert stranger.send("get", told["url"]).status_code == 404
    assert ask(stranger).status_code == 409


def test_a_variant_whose_parts_are_gone_is_not_the_default(
    ada: User, stranger: Caller, released: Callable[..., Version], dusk: PackVersion
) -> None:
    data = kohya(DENOISERS["sd1", "diffusers"], rank=8)
    ink = released(adapters.create(actor=ada, name="ink"), data)
    ink.family = "miniature"
    ink.save()
    two = manifest(mini(part("ada/ink"), name="first"), mini(part("ada/noir"), name="second"))
    publish.publish(actor=ada, pack=dusk.pack, manifest=two)
    assert ask(stranger).json()["variant"] == "first"
    adapters.describe(actor=ada, adapter=ink.adapter, visibility="private")
    assert ask(stranger).json()["variant"] == "second"
    assert ask(stranger, {**ASKED, "variant": "first"}).status_code == 409


def test_try_outs_go_with_a_withdrawn_version(
    ada: User, stranger: Caller, dusk: PackVersion, django_capture_on_commit_callbacks: Any
) -> None:
    done, open_ = ask(stranger).json(), ask(stranger).json()
    finish(done["id"])
    with django_capture_on_commit_callbacks(execute=True):
        states.withdraw(actor=ada, version=dusk, reason="Rights")
    assert not Image.objects.exists()
    assert Job.objects.get(renders__tryout__key=open_["id"]).state == JobState.CANCELLED
    finish(done["id"])  # a worker kept a picture at that very moment
    assert [withdrawals.delete_missed() for _ in range(2)] == [1, 0]
    assert not Image.objects.exists()


# --- Quotas -------------------------------------------------------------------------------------


@pytest.mark.long
def test_the_quota_of_an_address_holds_under_500_requests(
    stranger: Caller, as_bob: Caller, dusk: PackVersion, own_settings: Own
) -> None:
    answers = [ask(stranger) for _ in range(500)]
    assert Counter(one.status_code for one in answers) == {202: 20, 429: 480}
    refused = answers[-1]
    wait_s = int(refused["Retry-After"])
    assert 1800 < wait_s <= 3600
    told = refused.json()
    assert (told["code"], told["limit"]) == ("rate_limited", 20)
    assert told["detail"] == (
        "Without an account you can try 20 looks in an hour; sign in to try more. Try again in "
        f"{math.ceil(wait_s / 60)} minutes."
    )
    assert Tryout.objects.count() == 20
    assert ask(stranger, REMOTE_ADDR="192.0.2.7").status_code == 202
    assert ask(as_bob).status_code == 202
    own_settings(trust_proxy=True)
    assert ask(stranger, headers={"X-Forwarded-For": "127.0.0.1, 192.0.2.8"}).status_code == 202
    assert ask(stranger, headers={"X-Forwarded-For": "192.0.2.9, 127.0.0.1"}).status_code == 429


def test_a_network_of_ipv6_is_one_address(
    stranger: Caller, dusk: PackVersion, own_settings: Own
) -> None:
    own_settings(try_strangers=2)
    found = [ask(stranger, REMOTE_ADDR=f"2a00:1450:4001:80b::{n}").status_code for n in range(1, 4)]
    assert found == [202, 202, 429]
    assert ask(stranger, REMOTE_ADDR="2a00:1450:4001:80c::1").status_code == 202


def test_refused_subjects_do_not_count(
    stranger: Caller, dusk: PackVersion, own_settings: Own
) -> None:
    own_settings(try_strangers=1)
    assert [ask(stranger, {"prompt": ""}).status_code for _ in range(3)] == [400] * 3
    assert [ask(stranger).status_code for _ in range(2)] == [202, 429]


def test_visitors_can_be_turned_away(
    stranger: Caller, as_bob: Caller, dusk: PackVersion, own_settings: Own
) -> None:
    own_settings(try_strangers=0)
    answer = ask(stranger)
    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")
    assert ask(as_bob).status_code == 202


def test_visitors_of_all_addresses_do_not_fill_the_queue(
    stranger: Caller, as_bob: Caller, dusk: PackVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack_tryouts, "MAX_VISITORS_OPEN", 2)
    found = [ask(stranger, REMOTE_ADDR=f"192.0.2.{n}") for n in range(3)]
    assert [one.status_code for one in found] == [202, 202, 429]
    assert found[-1]["Retry-After"] == "30"
    assert ask(as_bob).status_code == 202


def test_users_keep_their_own_limits(as_bob: Caller, dusk: PackVersion, own_settings: Own) -> None:
    own_settings(tryouts_open=2, try_strangers=1)
    found = [ask(as_bob) for _ in range(3)]
    assert [one.status_code for one in found] == [202, 202, 429]
    assert found[-1].json()["limit"] == 2


def test_tokens_need_the_scope_and_sessions_the_csrf_token(
    bob: User, token_of: Callable[..., str], dusk: PackVersion
) -> None:
    assert ask(Caller(token_of(bob, "read"))).status_code == 403
    session = Caller()
    session.force_login(bob)
    assert (ask(session).status_code, ask(session).json()["code"]) == (403, "csrf_failed")

"""Who may send bytes by Xet, where to, and for how long."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

import pytest
from django.core import signing

from hub.protocols.huggingface.xet import endpoints
from registry.adapters import services as adapters
from registry.models import AccessToken
from registry.tokens import services as tokens
from tests.builders.xet import xorb
from tests.protocols.xet_senders import WRITE_TOKEN, Sender, content, sender_of, waiting

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from registry.models import Adapter, User

pytestmark = pytest.mark.django_db


@pytest.fixture
def adapter(ada: User) -> Adapter:
    return adapters.create(actor=ada, name="noir", title="Noir", kind="style")


@pytest.fixture
def sender(adapter: Adapter, as_ada: Client) -> Sender:
    return sender_of(as_ada)


def test_a_token_comes_as_json_and_in_headers(adapter: Adapter, as_ada: Client) -> None:
    answer = as_ada.get(WRITE_TOKEN)
    said = answer.json()
    assert set(said) == {"casUrl", "exp", "accessToken"}
    assert said["casUrl"].startswith("http://testserver/xet/")
    assert 3500 < said["exp"] - time.time() <= 3600
    assert answer.headers["X-Xet-Cas-Url"] == said["casUrl"]
    assert answer.headers["X-Xet-Access-Token"] == said["accessToken"]
    assert answer.headers["X-Xet-Token-Expiration"] == str(said["exp"])
    assert answer.headers["Cache-Control"] == "no-store"


def test_every_token_comes_with_an_address_of_its_own(adapter: Adapter, as_ada: Client) -> None:
    places = {as_ada.get(f"/api/models/ada/noir/xet-write-token/{ref}").json()["casUrl"]
              for ref in ("main", "main", "feat/rain")}  # fmt: skip
    assert len(places) == 3


def test_only_who_may_write_gets_a_token(
    adapter: Adapter,
    ada: User,
    as_bob: Client,
    stranger: Client,
    token_of: Callable[..., str],
    caller: Callable[[str], Client],
) -> None:
    assert as_bob.get(WRITE_TOKEN).status_code == 403
    assert stranger.get(WRITE_TOKEN).status_code == 401
    assert caller(token_of(ada, "read")).get(WRITE_TOKEN).status_code == 403
    answer = as_bob.get("/api/models/ada/absent/xet-write-token/main")
    assert (answer.status_code, answer.headers["X-Error-Code"]) == (404, "RepoNotFound")


def test_a_proposal_is_refused_before_its_bytes_travel(adapter: Adapter, as_bob: Client) -> None:
    answer = as_bob.get(f"{WRITE_TOKEN}?create_pr=1")
    assert answer.status_code == 403
    assert "pull requests" in answer.json()["error"]


@pytest.mark.parametrize("path", ["/v1/shards", f"/v1/xorbs/default/{'ab' * 32}"])
def test_without_the_token_of_the_address_nothing_is_taken(
    sender: Sender, token_of: Callable[..., str], ada: User, path: str
) -> None:
    foreign = signing.dumps([ada.pk, 1, 0], salt="another")
    for secret in ("", "nonsense", token_of(ada), foreign, sender.secret[:-1]):
        answer = dataclasses.replace(sender, secret=secret).post(path, xorb(b"noir"))
        assert answer.status_code == 401, secret
    answer = sender.post(path, xorb(b"noir"), Authorization=f"Basic {sender.secret}")
    assert answer.status_code == 401
    assert not waiting()


def test_a_token_ends_after_its_hour(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "LASTS_S", -1)
    assert sender.post("/v1/shards", b"1").status_code == 401


def test_a_token_ends_with_the_access_token_that_asked_for_it(sender: Sender, ada: User) -> None:
    tokens.revoke(actor=ada, token_id=AccessToken.objects.get().pk)
    assert sender.post("/v1/shards", b"1").status_code == 401


def test_a_token_ends_with_the_account(sender: Sender, ada: User) -> None:
    ada.is_active = False
    ada.save()
    assert sender.post("/v1/shards", b"1").status_code == 401


def test_a_token_ends_with_the_adapter(sender: Sender, adapter: Adapter) -> None:
    adapter.withdrawn_reason = "Taken down."
    adapter.save()
    assert sender.post("/v1/shards", b"1").status_code == 410


def test_a_new_token_goes_on_at_the_same_address(sender: Sender, as_ada: Client) -> None:
    body = sender.shard(content(1))
    renewed = dataclasses.replace(sender, secret=sender_of(as_ada).secret)
    assert renewed.post("/v1/shards", body).status_code == 200


def test_what_others_sent_is_not_there_for_me(sender: Sender, bob: User, as_bob: Client) -> None:
    adapters.create(actor=bob, name="own", title="Own", kind="style")
    body = sender.shard(content(1))
    his = sender_of(as_bob, "/api/models/bob/own/xet-write-token/main")
    answer = dataclasses.replace(his, place=sender.place).post("/v1/shards", body)
    assert answer.status_code == 400
    assert "Upload the file again" in answer.json()["error"]
    assert sender.post("/v1/shards", body).status_code == 200

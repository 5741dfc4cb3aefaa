"""The operator's pages of accounts and of what is blocked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from django.test import Client

from registry.accounts import quotas
from registry.models import Adapter, Event, Namespace, User
from registry.tokens import services as tokens
from tests import packs

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db


def act(client: Client, user: User, action: str, **data: str) -> str:
    """Do something to an account, and return the text of the page that follows."""
    path = f"/operator/accounts/{user.pk}/{action}"
    answer = client.post(path, data, follow=True)
    user.refresh_from_db()
    return str(answer.content.decode())


def test_accounts_are_found_by_name_address_and_state(
    as_operator: Client, ada: User, bob: User
) -> None:
    listed = as_operator.get("/operator/accounts").content.decode()
    assert all(f">{name}<" in listed for name in ("ada", "bob", "rosa"))
    for query, names in (
        ("q=ada%40example", ["ada"]), ("state=staff", ["rosa"]), ("state=disabled", []),
        ("state=nonsense&q=o", ["ada", "bob", "rosa"]), ("after=ada", ["bob", "rosa"]),
    ):  # fmt: skip
        answer = as_operator.get(f"/operator/accounts?{query}")
        assert [one.username for one in answer.context["accounts"]] == names, query


def test_lists_are_read_page_by_page(as_operator: Client) -> None:
    User.objects.bulk_create(User(username=f"u{number:03}") for number in range(60))
    first = as_operator.get("/operator/accounts?q=u")
    assert len(first.context["accounts"]) == 50
    assert first.context["following"] == "u049"
    second = as_operator.get("/operator/accounts?q=u&after=u049")
    assert [one.username for one in second.context["accounts"]][-1] == "u059"
    assert 'rel="next"' not in second.content.decode()


def test_an_account_is_disabled_and_enabled(
    as_operator: Client, ada: User, token_of: Callable[..., str]
) -> None:
    token_of(ada)
    assert "This field is required" in act(as_operator, ada, "disable", reason=" ")
    assert ada.is_active
    page = act(as_operator, ada, "disable", reason="Stolen password")
    assert "signed out everywhere" in page
    assert "Stolen password" in page
    assert (ada.is_active, ada.disabled_reason) == (False, "Stolen password")
    assert not ada.access_tokens.filter(revoked_at=None).exists()
    assert "can sign in again" in act(as_operator, ada, "enable")
    assert ada.is_active
    verbs = list(Event.objects.filter(user=ada).values_list("verb", flat=True)[:3])
    assert verbs == ["account_enabled", "tokens_revoked", "account_disabled"]


def test_rights_quota_and_tokens_change(as_operator: Client, ada: User) -> None:
    staff = User.objects.filter(pk=ada.pk, is_staff=True)
    act(as_operator, ada, "staff")
    assert staff.exists()
    act(as_operator, ada, "staff", remove="1")
    assert not staff.exists()
    act(as_operator, ada, "quota", size="2GB")
    assert quotas.limit_of(Namespace.objects.get(user=ada)) == 2_000_000_000
    assert "Enter a size" in act(as_operator, ada, "quota", size="much")
    tokens.issue(actor=ada, name="t", scopes=["read"])
    assert "1 token is revoked." in act(as_operator, ada, "revoke-tokens")


def test_a_deletion_says_what_becomes_of_the_adapters(
    as_operator: Client, ada: User, bob: User, noir: Adapter
) -> None:
    assert "Type “ada” exactly." in act(as_operator, ada, "delete", name="bob")
    assert "owns an adapter or a pack" in act(as_operator, ada, "delete", name="ada")
    assert "Either transfer or withdraw" in act(
        as_operator, ada, "delete", name="ada", transfer_to="bob", with_adapters="on"
    )
    assert "no user or organisation" in act(
        as_operator, ada, "delete", name="ada", transfer_to="nobody"
    )
    page = act(as_operator, ada, "delete", name="ada", transfer_to="bob")
    assert f"ada was deleted; the account is “deleted-{ada.pk}” now." in page
    assert "Delete the account" not in page
    noir.refresh_from_db()
    assert noir.namespace == bob.namespace
    assert as_operator.post(f"/operator/accounts/{ada.pk}/enable").status_code == 409


def test_an_export_is_downloaded_and_recorded(as_operator: Client, ada: User) -> None:
    answer = as_operator.post(f"/operator/accounts/{ada.pk}/export")
    assert answer["Content-Disposition"] == 'attachment; filename="ada.json"'
    assert json.loads(answer.content)["user"] == "ada"
    assert Event.objects.get(verb="account_exported").actor is not None


def test_only_operators_and_only_known_actions(as_operator: Client, ada: User, bob: User) -> None:
    root = User.objects.get(username="rosa")
    assert (
        "Another administrator" in as_operator.get(f"/operator/accounts/{root.pk}").content.decode()
    )
    assert as_operator.post(f"/operator/accounts/{root.pk}/staff").status_code == 400
    assert as_operator.post(f"/operator/accounts/{ada.pk}/bury").status_code == 404
    assert as_operator.get("/operator/accounts/999999").status_code == 404
    assert as_operator.get(f"/operator/accounts/{ada.pk}/enable").status_code == 405
    other = Client()
    other.force_login(bob)
    for path in ("", f"/{ada.pk}"):
        assert other.get(f"/operator/accounts{path}").status_code == 404
    assert other.post(f"/operator/accounts/{ada.pk}/export").status_code == 404
    assert other.get("/operator/blocked").status_code == 404
    assert other.get("/ada/noir/block").status_code == 404


def test_an_adapter_and_a_pack_are_blocked_and_shown_again(
    as_operator: Client, ada: User, noir: Adapter
) -> None:
    packs.published(ada, noir)
    assert "Block the adapter" in as_operator.get("/ada/noir?tab=versions").content.decode()
    for place, name in (("/ada/noir", "ada/noir"), ("/packs/ada/dusk", "Pack ada/dusk")):
        assert as_operator.post(f"{place}/block", {"reason": ""}).status_code == 400
        listed = as_operator.post(f"{place}/block", {"reason": "Rights"}, follow=True)
        assert f">{name}<" in listed.content.decode()
        refused = as_operator.get(place)
        assert refused.status_code == 451
        assert "Rights" in refused.content.decode()
        assert "Lift the block" in as_operator.get(f"{place}/block").content.decode()
        owner = Client()
        owner.force_login(ada)
        assert "write to the administrators" in owner.get(place).content.decode()
        as_operator.post(f"{place}/block", {"lift": "1"})
        assert as_operator.get(place).status_code == 200
    assert as_operator.get("/ada/none/block").status_code == 404
    assert "Nothing is blocked." in as_operator.get("/operator/blocked").content.decode()

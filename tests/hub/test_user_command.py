"""``manage.py user`` and ``manage.py block``."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from io import StringIO
from typing import TYPE_CHECKING

import pytest
from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import override_settings
from django.utils import timezone

from registry.accounts import quotas
from registry.adapters import services as adapters
from registry.errors import QuotaExceeded
from registry.models import AccessToken, Event, Namespace, User
from registry.packs import services as packs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from django.test import Client

pytestmark = pytest.mark.django_db


def run(*words: str) -> str:
    out = StringIO()
    call_command("user", *words, stdout=out)
    return out.getvalue()


def events(verb: str) -> list[tuple[str, str, User | None]]:
    found = Event.objects.filter(verb__startswith=verb).order_by("id")
    return [(event.verb, str(event.user), event.actor) for event in found]


def test_staff_open_the_operators_page(client: Client, ada: User) -> None:
    client.force_login(ada)
    assert client.get("/operator").status_code == 404
    assert run("staff", "ADA") == "ada is an administrator now.\n"
    assert run("staff", "ada") == "ada is an administrator already.\n"
    assert client.get("/operator").status_code == 200
    assert run("staff", "ada", "--remove") == "ada is not an administrator any more.\n"
    assert run("staff", "ada", "--remove") == "ada is not an administrator.\n"
    assert client.get("/operator").status_code == 404
    assert events("staff_") == [("staff_added", "ada", None), ("staff_removed", "ada", None)]


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True

    def getpass(self, _prompt: str) -> str:
        return self.readline().rstrip("\n")


@override_settings(LORARY=replace(settings.LORARY, signup=False))
def test_an_account_is_created_with_a_password(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", StringIO("correct horse battery\nnot read\n"))
    made = run("create", "Mira", "--staff", "--email", "mira@example.org", "--password-stdin")
    assert made == "Mira was created, an administrator.\n"
    assert client.login(username="Mira", password="correct horse battery")
    assert client.get("/operator").status_code == 200
    user = User.objects.get(username="Mira")
    assert (user.email, user.namespace.key) == ("mira@example.org", "mira")
    assert events("user_created") == [("user_created", "Mira", None)]
    assert events("staff_added") == [("staff_added", "Mira", None)]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["create", "ADA"], "“ADA” is taken"),
        (["create", "a b"], "name"),
        (["create", "mira", "--email", "mira@"], "email"),
    ],
)
def test_accounts_with_wrong_details_are_not_created(
    ada: User, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.setattr("sys.stdin", StringIO("correct horse battery\n"))
    with pytest.raises(CommandError, match=message):
        run(*words, "--password-stdin")
    assert list(User.objects.all()) == [ada]


@pytest.mark.parametrize("password", ["", "123", "password"])
def test_accounts_with_weak_passwords_are_not_created(
    monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    monkeypatch.setattr("sys.stdin", StringIO(f"{password}\n"))
    with pytest.raises(CommandError, match="password"):
        run("create", "mira", "--staff", "--password-stdin")
    assert not User.objects.exists()


@pytest.mark.parametrize(
    ("again", "made"), [("another horse", False), ("correct horse battery", True)]
)
def test_a_password_is_asked_for_twice(
    client: Client, monkeypatch: pytest.MonkeyPatch, again: str, made: bool
) -> None:
    terminal = Terminal(f"correct horse battery\n{again}\n")
    monkeypatch.setattr("sys.stdin", terminal)
    monkeypatch.setattr("hub.management.commands.user.getpass", terminal.getpass)
    with nullcontext() if made else pytest.raises(CommandError, match="The passwords differ"):
        run("create", "mira")
    assert client.login(username="mira", password="correct horse battery") is made


def test_without_a_terminal_a_password_must_be_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", StringIO("correct horse battery\n"))
    with pytest.raises(CommandError, match="--password-stdin"):
        run("create", "mira")


def test_accounts_are_listed_by_name_and_state(ada: User, bob: User) -> None:
    User.objects.filter(pk=bob.pk).update(last_login=datetime(2026, 5, 4, tzinfo=UTC))
    run("disable", "bob", "--reason", "Spam")
    run("staff", "ada")
    assert run("list") == (
        "ada  never signed in, administrator\nbob  signed in 2026-05-04, disabled: Spam\n"
    )
    assert run("list", "--staff") == "ada  never signed in, administrator\n"
    assert run("list", "--search", "bob@").startswith("bob  ")
    assert run("list", "--deleted") == "There are no users.\n"
    User.objects.create(username="root")  # as Django's createsuperuser does, without a namespace
    assert "root  never signed in\n" in run("list")
    [row] = json.loads(run("list", "--disabled", "--json"))["users"]
    assert (row["name"], row["is_active"], row["disabled_reason"]) == ("bob", False, "Spam")


def test_the_only_administrator_is_disabled_only_after_a_warning(
    ada: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def disable(*words: str) -> str:
        err = StringIO()
        call_command("user", "disable", *words, "--reason", "x", stdout=StringIO(), stderr=err)
        return err.getvalue()

    def is_active(user: User) -> bool:
        return User.objects.get(pk=user.pk).is_active

    run("staff", "ada")
    run("staff", "bob")
    assert disable("bob") == ""
    monkeypatch.setattr("builtins.input", lambda: "")
    with pytest.raises(CommandError, match="Nothing was changed"):
        disable("ada")
    assert is_active(ada)
    monkeypatch.setattr("builtins.input", lambda: "ada")
    assert "the only active administrator" in disable("ada")
    assert not is_active(ada)
    run("enable", "ada")
    assert disable("ada", "--yes") == ""
    assert not is_active(ada)


def test_programs_hear_what_changed(ada: User, token_of: Callable[..., str]) -> None:
    token_of(ada)
    done = json.loads(run("revoke-tokens", "ada", "--json"))
    assert (done["changed"], done["user"]["name"]) == (True, "ada")
    assert run("revoke-tokens", "ada") == "0 tokens of ada revoked.\n"
    assert not AccessToken.objects.filter(revoked_at=None).exists()
    assert json.loads(run("enable", "ada", "--json"))["changed"] is False
    token_of(ada)
    assert run("disable", "ada", "--reason", "x") == "ada is disabled; 1 access token revoked.\n"
    assert run("disable", "ada", "--reason", "x") == "ada is disabled already.\n"
    assert run("enable", "ada") == "ada is enabled.\n"
    assert run("reset-totp", "ada") == "The second factor of ada was not set up.\n"


def test_a_namespace_has_the_quota_of_the_hub_until_it_gets_its_own(ada: User) -> None:
    default = "ada  uses 0 bytes; its quota is 50,000,000,000 bytes, the hub's default\n"
    assert run("quota", "Ada") == default
    assert run("quota", "ada", "2GB") == "ada  uses 0 bytes; its quota is 2,000,000,000 bytes\n"
    assert run("quota", "ada", "none") == "ada  uses 0 bytes; its quota is no limit\n"
    assert quotas.limit_of(Namespace.objects.get(user=ada)) is None
    assert run("quota", "ada", "default") == default
    sizes = Event.objects.filter(verb="quota_set").order_by("pk").values_list("facts", flat=True)
    assert [facts["quota_bytes"] for facts in sizes] == [2_000_000_000, quotas.NO_LIMIT, None]
    assert run("show", "ada").endswith("the hub's default\n")


def test_those_above_their_quota_are_listed_and_take_nothing_more(ada: User) -> None:
    assert run("quota") == "No owner is above its quota.\n"
    Namespace.objects.filter(user=ada).update(used_bytes=70 * 10**9)
    [row] = json.loads(run("quota", "--json"))["namespaces"]
    assert (row["name"], row["used_bytes"], row["is_default"]) == ("ada", 70 * 10**9, True)
    with pytest.raises(QuotaExceeded, match="ask an administrator for a larger quota"):
        quotas.require_room_to_send(namespace=Namespace.objects.get(user=ada), size_bytes=1)


def test_a_deletion_is_confirmed_by_the_name(
    ada: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapters.create(actor=ada, name="noir")
    monkeypatch.setattr("builtins.input", lambda: "bob")
    with pytest.raises(CommandError, match="Nothing was deleted"):
        run("delete", "ada", "--transfer-to", "bob")
    with pytest.raises(
        CommandError, match=r"owns an adapter or a pack\..+Pass --transfer-to OWNER"
    ):
        run("delete", "ada", "--yes")
    monkeypatch.setattr("builtins.input", lambda: "ada")
    out = run("delete", "ada", "--transfer-to", "bob")
    assert out.endswith(f"ada was deleted; it is deleted-{ada.pk} now.\n")
    assert bob.namespace.adapters.get().name == "noir"
    today = f"{timezone.now():%Y-%m-%d}"
    assert run("list", "--deleted") == f"deleted-{ada.pk}  deleted {today}, was ada\n"
    [row] = json.loads(run("show", "ada", "--json"))["users"]
    assert (row["name"], row["former_names"]) == (f"deleted-{ada.pk}", ["ada"])
    assert "bytes" not in run("show", "ada")
    with pytest.raises(CommandError, match="was deleted"):
        run("enable", "ada")


def test_a_disabled_account_gives_what_it_has_to_another_owner(ada: User, bob: User) -> None:
    adapters.create(actor=ada, name="noir")
    packs.create(actor=ada, name="night")
    run("disable", "ada", "--reason", "left")
    with pytest.raises(CommandError, match="must not be disabled"):
        run("transfer", "bob", "--to", "ada")
    assert run("transfer", "ADA", "--to", "bob") == "Adapters and packs of ada moved to bob: 2.\n"
    assert bob.namespace.adapters.get().name == "noir"
    assert bob.namespace.packs.get().name == "night"
    assert User.objects.get(username="ada").disabled_reason == "left"
    moved = Event.objects.get(verb="adapter_transferred")
    assert (moved.actor, moved.subject, moved.facts) == (None, "bob/noir", {"before": "ada/noir"})
    told = json.loads(run("transfer", "ada", "--to", "bob", "--json"))
    assert (told["transferred"], told["to"], told["user"]["name"]) == (0, "bob", "ada")


def test_an_export_is_written_to_a_file(ada: User, tmp_path: Path) -> None:
    place = tmp_path / "ada.json"
    assert run("export", "ada", "--to", str(place)) == f"Written to {place}.\n"
    assert place.stat().st_mode & 0o777 == 0o600
    document = json.loads(place.read_text())
    assert document["rows"]["registry.user"][0]["email"] == "ada@example.org"
    assert json.loads(run("export", "ada"))["user"] == "ada"
    with pytest.raises(CommandError, match="cannot be written"):
        run("export", "ada", "--to", str(tmp_path))
    assert Event.objects.filter(verb="account_exported").count() == 2


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("staff", "nobody"), "There is no user “nobody”"),
        (("disable", "a b", "--reason", "x"), "There is no user “a b”"),
        (("enable", "studio"), "There is no user “studio”"),
        (("disable", "ada", "--reason", " "), "Enter a reason"),
        (("disable", "ada"), "--reason"),
        (("quota", "nobody"), "no user or organisation"),
        (("quota", "ada", "much"), "is not a size"),
        (("delete", "ada", "--yes", "--transfer-to", "ada"), "another owner"),
        (("delete", "ada", "--yes", "--transfer-to", "none"), "no user or organisation"),
        (("transfer", "ada"), "--to"),
        (("transfer", "ada", "--to", "ada"), "another owner"),
        (("transfer", "ada", "--to", "none"), "no user or organisation"),
        (("bury", "ada"), "invalid choice"),
    ],
)
def test_what_it_cannot_do_is_said(ada: User, words: tuple[str, ...], text: str) -> None:
    Namespace.objects.create(name="studio", key="studio", kind="organisation")
    before = Event.objects.count()
    with pytest.raises(CommandError, match=text):
        run(*words)
    assert Event.objects.count() == before


def block(*words: str) -> str:
    out = StringIO()
    call_command("block", *words, stdout=out)
    return out.getvalue()


def test_blocks_are_set_listed_and_lifted(ada: User) -> None:
    noir = adapters.create(actor=ada, name="noir")
    assert block() == "Nothing is blocked.\n"
    assert block("ada/noir", "--reason", "Rights") == "ada/noir is blocked now.\n"
    assert block("ada/noir", "--reason", "Rights") == "ada/noir is blocked already.\n"
    assert block() == "ada/noir  Rights\n"
    assert block("ada/noir", "--lift") == "ada/noir is not blocked now.\n"
    packs.create(actor=ada, name="dusk")
    block("packs/ada/dusk", "--reason", "Rights")
    assert block() == "packs/ada/dusk  Rights\n"
    found = Event.objects.filter(verb__contains="blocked").order_by("pk")
    assert [event.verb for event in found] == [
        "adapter_blocked", "adapter_unblocked", "pack_blocked",
    ]  # fmt: skip
    adapters.refresh(noir)
    for words, text in (
        (("ada/none", "--lift"), "no adapter"),
        (("ada/noir",), "Give a --reason"),
        (("ada/noir", "--reason", "x" * 300), "at most"),
    ):
        with pytest.raises(CommandError, match=text):
            block(*words)


def test_sessions_of_an_earlier_secret_key_are_passed_over(
    ada: User, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with override_settings(SECRET_KEY="before" * 10):
        store = SessionStore()
        store[SESSION_KEY] = str(ada.pk)
        store.create()
    client.force_login(ada)
    run("delete", "ada", "--yes")
    assert "corrupted" not in caplog.text
    assert Session.objects.get().get_decoded() == {}
    assert "corrupted" in caplog.text

"""``lorary tokens`` and what the client says of tokens, against a hub of this process."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

from lorary.client import Hub
from lorary.client.errors import TokenExpired, Unauthenticated
from registry.adapters import services as adapters
from registry.models import AccessToken
from registry.tokens import services as tokens
from tests import catalogue
from tests.client.tiny import adapter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from registry.models import User
    from tests.client.conftest import Ran

    Run = Callable[..., Ran]

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def secret(live_server: Any, ada: User, monkeypatch: pytest.MonkeyPatch) -> str:
    """Point the command line to the hub, with a token of ada."""
    adapters.create(actor=ada, name="noir")
    _token, secret = tokens.issue(actor=ada, name="desk", days=30)
    monkeypatch.setenv("LORARY_ENDPOINT", live_server.url)
    monkeypatch.setenv("LORARY_TOKEN", secret)
    return secret


def test_tokens_are_made_listed_and_revoked(secret: str, run: Run, ada: User) -> None:
    made = run(
        "tokens", "create", "build", "--scopes", "read", "--expires", "7", "--bound-to", "ada/noir",
        "--json",
    ).document  # fmt: skip
    held = tokens.authenticate(secret=made["token"])
    assert (held.bound_to, held.scopes) == ("ada/noir", ["read"])
    assert held.expires_at is not None
    assert held.expires_at < timezone.now() + timedelta(days=7)
    listed = run("tokens", "--json").documents
    assert [(row["name"], row["bound_to"]) for row in listed] == [
        ("build", "ada/noir"),
        ("desk", None),
    ]
    assert all("token" not in row for row in listed)
    shown = run("tokens").out
    assert "only for ada/noir" in shown
    assert f"expires {held.expires_at:%Y-%m-%d}" in shown
    assert run("tokens", "revoke", str(held.pk), "--json").document["state"] == "revoked"
    assert [row["name"] for row in run("tokens", "--json").documents] == ["desk"]


def test_a_new_secret_stands_alone_on_standard_output(secret: str, run: Run) -> None:
    ran = run("tokens", "create", "build", "--expires", "never")
    made = tokens.authenticate(secret=ran.out.strip())
    assert f"expires {made.expires_at:%Y-%m-%d}" in ran.err  # no later than the one in use


def test_all_are_revoked_the_one_in_use_too(secret: str, run: Run) -> None:
    run("tokens", "create", "build")
    assert run("tokens", "revoke", "--all", "--json").document == {"revoked": 2}
    assert run("whoami").code == 4
    assert not AccessToken.objects.filter(revoked_at=None).exists()


@pytest.mark.parametrize(
    "words",
    [("create",), ("create", "a", "b"), ("create", "a", "--expires", "soon"), ("revoke",),
     ("revoke", "1", "--all"), ("--all",), ("--expires", "7"), ("revoke", "1", "--scopes", "read"),
     ("create", "x", "--scopes", "nope"), ("create", "x", "--scopes", ","), ("list", "1"),
     ("create", "a", "--expires", "9" * 5000)],
)  # fmt: skip
def test_words_that_make_no_sense_are_refused(
    secret: str, run: Run, words: tuple[str, ...]
) -> None:
    assert run("tokens", *words).code == 2
    assert AccessToken.objects.filter(revoked_at=None).count() == 1


@pytest.mark.parametrize("name", ["9999", "x", "²", "9" * 40])
def test_a_token_that_is_not_there_is_not_found(secret: str, run: Run, name: str) -> None:
    ran = run("tokens", "revoke", name)
    assert (ran.code, f"You have no token “{name}”" in ran.err) == (3, True)


def test_whoami_says_until_when_and_for_what(secret: str, run: Run, ada: User) -> None:
    held = AccessToken.objects.get()
    assert f"expires {held.expires_at:%Y-%m-%d}" in run("whoami").out
    _token, bound = tokens.issue(actor=ada, name="build", bound_to="ada/noir", days=0)
    with Hub(token=bound) as hub:
        account = hub.whoami()
    assert (account.bound_to, account.expires_at) == ("ada/noir", "")


def test_an_expired_token_is_told_as_such(secret: str, run: Run) -> None:
    AccessToken.objects.update(expires_at=timezone.now())
    ran = run("whoami", "--json")
    assert (ran.code, ran.document["error"]["code"]) == (4, "token_expired")
    assert "This access token expired on " in ran.err
    with Hub() as hub, pytest.raises(TokenExpired) as refused:
        hub.whoami()
    assert isinstance(refused.value, Unauthenticated)
    assert refused.value.facts["expired_at"]


def test_list_may_be_written(secret: str, run: Run) -> None:
    assert run("tokens", "list", "--json").documents == run("tokens", "--json").documents
    assert run("tokens", "list").code == 0


def test_an_import_with_a_token_for_one_adapter_takes_later_epochs_alone(
    secret: str, run: Run, ada: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = adapter(1, ss_session_id="7")
    catalogue.release(adapters.create(actor=ada, name="run"), first)
    (tmp_path / "run-000001.safetensors").write_bytes(first)
    _token, bound = tokens.issue(actor=ada, name="build", bound_to="ada/run", days=0)
    monkeypatch.setenv("LORARY_TOKEN", bound)
    (tmp_path / "run-000002.safetensors").write_bytes(adapter(2, ss_session_id="7"))
    later = run("import", tmp_path, "--to", "ada", "--json")
    planned = [row["adapter"] for row in later.documents if row["state"] == "planned"]
    assert (later.code, planned) == (0, ["ada/run"]), later.err
    (tmp_path / "ink.safetensors").write_bytes(adapter(3))
    refused = run("import", tmp_path, "--to", "ada", "--json")
    assert (refused.code, "does not cover ada/ink." in refused.err) == (4, True)

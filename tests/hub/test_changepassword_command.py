"""``manage.py changepassword`` and ``createsuperuser``."""

from __future__ import annotations

import getpass
from io import StringIO
from typing import TYPE_CHECKING

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from registry.accounts import users
from registry.models import Event, User
from registry.tokens import services as tokens

if TYPE_CHECKING:
    from django.test import Client

pytestmark = pytest.mark.django_db

SECRET = "another horse 8"


@pytest.fixture(autouse=True)
def _typed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Type the password where a terminal would be asked."""
    monkeypatch.setattr(getpass, "getpass", lambda **_prompt: SECRET)


def change(*words: str) -> str:
    out = StringIO()
    call_command("changepassword", *words, stdout=out)
    return out.getvalue()


@pytest.mark.parametrize("given", ["Anna", "anna", "ANNA"])
def test_a_name_in_any_case_gets_the_password_it_signs_in_with(client: Client, given: str) -> None:
    users.create_user(name="Anna")
    assert "for user 'Anna'" in change(given)
    answer = client.post("/signin", {"username": given, "password": SECRET})
    assert answer.status_code == 302
    assert "_auth_user_id" in client.session
    verbs = Event.objects.order_by("pk").values_list("verb", flat=True)
    assert list(verbs) == ["user_created", "password_changed", "signed_in"]


def test_it_says_how_to_revoke_access_tokens_as_well() -> None:
    anna = users.create_user(name="Anna")
    tokens.issue(actor=anna, name="laptop")
    used, _secret = tokens.issue(actor=anna, name="old")
    assert "2 access tokens of Anna can still be used. `manage.py token --user Anna" in change(
        "anna"
    )
    tokens.revoke(actor=anna, token_id=used.pk)
    assert "1 access token of Anna can still be used." in change("anna")
    tokens.revoke_all_of(actor=None, user=anna)
    assert "token" not in change("anna")


def test_without_a_terminal_it_says_where_to_run_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(**_prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr(getpass, "getpass", ended)
    users.create_user(name="Anna")
    with pytest.raises(CommandError, match="Run the command in a terminal"):
        change("anna")
    assert not User.objects.get(username="Anna").has_usable_password()


def test_somebody_unknown_is_refused_as_djangos_own_does(monkeypatch: pytest.MonkeyPatch) -> None:
    users.create_user(name="anna")
    for given in ("ann_", "ann%", "Bob"):
        with pytest.raises(CommandError, match=f"user '{given}' does not exist"):
            change(given)
    monkeypatch.setattr(getpass, "getuser", lambda: "anna")  # nobody named: whoever types
    assert "for user 'anna'" in change()


def test_a_superuser_can_publish_too() -> None:
    call_command("createsuperuser", "--noinput", username="Olga", email="r@example.org")
    olga = User.objects.get(username="Olga")
    assert olga.is_superuser
    assert olga.namespace.key == "olga"
    assert Event.objects.get(verb="staff_added").user == olga
    assert users.name_faults("OLGA")


@pytest.mark.parametrize(
    ("name", "reason"), [("Anna", "taken"), ("admin", "reserved"), ("a b", "letters")]
)
def test_a_superuser_has_the_name_of_a_namespace(name: str, reason: str) -> None:
    users.create_user(name="anna")
    with pytest.raises(CommandError, match=reason):
        call_command("createsuperuser", "--noinput", username=name, email="r@example.org")
    assert User.objects.count() == 1

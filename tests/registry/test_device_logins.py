"""Sign-in of programs by a browser: who may allow it, how long, how often, and what is stored."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from registry import sweep
from registry.errors import (
    Forbidden,
    Invalid,
    LoraryError,
    NotFound,
    RateLimited,
    ScopeMissing,
    Unauthenticated,
)
from registry.models import AccessToken, DeviceLogin, Event, User
from registry.tokens import device_logins
from registry.tokens import services as tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.django_db


def begin(*, scopes: Sequence[str] = ("read",)) -> device_logins.Codes:
    return device_logins.begin(client="lorary", device="ada-laptop", scopes=scopes)


def answer(codes: device_logins.Codes) -> Any:
    """Ask for the token, after the interval: its secret, or the error."""
    DeviceLogin.objects.update(polled_at=timezone.now() - timedelta(seconds=5))
    outcome = device_logins.redeem(device_code=codes.device)
    return outcome.error if isinstance(outcome, device_logins.Refusal) else outcome[1]


def allow(user: User, codes: device_logins.Codes) -> DeviceLogin:
    return device_logins.decide(actor=user, user_code=codes.user, is_allowed=True)


def test_an_allowed_sign_in_gives_an_ordinary_token_once(ada: User) -> None:
    codes = begin()
    assert answer(codes) == "authorization_pending"
    assert allow(ada, codes).label == "lorary login on ada-laptop"
    secret = answer(codes)
    token = tokens.authenticate(secret=secret)
    assert (token.user, token.name) == (ada, "lorary login on ada-laptop")
    assert (token.scopes, token.parent, token.is_bound) == (["read"], None, False)
    assert token.expires_at is not None
    assert answer(codes) == "invalid_grant"
    assert (AccessToken.objects.count(), DeviceLogin.objects.count()) == (1, 0)
    verbs = list(Event.objects.order_by("id").values_list("verb", "actor"))
    assert verbs[-4:] == [
        ("device_login_requested", None),
        ("device_login_allowed", ada.pk),
        ("token_issued", ada.pk),
        ("token_first_used", ada.pk),
    ]
    tokens.revoke(actor=ada, token_id=token.pk)
    with pytest.raises(Unauthenticated):
        tokens.authenticate(secret=secret)


def test_a_denied_sign_in_gives_none_and_cannot_be_allowed(ada: User, bob: User) -> None:
    codes = begin()
    device_logins.decide(actor=ada, user_code=codes.user, is_allowed=False)
    with pytest.raises(NotFound):
        allow(bob, codes)
    assert answer(codes) == "access_denied"
    assert not AccessToken.objects.exists()


def test_the_first_decision_counts(ada: User, bob: User) -> None:
    codes = begin()
    allow(ada, codes)
    for is_allowed in (True, False):
        with pytest.raises(NotFound):
            device_logins.decide(actor=bob, user_code=codes.user, is_allowed=is_allowed)
    assert tokens.authenticate(secret=answer(codes)).user == ada


def test_only_a_person_who_is_signed_in_may_decide(ada: User) -> None:
    """A token must not create a token: that would outlive its revocation."""
    codes = begin()
    _token, secret = tokens.issue(actor=ada, name="trainer")
    by_token = tokens.authenticate(secret=secret).user
    refused: list[tuple[User | AnonymousUser, type[LoraryError]]] = [
        (AnonymousUser(), Unauthenticated),
        (by_token, Forbidden),
    ]
    for actor, error in refused:
        with pytest.raises(error):
            device_logins.find(actor=actor, user_code=codes.user)
        for is_allowed in (True, False):
            with pytest.raises(error):
                device_logins.decide(actor=actor, user_code=codes.user, is_allowed=is_allowed)
    assert answer(codes) == "authorization_pending"


def test_the_scope_admin_is_for_administrators(ada: User) -> None:
    codes = begin(scopes=("admin", "read"))
    with pytest.raises(ScopeMissing):
        allow(ada, codes)
    assert answer(codes) == "authorization_pending"
    ada.is_staff = True
    ada.save()
    allow(ada, codes)
    ada.is_staff = False
    ada.save()
    assert answer(codes) == "access_denied"
    assert not AccessToken.objects.exists()


def test_too_many_tokens_are_refused_on_the_page(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = begin()
    monkeypatch.setattr(tokens, "MAX_LIVE_TOKENS", 0)
    with pytest.raises(Invalid, match="Revoke some first"):
        allow(ada, codes)
    device_logins.decide(actor=ada, user_code=codes.user, is_allowed=False)


def test_revoking_all_tokens_includes_those_that_were_not_collected_yet(
    ada: User, bob: User
) -> None:
    mine, other = begin(), begin()
    allow(ada, mine)
    allow(bob, other)
    _token, secret = tokens.issue(actor=ada, name="bound", bound_to="ada")
    tokens.revoke_all(actor=tokens.authenticate(secret=secret).user)
    assert DeviceLogin.objects.count() == 2
    assert tokens.revoke_all(actor=ada) == 0
    assert answer(mine) == "invalid_grant"
    assert answer(other).startswith("lor_")


def test_an_account_that_was_closed_meanwhile_gets_no_token(ada: User) -> None:
    codes = begin()
    allow(ada, codes)
    User.objects.update(is_active=False)
    assert answer(codes) == "access_denied"


def test_codes_expire_and_are_swept(ada: User) -> None:
    pending, allowed, young = begin(), begin(), begin()
    allow(ada, allowed)
    old = DeviceLogin.objects.exclude(user_digest=device_logins._user_digest(young.user))
    assert {login.expires_at - login.created_at > timedelta(minutes=14) for login in old} == {True}
    old.update(expires_at=timezone.now())
    with pytest.raises(NotFound):
        device_logins.find(actor=ada, user_code=pending.user)
    assert answer(pending) == answer(allowed) == "expired_token"
    sweep.run()
    assert DeviceLogin.objects.count() == 1
    assert answer(pending) == "invalid_grant"
    assert answer(young) == "authorization_pending"


def test_a_program_that_asks_too_often_is_told_to_slow_down(ada: User) -> None:
    codes = begin()
    allow(ada, codes)
    DeviceLogin.objects.update(polled_at=timezone.now() - timedelta(seconds=1))
    early = device_logins.redeem(device_code=codes.device)
    assert isinstance(early, device_logins.Refusal)
    assert early.error == "slow_down"
    assert answer(codes).startswith("lor_")


def test_no_code_is_stored() -> None:
    codes = begin()
    row = " ".join(map(str, DeviceLogin.objects.values_list().get()))
    assert codes.device not in row
    assert codes.user not in row
    assert codes.user.replace("-", "") not in row


def test_guesses_are_limited_for_each_user(ada: User, bob: User) -> None:
    codes = begin()
    for _guess in range(device_logins.TRIES):
        with pytest.raises(NotFound):
            device_logins.find(actor=ada, user_code="BBBB-BBBB")
    with pytest.raises(RateLimited):
        allow(ada, codes)
    assert answer(codes) == "authorization_pending"
    allow(bob, codes)


def test_user_codes_are_random_readable_and_forgiving(ada: User) -> None:
    made = [begin() for _ in range(200)]
    assert len({codes.user for codes in made}) == len({codes.device for codes in made}) == 200
    letters = Counter("".join(codes.user.replace("-", "") for codes in made))
    assert set(letters) == set(device_logins.ALPHABET)
    typed = f" {made[0].user.lower().replace('-', ' ')}"
    assert device_logins.find(actor=ada, user_code=typed).client == "lorary"


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"client": ""}, "client_id"),
        ({"client": "x" * 41}, "client_id"),
        ({"client": "lorary\u202e"}, "client_id"),
        ({"device": "a\nb"}, "device_name"),
        ({"device": "x" * 65}, "device_name"),
        ({"scopes": ["read", "root"]}, "scope"),
        ({"scopes": []}, "scope"),
    ],
)
def test_what_a_program_says_of_itself_is_checked(values: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        device_logins.begin(**{"client": "lorary", **values})
    assert list(refused.value.facts["fields"]) == [field]


def test_the_longest_names_fit_the_token(ada: User) -> None:
    codes = device_logins.begin(client="x" * 40, device="y" * 64)
    allow(ada, codes)
    assert len(tokens.authenticate(secret=answer(codes)).name) == 80


@pytest.mark.parametrize("values", [{"state": "allowed"}, {"state": "denied"}, {"user": True}])
def test_the_database_keeps_decisions_and_users_together(ada: User, values: dict[str, Any]) -> None:
    begin()
    values = {key: ada if value is True else value for key, value in values.items()}
    with pytest.raises(IntegrityError), transaction.atomic():
        DeviceLogin.objects.update(**values)


@pytest.mark.django_db(transaction=True)
def test_of_requests_at_once_one_gets_the_token(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = begin()
    allow(ada, codes)
    monkeypatch.setattr(device_logins, "_SLACK", timedelta(seconds=9))

    def ask(_turn: int) -> str:
        try:
            outcome = device_logins.redeem(device_code=codes.device)
        finally:
            connection.close()
        return outcome.error if isinstance(outcome, device_logins.Refusal) else "token"

    with ThreadPoolExecutor(4) as pool:
        said = Counter(pool.map(ask, range(8)))
    assert said["token"] == 1
    assert set(said) <= {"token", "invalid_grant", "slow_down"}
    assert AccessToken.objects.count() == 1

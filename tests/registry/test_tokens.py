"""Access tokens: how long they last, what they are for, and how they end."""

from __future__ import annotations

from datetime import timedelta
from importlib import import_module
from typing import TYPE_CHECKING

import pytest
from django.apps import apps
from django.db import IntegrityError, transaction
from django.utils import timezone

from registry.accounts import permissions, users
from registry.adapters import selectors as adapter_selectors
from registry.adapters import services as adapters
from registry.cards import services as cards
from registry.errors import (
    Forbidden,
    Invalid,
    NotFound,
    ScopeMissing,
    TokenExpired,
    Unauthenticated,
)
from registry.models import AccessToken, Event, Membership, Namespace, Visibility
from registry.publication import services as publication
from registry.tokens import selectors as token_selectors
from registry.tokens import services as tokens
from registry.uploads import selectors as upload_selectors
from registry.uploads import services as uploads
from registry.versions import files
from registry.versions import selectors as version_selectors
from tests import catalogue as steps
from tests.builders.adapters import DENOISERS, kohya

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.models import Adapter, User

pytestmark = pytest.mark.django_db


def come_with(user: User, **said: object) -> User:
    """Return the user as they come with a new token."""
    _token, secret = tokens.issue(actor=user, name="test", **said)  # type: ignore[arg-type]
    return tokens.authenticate(secret=secret).user


def lasts(token: AccessToken) -> timedelta | None:
    return None if token.expires_at is None else token.expires_at - token.created_at


def is_about(span: timedelta | None, days: int) -> bool:
    return span is not None and abs(span - timedelta(days=days)) < timedelta(minutes=1)


def test_a_new_token_lasts_as_long_as_the_hub_says(
    ada: User, own_settings: Callable[..., None]
) -> None:
    assert is_about(lasts(tokens.issue(actor=ada, name="a")[0]), 90)
    assert is_about(lasts(tokens.issue(actor=ada, name="b", days=7)[0]), 7)
    assert lasts(tokens.issue(actor=ada, name="c", days=0)[0]) is None
    own_settings(token_days=0)
    assert lasts(tokens.issue(actor=ada, name="d")[0]) is None


@pytest.mark.parametrize("days", [-1, 3651, 10**12])
def test_a_token_lasts_ten_years_at_most(ada: User, days: int) -> None:
    with pytest.raises(Invalid, match="1 to 3650 days"):
        tokens.issue(actor=ada, name="a", days=days)


def test_an_expired_token_says_so_to_whoever_holds_it(ada: User) -> None:
    token, secret = tokens.issue(actor=ada, name="a")
    AccessToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    with pytest.raises(TokenExpired, match=r"expired on \d{4}-\d\d-\d\d\. Create a new one"):
        tokens.authenticate(secret=secret)
    assert token_selectors.holder(ada.pk, token.pk) is None
    with pytest.raises(Unauthenticated) as refused:
        tokens.authenticate(secret=secret + "x")
    assert refused.type is Unauthenticated
    ada.is_active = False
    ada.save()
    with pytest.raises(Unauthenticated) as refused:
        tokens.authenticate(secret=secret)
    assert refused.type is Unauthenticated


def test_expired_tokens_leave_room_for_new_ones(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MAX_LIVE_TOKENS", 1)
    tokens.issue(actor=ada, name="a")
    with pytest.raises(Invalid, match="Revoke some first"):
        tokens.issue(actor=ada, name="b")
    AccessToken.objects.update(expires_at=timezone.now())
    tokens.issue(actor=ada, name="b")


def test_a_token_that_a_token_made_expires_no_later_than_it(ada: User) -> None:
    holder = come_with(ada, days=7)
    for days in (0, 365, None):
        child, _secret = tokens.issue(actor=holder, name="child", days=days)
        assert child.expires_at == child.parent.expires_at  # type: ignore[union-attr]
    assert is_about(lasts(tokens.issue(actor=holder, name="child", days=1)[0]), 1)


def test_a_token_that_a_token_made_ends_with_it(ada: User) -> None:
    holder = come_with(ada)
    child, secret = tokens.issue(actor=holder, name="child")
    assert child.parent == holder.access_token
    tokens.revoke(actor=ada, token_id=holder.access_token.pk)  # type: ignore[union-attr]
    with pytest.raises(Unauthenticated):
        tokens.authenticate(secret=secret)
    assert not token_selectors.listing(ada).exists()


def test_a_child_that_is_made_while_its_parent_is_revoked_is_born_dead(ada: User) -> None:
    holder = come_with(ada)
    tokens.revoke(actor=ada, token_id=holder.access_token.pk)  # type: ignore[union-attr]
    child, secret = tokens.issue(actor=holder, name="child")
    with pytest.raises(Unauthenticated):
        tokens.authenticate(secret=secret)
    assert token_selectors.holder(ada.pk, child.pk) is None


def test_a_token_that_a_token_made_makes_none(ada: User) -> None:
    _child, secret = tokens.issue(actor=come_with(ada), name="child")
    with pytest.raises(Forbidden, match="Sign in"):
        tokens.issue(actor=tokens.authenticate(secret=secret).user, name="grandchild")


def test_the_scope_admin_is_for_staff_when_a_token_is_made(ada: User) -> None:
    with pytest.raises(ScopeMissing, match="for administrators"):
        tokens.issue(actor=ada, name="a", scopes=["admin"])
    users.set_staff(actor=None, user=ada, is_staff=True)
    with pytest.raises(Invalid, match="cannot be limited to"):
        tokens.issue(actor=ada, name="a", scopes=["admin"], bound_to="ada")
    assert permissions.require_operator(come_with(ada, scopes=["admin"])) == ada


def test_the_scope_admin_is_for_staff_when_a_token_is_used(ada: User) -> None:
    users.set_staff(actor=None, user=ada, is_staff=True)
    _token, secret = tokens.issue(actor=ada, name="a", scopes=["admin"])
    users.set_staff(actor=None, user=ada, is_staff=False)
    user = tokens.authenticate(secret=secret).user
    with pytest.raises(ScopeMissing):
        permissions.require_scope(user, "admin")
    with pytest.raises(Forbidden):
        tokens.issue(actor=user, name="b", scopes=["admin"])
    assert not permissions.is_operator(user)
    assert (
        permissions.require_scope(user, "write") == ada
    )  # what an old one could do, it still does


def test_all_tokens_are_revoked_at_once_and_nobody_else_s(ada: User, bob: User) -> None:
    holder, other = come_with(ada), come_with(bob)
    tokens.issue(actor=holder, name="child")
    assert tokens.revoke_all(actor=holder) == 2
    assert tokens.revoke_all(actor=ada) == 0
    assert not token_selectors.listing(ada).exists()
    assert token_selectors.listing(bob).get() == other.access_token
    assert Event.objects.get(verb="tokens_revoked").facts == {"count": 2}


def test_a_token_is_bound_to_one_thing_at_most(ada: User, noir: Adapter) -> None:
    token, _secret = tokens.issue(actor=ada, name="a", bound_to="ada/noir")
    with pytest.raises(IntegrityError), transaction.atomic():
        AccessToken.objects.filter(pk=token.pk).update(namespace=noir.namespace)


def test_a_token_is_bound_to_what_is_one_s_own(ada: User, bob: User, noir: Adapter) -> None:
    for name in ("ada/noir", "nobody", "bob/x", "/", "ada/", "\0", "x" * 400):
        with pytest.raises(Invalid, match="You cannot limit a token to") as refused:
            tokens.issue(actor=bob, name="a", bound_to=name)
        assert refused.value.facts["fields"]["bound_to"]
    assert tokens.issue(actor=bob, name="a", bound_to=" BOB ")[0].bound_to == "bob"
    guild = Namespace.objects.create(name="guild", key="guild", kind="organisation")
    guild.names.create(key="guild")
    Membership.objects.create(namespace=guild, user=bob, role="read")
    assert tokens.issue(actor=bob, name="a", bound_to="guild")[0].namespace == guild


def test_a_bound_token_writes_nothing_else(ada: User, noir: Adapter) -> None:
    other = adapters.create(actor=ada, name="other")
    for_noir, for_ada = come_with(ada, bound_to="ada/noir"), come_with(ada, bound_to="ada")
    cards.edit_adapter(actor=for_noir, adapter=noir, summary="dark")
    cards.edit_adapter(actor=for_ada, adapter=other, summary="light")
    with pytest.raises(Forbidden, match=r"limited to “ada/noir”\. Use a token for “ada/other”"):
        cards.edit_adapter(actor=for_noir, adapter=other, summary="x")
    with pytest.raises(Forbidden, match="limited to “ada/noir”"):
        adapters.create(actor=for_noir, name="third")
    assert adapters.create(actor=for_ada, name="third").owner == "ada"
    with pytest.raises(Forbidden, match="cannot create tokens"):
        tokens.issue(actor=for_noir, name="child")


def test_a_bound_token_sees_and_revokes_itself_alone(ada: User, noir: Adapter) -> None:
    other, _secret = tokens.issue(actor=ada, name="other")
    bound = come_with(ada, bound_to="ada/noir")
    assert list(token_selectors.listing(bound)) == [bound.access_token]
    with pytest.raises(NotFound):
        tokens.revoke(actor=bound, token_id=other.pk)
    assert tokens.revoke_all(actor=bound) == 1
    assert list(token_selectors.listing(ada)) == [other]


def test_a_bound_token_sees_private_adapters_and_drafts_of_nothing_else(
    ada: User, noir: Adapter
) -> None:
    other = adapters.create(actor=ada, name="other", visibility=Visibility.PRIVATE)
    open_one = adapters.create(actor=ada, name="open")
    upload = steps.accept(ada, kohya(DENOISERS["sd1", "diffusers"]))
    publication.create_draft(actor=ada, adapter=open_one, uploads=[upload])
    bound = come_with(ada, bound_to="ada/noir")
    with pytest.raises(NotFound):
        adapter_selectors.get(bound, "ada", "other")
    assert not version_selectors.listing(bound, open_one).exists()
    assert adapter_selectors.get(ada, "ada", "other") == other
    assert version_selectors.listing(ada, open_one).exists()
    assert adapter_selectors.get(come_with(ada, bound_to="ada"), "ada", "other") == other
    cards.edit_adapter(actor=ada, adapter=noir, visibility=Visibility.PRIVATE)
    assert adapter_selectors.get(bound, "ada", "noir") == noir


def test_a_bound_token_links_no_private_bytes_of_something_else(ada: User, noir: Adapter) -> None:
    other = adapters.create(actor=ada, name="other", visibility=Visibility.PRIVATE)
    data = kohya(DENOISERS["sd1", "diffusers"])
    sha256 = steps.release(other, data).files.get(is_primary=True).blob.sha256
    bound = come_with(ada, bound_to="ada/noir")
    assert upload_selectors.readable_by(ada, sha256) is not None
    assert upload_selectors.readable_by(bound, sha256) is None
    announced = uploads.create(
        actor=bound, path="a.safetensors", size_bytes=len(data), sha256=sha256
    )
    assert announced.state == "receiving"


def test_a_bound_token_downloads_no_private_file_of_something_else(
    ada: User, noir: Adapter
) -> None:
    other = adapters.create(actor=ada, name="other", visibility=Visibility.PRIVATE)
    for adapter in (other, noir):
        steps.release(adapter, kohya(DENOISERS["sd1", "diffusers"]))
    cards.edit_adapter(actor=ada, adapter=noir, visibility=Visibility.PRIVATE)
    file, bound = ("v1", "noir.safetensors"), come_with(ada, bound_to="ada/noir")
    with pytest.raises(NotFound):
        files.get(bound, "ada", "other", *file)
    for who, name in ((bound, "noir"), (come_with(ada, bound_to="ada"), "other"), (ada, "other")):
        assert not files.get(who, "ada", name, *file).is_public


def test_a_bound_token_is_not_told_of_the_same_weights_elsewhere(ada: User, noir: Adapter) -> None:
    other = adapters.create(actor=ada, name="other", visibility=Visibility.PRIVATE)
    data = kohya(DENOISERS["sd1", "diffusers"])
    steps.release(other, data)
    sent = steps.accept(come_with(ada, bound_to="ada/noir"), data)
    assert not sent.findings.filter(code="weights_known").exists()
    sent = steps.accept(come_with(ada, bound_to="ada"), data)
    assert "ada/other" in sent.findings.get(code="weights_known").message


def test_a_bound_token_goes_on_with_its_own_uploads_and_sees_no_others(
    ada: User, noir: Adapter
) -> None:
    data = kohya(DENOISERS["sd1", "diffusers"])
    before = uploads.create(actor=ada, path="a.safetensors", size_bytes=len(data))
    bound = come_with(ada, bound_to="ada/noir")
    mine = steps.accept(bound, data)
    assert list(upload_selectors.listing(bound)) == [mine]
    assert set(upload_selectors.listing(ada)) == {before, mine}
    with pytest.raises(NotFound):
        upload_selectors.get(bound, before.public_id)
    publication.create_draft(
        actor=bound, adapter=noir, uploads=[upload_selectors.get(bound, mine.public_id)]
    )
    assert mine.blob is not None
    assert upload_selectors.readable_by(bound, mine.blob.sha256) is not None


def test_a_password_that_is_changed_takes_the_tokens_along_if_asked(ada: User) -> None:
    come_with(ada)
    users.change_password(actor=ada, password="another long phrase")
    assert token_selectors.listing(ada).count() == 1
    users.change_password(actor=ada, password="a third long phrase", revokes_tokens=True)
    assert not token_selectors.listing(ada).exists()


def test_the_way_back_revokes_tokens_that_would_become_wider(ada: User, noir: Adapter) -> None:
    for bound_to in ("ada/noir", "ada", ""):
        tokens.issue(actor=ada, name=bound_to or "all", bound_to=bound_to)
    migration = import_module("registry.migrations.0012_bound_tokens_and_attempts")
    migration.revoke_bound(apps, None)
    assert {token.name for token in token_selectors.listing(ada)} == {"all"}

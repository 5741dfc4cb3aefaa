"""Organisations: who creates them, who changes their members, and what members may do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from registry.accounts import deletion, disabling, organisations, quotas, users
from registry.adapters import services as adapters
from registry.errors import (
    Forbidden,
    Invalid,
    NameInvalid,
    NameTaken,
    NotFound,
    StateConflict,
    Unauthenticated,
)
from registry.models import Adapter, Event, Namespace, User
from registry.publication import services as publication
from registry.tokens import services as tokens
from registry.uploads import selectors as upload_selectors
from tests import catalogue
from tests.races import at_once
from tests.registry.files import LORA

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db


@pytest.fixture
def rosa(db: None) -> User:
    """Return an administrator of the hub."""
    user = users.create_user(name="rosa")
    users.set_staff(actor=None, user=user, is_staff=True)
    return user


@pytest.fixture
def studio(ada: User) -> Namespace:
    """Return an organisation whose admin is ada."""
    return organisations.create(actor=None, name="Studio", admin=ada)


def roles(organisation: Namespace) -> list[tuple[str, str]]:
    return [(row.user.username, row.role) for row in organisations.members(organisation)]


def test_administrators_create_organisations(rosa: User, ada: User) -> None:
    studio = organisations.create(actor=rosa, name="Studio", admin=ada)
    assert (studio.name, studio.key, studio.user) == ("Studio", "studio", None)
    assert roles(studio) == [("ada", "admin")]
    assert organisations.named("STUDIO") == studio
    facts = Event.objects.filter(verb__in=("organisation_created", "member_set")).order_by("pk")
    assert [(one.verb, one.actor, one.user, one.subject) for one in facts] == [
        ("organisation_created", rosa, None, "Studio"), ("member_set", rosa, ada, "Studio"),
    ]  # fmt: skip
    assert facts[1].facts == {"role": "admin"}
    with pytest.raises(NotFound):
        organisations.create(actor=ada, name="other", admin=ada)


@pytest.mark.parametrize(
    ("name", "error"),
    [("ada", NameTaken), ("STUDIO", NameTaken), ("settings", NameInvalid), ("a b", NameInvalid)],
)
def test_names_follow_the_rules_of_users(
    studio: Namespace, ada: User, name: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        organisations.create(actor=None, name=name, admin=ada)
    assert [(one.name, one.members) for one in organisations.listing()] == [("Studio", 1)]
    with pytest.raises(NameTaken):
        users.create_user(name="studio")


def test_a_user_is_not_an_organisation(ada: User) -> None:
    with pytest.raises(NotFound, match="ada"):
        organisations.named("ada")


def test_a_role_decides_what_a_member_may_do(studio: Namespace, ada: User, bob: User) -> None:
    def set_role(role: str) -> bool:
        return organisations.set_role(actor=ada, organisation=studio, user=bob, role=role)

    secret = adapters.create(actor=ada, owner=studio, name="noir", visibility="private")
    assert not Adapter.objects.visible_to(bob).filter(pk=secret.pk).exists()
    assert set_role("read")
    assert not set_role("read")
    assert Adapter.objects.visible_to(bob).filter(pk=secret.pk).exists()
    with pytest.raises(Forbidden):
        adapters.create(actor=bob, owner=studio, name="ink")
    set_role("write")
    adapters.create(actor=bob, owner=studio, name="ink")
    with pytest.raises(Forbidden, match="Only an admin"):
        organisations.set_role(actor=bob, organisation=studio, user=bob, role="admin")
    with pytest.raises(Invalid, match="read, write, admin"):
        set_role("owner")
    set_role("admin")
    organisations.remove(actor=bob, organisation=studio, user=ada)
    assert roles(studio) == [("bob", "admin")]


def test_a_member_leaves_and_its_work_stays(studio: Namespace, ada: User, bob: User) -> None:
    organisations.set_role(actor=ada, organisation=studio, user=bob, role="write")
    adapters.create(actor=bob, owner=studio, name="ink")
    assert organisations.remove(actor=bob, organisation=studio, user=bob)
    assert not organisations.remove(actor=ada, organisation=studio, user=bob)
    with pytest.raises(Forbidden):
        organisations.remove(actor=bob, organisation=studio, user=ada)
    with pytest.raises(Forbidden):
        adapters.create(actor=bob, owner=studio, name="more")
    assert studio.adapters.get().name == "ink"


def test_an_organisation_keeps_an_active_admin(
    studio: Namespace, rosa: User, ada: User, bob: User
) -> None:
    for change in (
        lambda: organisations.remove(actor=ada, organisation=studio, user=ada),
        lambda: organisations.set_role(actor=ada, organisation=studio, user=ada, role="write"),
        lambda: deletion.delete(actor=None, user=ada),
    ):
        with pytest.raises(StateConflict, match="another member an admin"):
            change()
    organisations.set_role(actor=ada, organisation=studio, user=bob, role="admin")
    disabling.disable(actor=rosa, user=bob, reason="Left")
    with pytest.raises(StateConflict):
        organisations.remove(actor=ada, organisation=studio, user=ada)
    organisations.set_role(actor=rosa, organisation=studio, user=rosa, role="admin")
    deletion.delete(actor=None, user=ada)
    assert roles(studio) == [("bob", "admin"), ("rosa", "admin")]


def test_disabled_accounts_are_not_added(
    studio: Namespace, rosa: User, ada: User, bob: User
) -> None:
    disabling.disable(actor=rosa, user=bob, reason="Stolen")
    bob.refresh_from_db()
    with pytest.raises(Invalid, match="disabled"):
        organisations.set_role(actor=ada, organisation=studio, user=bob, role="read")
    with pytest.raises(Invalid, match="disabled"):
        organisations.create(actor=rosa, name="other", admin=bob)


def test_tokens_change_no_members(
    studio: Namespace, rosa: User, ada: User, bob: User, token_of: Callable[..., str]
) -> None:
    def with_token(user: User, *scopes: str) -> User:
        return tokens.authenticate(secret=token_of(user, *scopes)).user

    holder = with_token(ada, "read", "write")
    with pytest.raises(Forbidden, match="token"):
        organisations.set_role(actor=holder, organisation=studio, user=bob, role="read")
    with pytest.raises(Forbidden, match="token"):
        organisations.remove(actor=holder, organisation=studio, user=ada)
    operator = with_token(rosa, "read", "write", "admin")
    assert organisations.set_role(actor=operator, organisation=studio, user=bob, role="read")


def test_former_members_lose_what_they_saw_and_are_not_charged(
    studio: Namespace, ada: User, bob: User
) -> None:
    organisations.set_role(actor=ada, organisation=studio, user=bob, role="write")
    adapter = adapters.create(actor=bob, owner=studio, name="noir", visibility="private")
    secret = tokens.issue(actor=bob, name="ci", bound_to="studio")[1]
    upload = catalogue.accept(bob, LORA)
    publication.release(actor=bob, adapter=adapter, uploads=[upload])
    used = Namespace.objects.get(pk=studio.pk).used_bytes
    assert used
    organisations.remove(actor=ada, organisation=studio, user=bob)
    assert not Adapter.objects.visible_to(bob).filter(pk=adapter.pk).exists()
    with pytest.raises(Unauthenticated):
        tokens.authenticate(secret=secret)
    assert quotas.used_by(bob.namespace) == 0
    assert not upload_selectors.waiting(bob).exists()
    assert Namespace.objects.get(pk=studio.pk).used_bytes == used


def test_disabled_members_can_lose_their_role(
    studio: Namespace, rosa: User, ada: User, bob: User
) -> None:
    organisations.set_role(actor=ada, organisation=studio, user=bob, role="admin")
    disabling.disable(actor=rosa, user=bob, reason="Left")
    bob.refresh_from_db()
    assert organisations.set_role(actor=ada, organisation=studio, user=bob, role="read")
    assert roles(studio) == [("ada", "admin"), ("bob", "read")]


@pytest.mark.django_db(transaction=True)
def test_one_admin_stays_when_all_leave_at_once() -> None:
    admins = [users.create_user(name=f"admin{number}") for number in range(8)]
    studio = organisations.create(actor=None, name="studio", admin=admins[0])
    for user in admins[1:]:
        organisations.set_role(actor=None, organisation=studio, user=user, role="admin")

    def leave(number: int) -> None:
        user = admins[number]
        organisations.remove(actor=user, organisation=studio, user=user)

    assert at_once(leave, StateConflict) == 7
    assert [role for _, role in roles(studio)] == ["admin"]

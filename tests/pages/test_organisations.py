"""Pages of organisations: one's own, their members, and the administrators' list."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from registry.accounts import organisations, users
from registry.models import Namespace, User
from tests.catalogue import PASSWORD

if TYPE_CHECKING:
    from django.test import Client

pytestmark = pytest.mark.django_db
PAGE = "/settings/organisations/studio"


@pytest.fixture
def studio(ada: User) -> Namespace:
    return organisations.create(actor=None, name="studio", admin=ada)


@pytest.fixture
def as_operator(client: Client) -> Client:
    root = users.create_user(name="rosa", password=PASSWORD)
    users.set_staff(actor=None, user=root, is_staff=True)
    client.force_login(root)
    return client


def roles(organisation: Namespace) -> dict[str, str]:
    return {row.user.username: row.role for row in organisations.members(organisation)}


def test_an_administrator_creates_an_organisation(as_operator: Client, ada: User) -> None:
    page = "/operator/organisations"
    assert "There are no organisations yet." in as_operator.get(page).content.decode()
    for data, expected in (
        ({"name": "ada", "admin": "ada"}, "“ada” is taken"),
        ({"name": "studio", "admin": "eve"}, "There is no user “eve”."),
        ({"name": "", "admin": ""}, "This field is required."),
    ):
        answer = as_operator.post(page, data)
        assert answer.status_code == 400
        assert expected in answer.content.decode()
    answer = as_operator.post(page, {"name": "studio", "admin": "Ada"})
    assert answer["Location"] == PAGE
    assert roles(organisations.named("studio")) == {ada.username: "admin"}
    assert f'href="{PAGE}"' in as_operator.get(page).content.decode()


def test_the_list_is_read_page_by_page(as_operator: Client, ada: User) -> None:
    Namespace.objects.bulk_create(
        Namespace(kind="organisation", name=f"o{number:03}", key=f"o{number:03}")
        for number in range(120)
    )
    first = as_operator.get("/operator/organisations")
    assert first.context["following"] == "o099"
    second = as_operator.get("/operator/organisations?after=o099")
    assert [one.name for one in second.context["organisations"]][-1] == "o119"
    assert 'rel="next"' not in second.content.decode()


def test_members_see_their_organisations(
    client: Client, studio: Namespace, ada: User, bob: User
) -> None:
    client.force_login(bob)
    assert "You are not a member" in client.get("/settings/organisations").content.decode()
    assert client.get(PAGE).status_code == 404
    organisations.set_role(actor=ada, organisation=studio, user=bob, role="read")
    assert f'href="{PAGE}"' in client.get("/settings/organisations").content.decode()
    page = client.get(PAGE).content.decode()
    assert "Add a member" not in page
    assert "Leave" in page
    assert "Members</a>" in client.get("/studio").content.decode()


def test_an_admin_adds_changes_and_removes_members(
    client: Client, studio: Namespace, ada: User, bob: User
) -> None:
    client.force_login(ada)
    answer = client.post(PAGE, {"user": "BOB", "role": "write"}, follow=True)
    assert "The members are saved." in answer.content.decode()
    client.post(PAGE, {"user": "bob", "role": "read"})
    assert roles(studio) == {"ada": "admin", "bob": "read"}
    for data, expected in (
        ({"user": "eve", "role": "read"}, "There is no user “eve”."),
        ({"user": "bob", "role": "king"}, "Select a valid choice."),
        ({"user": "ada", "role": "read"}, "Make another member an admin first."),
    ):
        answer = client.post(PAGE, data)
        assert answer.status_code == 400
        assert expected in answer.content.decode()
    answer = client.post(f"{PAGE}/members/{bob.pk}/remove", follow=True)
    assert "bob is not a member any more." in answer.content.decode()
    assert client.post(f"{PAGE}/members/{ada.pk}/remove").status_code == 409
    assert roles(studio) == {"ada": "admin"}


def test_a_member_leaves(client: Client, studio: Namespace, ada: User, bob: User) -> None:
    organisations.set_role(actor=ada, organisation=studio, user=bob, role="write")
    client.force_login(bob)
    assert client.post(PAGE, {"user": "bob", "role": "admin"}).status_code == 403
    answer = client.post(f"{PAGE}/members/{bob.pk}/remove", follow=True)
    assert answer.redirect_chain == [("/settings/organisations", 302)]
    assert roles(studio) == {"ada": "admin"}

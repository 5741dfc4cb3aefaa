"""The second factor of administrators, and what needs it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from django.test import Client
from django_otp.oath import TOTP
from django_otp.plugins.otp_static.models import StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from registry.accounts import second_factor, users
from registry.models import Event
from registry.tokens import services as tokens

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.models import User

pytestmark = pytest.mark.django_db
PAGE = "/settings/second-factor"
ADMIN_TOKEN = {"name": "x", "scopes": ["admin"]}


@pytest.fixture
def staff(ada: User) -> User:
    users.set_staff(actor=None, user=ada, is_staff=True)
    ada.refresh_from_db()
    return ada


@pytest.fixture
def required(own_settings: Callable[..., None]) -> None:
    own_settings(staff_totp=True)


def code(user: User, *, steps: int = 0) -> str:
    """Return the code that the app shows, now or some steps later."""
    device = TOTPDevice.objects.get(user=user)
    app = TOTP(device.bin_key, drift=steps)
    app.time = time.time()
    return f"{app.token():06}"


def set_up(client: Client, user: User) -> list[str]:
    """Set it up in a session, and return the recovery codes."""
    client.force_login(user)
    client.get(PAGE)
    return list(client.post(PAGE, {"code": code(user)}).context["codes"])


def test_without_it_staff_can_do_nothing_as_staff(
    client: Client, staff: User, required: None
) -> None:
    client.force_login(staff)
    for path in ("/operator", "/operator/accounts", "/admin/", "/admin/registry/user/"):
        answer = client.get(path)
        assert answer.status_code == 302
        assert answer["Location"] == f"{PAGE}?next={path}"
    assert client.post(f"/operator/accounts/{staff.pk}/export").status_code == 403
    assert client.get("/api/v1/workers").status_code == 403
    client.post("/api/v1/tokens", ADMIN_TOKEN, content_type="application/json")
    assert not staff.access_tokens.exists()
    assert client.get("/settings/tokens").status_code == 200


def test_it_is_set_up_by_a_code_and_opens_the_session(
    client: Client, staff: User, required: None
) -> None:
    client.force_login(staff)
    page = client.get(PAGE).content.decode()
    assert "<svg" in page
    assert "style=" not in page.split("<main")[1]
    assert client.post(PAGE, {"code": "000000"}).status_code == 400
    assert client.get("/operator").status_code == 302
    answer = client.post(PAGE, {"code": code(staff)})
    assert len(answer.context["codes"]) == 10
    assert client.get("/operator").status_code == 200
    assert client.get("/admin/").status_code == 200
    client.post("/api/v1/tokens", ADMIN_TOKEN, content_type="application/json")
    assert staff.access_tokens.get().scopes == ["admin"]
    assert "<svg" not in client.get(PAGE).content.decode().split("<main")[1].split("</main")[0]
    assert Event.objects.filter(verb="second_factor_added", actor=staff).exists()


def test_another_session_gives_a_code_or_a_recovery_code_once(
    client: Client, staff: User, required: None
) -> None:
    [recovery, *_others] = set_up(client, staff)
    other, third = Client(), Client()
    other.force_login(staff)
    third.force_login(staff)
    place = f"{PAGE}?next=/operator/accounts"
    used = code(staff)
    assert other.post(place, {"code": used}).status_code == 400  # used by the first session
    answer = other.post(place, {"code": code(staff, steps=1)})
    assert answer["Location"] == "/operator/accounts"
    assert third.post(f"{PAGE}?next=https://evil.example", {"code": recovery})["Location"] == (
        "/operator"
    )
    assert third.get("/operator").status_code == 200
    fourth = Client()
    fourth.force_login(staff)
    assert fourth.post(PAGE, {"code": recovery}).status_code == 400
    assert third.get(PAGE).context["left"] == 9
    assert third.post(PAGE).context["left"] == 10
    assert Event.objects.filter(verb="recovery_code_used").count() == 1


def test_codes_cannot_be_tried_endlessly(client: Client, staff: User, required: None) -> None:
    set_up(client, staff)
    other = Client()
    other.force_login(staff)
    for _try in range(second_factor.TRIES):
        answer = other.post(PAGE, {"code": "000001"})
    assert "wrong or has already been used" in answer.content.decode() or answer.status_code == 400
    late = other.post(PAGE, {"code": code(staff, steps=1)})
    assert "Too many attempts" in late.content.decode()
    assert other.get("/operator").status_code == 302


def test_an_operator_resets_it(client: Client, staff: User, bob: User, required: None) -> None:
    set_up(client, staff)
    users.set_staff(actor=None, user=bob, is_staff=True)
    second_factor.reset(actor=None, user=staff)
    assert not StaticToken.objects.exists()
    assert client.get("/operator")["Location"] == f"{PAGE}?next=/operator"
    assert "<svg" in client.get(PAGE).content.decode()


def test_it_is_for_staff_and_not_for_programs(client: Client, ada: User, bob: User) -> None:
    client.force_login(bob)
    assert client.get(PAGE).status_code == 404
    users.set_staff(actor=None, user=ada, is_staff=True)
    ada.refresh_from_db()
    _token, secret = tokens.issue(actor=ada, name="t", scopes=["admin"])
    program = Client(headers={"authorization": f"Bearer {secret}"})
    assert program.get("/api/v1/workers").status_code == 200


def test_tokens_of_staff_work_where_it_is_required(staff: User, required: None) -> None:
    _token, secret = tokens.issue(actor=staff, name="t", scopes=["admin"])
    program = Client(headers={"authorization": f"Bearer {secret}"})
    assert program.get("/api/v1/workers").status_code == 200

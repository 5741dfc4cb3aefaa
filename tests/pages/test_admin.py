"""Django's admin: read-only lists of all rows that stay fast, and actions that call services."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from django.apps import apps
from django.db import connection
from django.test.utils import CaptureQueriesContext

from hub.admin import rows, site
from hub.http.middleware import CONTENT_SECURITY_POLICY
from registry.jobs import queue
from registry.models import Adapter, Event, Job, JobState, User
from registry.tokens import services as tokens
from tests import packs
from tests.permissions.requests import address_of, every_route

if TYPE_CHECKING:
    from django.db.models import Model
    from django.test import Client

pytestmark = pytest.mark.django_db
MODELS = [
    model for app in ("registry", "previews") for model in apps.get_app_config(app).get_models()
]


def place(model: type[Model]) -> str:
    return f"/admin/{model._meta.app_label}/{model._meta.model_name}/"


def test_every_model_has_a_list_that_can_be_searched_and_filtered(
    as_operator: Client, ada: User, noir: Adapter
) -> None:
    packs.published(ada, noir)
    tokens.issue(actor=ada, name="t", scopes=["read"])
    index = as_operator.get("/admin/").content.decode()
    assert "Pack aliases" in index
    for model in MODELS:
        plural = str(model._meta.verbose_name_plural)
        assert not re.search(r"(ss|[cs]hs|xs|[^aeiou]ys)$", plural), plural
        path = place(model)
        assert path in index
        assert as_operator.get(path).status_code == 200, path
        assert as_operator.get(f"{path}?q=a").status_code == 200, path
        assert as_operator.get(f"{path}add/").status_code == 403, path
        if row := model._default_manager.first():
            shown = as_operator.get(f"{path}{row.pk}/change/")
            assert shown.status_code == 200, path
            assert 'name="_save"' not in shown.content.decode(), path
            assert as_operator.post(f"{path}{row.pk}/change/", {}).status_code == 403, path
            assert as_operator.post(f"{path}{row.pk}/delete/", {}).status_code == 403, path


def test_no_secret_is_shown(as_operator: Client, ada: User) -> None:
    token, _secret = tokens.issue(actor=ada, name="t", scopes=["read"])
    for row, secret in ((ada, ada.password), (token, token.digest)):
        page = as_operator.get(f"{place(type(row))}{row.pk}/change/").content.decode()
        assert secret not in page
        assert secret[:20] not in page


def test_lists_are_not_filtered_by_what_they_hide(as_operator: Client) -> None:
    for path, column in (
        ("registry/user", "password"), ("otp_totp/totpdevice", "key"), ("previews/tryout", "key"),
        ("registry/accesstoken", "digest"),
    ):  # fmt: skip
        assert as_operator.get(f"/admin/{path}/?{column}__startswith=a").status_code == 400, path
    assert as_operator.get("/admin/registry/user/?username__startswith=a").status_code == 200


def test_lists_read_a_page_in_a_few_queries_whatever_their_length(
    as_operator: Client, ada: User, noir: Adapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(path: str) -> list[str]:
        with CaptureQueriesContext(
            connection,
        ) as found:
            assert as_operator.get(path).status_code == 200
        return [query["sql"] for query in found]

    paths = [place(model) for model in (Event, Adapter, Job)]
    few = {path: asked(path) for path in paths}
    for number in range(12):
        queue.enqueue(queue="checks", task="paint", args={}, key=str(number), owner="ada")
        Event.objects.create(actor=ada, verb="adapter_updated", adapter=noir)
        Adapter.objects.create(namespace=ada.namespace, name=f"a{number}", key=f"a{number}")
    for path, before in few.items():
        after = asked(path)
        assert len(after) <= len(before) + 1, path
        counts = [sql for sql in after if "COUNT(" in sql]
        assert all("LIMIT" in sql for sql in counts), path
    monkeypatch.setattr(rows, "COUNTED", 5)
    assert as_operator.get(place(Event)).context["cl"].result_count == 5


def test_others_find_nothing_there(client: Client, ada: User) -> None:
    for path in ("/admin/", "/admin/registry/user/"):
        assert client.get(path).status_code == 404
    client.force_login(ada)
    for pattern in every_route():
        if pattern.startswith("admin/") and "(?P" not in pattern and "login" not in pattern:
            path = address_of(pattern, {"object_id": ada.pk, "content_type_id": 1})
            assert client.get(path).status_code == 404, path
    assert client.get("/admin")["Location"] == "/admin/"
    assert client.get("/admin/login/?next=/admin/")["Location"] == "/signin?next=/admin/"


def test_its_pages_have_the_policy_of_the_site(as_operator: Client) -> None:
    answer = as_operator.get("/admin/registry/user/")
    assert answer["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
    text = answer.content.decode()
    assert "<style" not in text
    assert " style=" not in text
    assert as_operator.get("/admin/password_change/")["Location"] == "/settings/password"
    assert as_operator.post("/admin/logout/")["Location"] == "/"
    assert as_operator.get("/admin/").status_code == 404


def run(client: Client, model: type[Model], action: str, *rows: Model, **more: str) -> str:
    data = {"action": action, "_selected_action": [str(row.pk) for row in rows], **more}
    text = str(client.post(place(model), data, follow=True).content.decode())
    for row in rows:
        row.refresh_from_db()
    return text


def test_actions_call_the_services(as_operator: Client, ada: User, noir: Adapter) -> None:
    assert "Enter a reason" in run(as_operator, User, "disable", ada)
    assert ada.is_active
    tokens.issue(actor=ada, name="t", scopes=["read"])
    assert "1 row was changed." in run(as_operator, User, "revoke_tokens", ada)
    assert "1 row was changed." in run(as_operator, User, "disable", ada, reason="Spam")
    assert (ada.is_active, ada.disabled_reason) == (False, "Spam")
    run(as_operator, User, "enable", ada)
    assert ada.is_active
    root = User.objects.get(username="rosa")
    assert "Ask another administrator" in run(as_operator, User, "disable", root, reason="x")
    run(as_operator, Adapter, "block", noir, reason="Rights")
    assert noir.blocked_reason == "Rights"
    run(as_operator, Adapter, "lift", noir)
    assert noir.blocked_reason == ""
    actors = Event.objects.filter(verb__in=["account_disabled", "adapter_blocked"])
    assert {event.actor for event in actors} == {root}


def test_jobs_are_cancelled_and_retried(as_operator: Client, noir: Adapter) -> None:
    job = queue.enqueue(queue="checks", task="paint", args={}, key="k")
    assert "cannot be retried" in run(as_operator, Job, "retry", job)
    assert "1 row was changed." in run(as_operator, Job, "cancel", job)
    assert job.state == JobState.CANCELLED


def test_all_models_of_the_hub_are_registered() -> None:
    assert {model for model in MODELS if not site.is_registered(model)} == set()

"""The operator's page of the audit log, and what signing in leaves there."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings
from django.test import override_settings
from django.utils import timezone

from hub.pages.operator import audit
from registry import events
from registry.audit import selectors
from registry.models import Event
from tests.catalogue import PASSWORD

if TYPE_CHECKING:
    from django.test import Client

    from registry.models import User

pytestmark = pytest.mark.django_db


@pytest.fixture
def as_operator(as_ada: Client, ada: User) -> Client:
    ada.is_staff = True
    ada.save()
    return as_ada


def verbs() -> list[tuple[str, str | None, str]]:
    """Return the verbs of events from an address, with account and address."""
    rows = Event.objects.filter(origin__isnull=False).select_related("user", "origin")
    return [
        (row.verb, row.user.username if row.user else None, row.origin.address)
        for row in rows.order_by("pk")
    ]


def ids_on(client: Client, query: str = "") -> list[int]:
    answer = client.get(f"/operator/audit{query}")
    assert answer.status_code == 200
    return [int(text) for text in re.findall(r'id="event-(\d+)"', answer.content.decode())]


def test_signing_in_and_out_is_recorded_with_the_address(client: Client, ada: User) -> None:
    config = dataclasses.replace(settings.LORARY, trust_proxy=True)
    with override_settings(LORARY=config):
        for name, password in (("Ada", "wrong"), ("hunter2", "wrong"), ("ada", PASSWORD)):
            client.post(
                "/signin",
                {"username": name, "password": password},
                headers={"X-Forwarded-For": "203.0.113.1, 192.0.2.7"},
            )
    client.post("/signout")
    assert verbs() == [
        ("sign_in_failed", "ada", "192.0.2.7"),
        ("sign_in_failed", None, "192.0.2.7"),
        ("signed_in", "ada", "192.0.2.7"),
        ("signed_out", "ada", "127.0.0.1"),
    ]
    assert not Event.objects.filter(facts__icontains="hunter2").exists()


def test_a_password_change_and_a_token_are_recorded_with_the_address(
    as_ada: Client, ada: User
) -> None:
    as_ada.post("/settings/tokens", {"name": "laptop", "scopes": ["read"], "days": "30"})
    fields = {"old_password": PASSWORD, "new_password1": "another horse 8"}
    fields |= {"new_password2": "another horse 8", "revokes_tokens": "on"}
    as_ada.post("/settings/password", fields)
    found = [verb for verb, _user, _address in verbs()]
    assert found == ["token_issued", "tokens_revoked", "password_changed"]
    assert {user for _verb, user, _address in verbs()} == {ada.username}


def test_the_newest_events_come_first_in_pages(
    as_operator: Client, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "LIMIT", 2)
    ids = [events.record(actor=ada, verb="signed_in", about=ada).pk for _number in range(3)]
    assert ids_on(as_operator, "?verb=signed_in&actor=ada")[:2] == ids[:0:-1]
    page = as_operator.get("/operator/audit?verb=signed_in&actor=ada").content.decode()
    older = re.search(r'rel="next" href="([^"]+)"', page)
    assert older is not None
    assert older[1] == f"?actor=ada&amp;verb=signed_in&amp;before={ids[1]}"
    assert ids_on(as_operator, older[1].replace("&amp;", "&"))[0] == ids[0]


def test_a_search_that_takes_long_says_how_far_it_got(
    as_operator: Client, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _number in range(3):
        events.record(actor=ada, verb="signed_in", about=ada)
    monkeypatch.setattr(selectors, "SEARCH_S", -1)
    monkeypatch.setattr(selectors, "SPAN", 1)
    page = as_operator.get("/operator/audit?verb=store_moved&actor=ada").content.decode()
    further = re.search(r'href="([^"]+before=\d+)"', page)
    assert further is not None
    assert f"Searched back to {timezone.now():%Y-%m-%d}" in page
    assert "No event matches" not in page
    monkeypatch.undo()
    rest = further[1].replace("&amp;", "&")
    page = as_operator.get(f"/operator/audit{rest}").content.decode()
    assert "No event matches these filters." in page


def test_filters_that_match_nothing_or_are_wrong_say_so(as_operator: Client) -> None:
    answer = as_operator.get("/operator/audit?verb=store_moved")
    assert "No event matches these filters." in answer.content.decode()
    for query, text in (
        ("actor=nobody", "There is no account “nobody”."),
        ("since=yesterday", "Enter a valid date."),
        ("verb=stolen", "Select a valid choice."),
        ("object=user:nobody", "There is no account “nobody”."),
    ):
        answer = as_operator.get(f"/operator/audit?{query}")
        assert (answer.status_code, text in answer.content.decode()) == (400, True), query
        assert as_operator.get(f"/operator/audit/export.csv?{query}").status_code in {400, 422}
    assert ids_on(as_operator, "?since=0001-01-01&until=9999-12-31")
    assert ids_on(as_operator, "?since=9999-12-31") == ids_on(as_operator, "?until=0001-01-01")
    assert as_operator.get("/operator/audit?before=x").status_code == 200


def test_an_export_has_what_the_page_shows_and_is_recorded(as_operator: Client, ada: User) -> None:
    facts: dict[str, Any] = {
        "after": {"visibility": "private"},
        "fields": ["title", "tags"],
        "quota": None,
    }
    one = events.record(actor=ada, verb="user_created", about=ada, subject="<b>", **facts)
    assert ids_on(as_operator, "?verb=user_created")[0] == one.pk
    page = as_operator.get("/operator/audit").content.decode()
    for text in ("&lt;b&gt;", "after: visibility private", "fields: title, tags", "quota: –"):
        assert text in page
    answer = as_operator.get("/operator/audit/export.jsonl?verb=user_created")
    lines = [json.loads(line) for line in answer.getvalue().decode().splitlines()]
    assert lines[-1]["id"] == one.pk
    assert (lines[-1]["actor"], lines[-1]["object"]) == ("ada", "user:ada")
    answer = as_operator.get("/operator/audit/export.csv?verb=user_created")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert re.fullmatch(
        r'attachment; filename="audit-\d{8}T\d{6}Z\.csv"', answer.headers["Content-Disposition"]
    )
    rows = list(csv.DictReader(answer.getvalue().decode().splitlines()))
    assert [int(row["id"]) for row in rows] == [line["id"] for line in lines]
    exported = Event.objects.filter(verb="audit_exported").order_by("pk")
    assert [(row.actor, row.subject, row.facts) for row in exported] == [
        (ada, "jsonl", {"filters": {"verb": "user_created"}}),
        (ada, "csv", {"filters": {"verb": "user_created"}}),
    ]
    assert as_operator.get("/operator/audit/export.pdf").status_code == 404


def test_only_administrators_see_the_log(as_ada: Client, client: Client) -> None:
    for path in ("/operator/audit", "/operator/audit/export.csv"):
        assert as_ada.get(path).status_code == 404
        assert client.get(path).status_code == 404

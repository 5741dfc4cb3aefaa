"""Error pages, and addresses that no owner may take."""

from __future__ import annotations

import dataclasses
import logging
import sqlite3
from typing import TYPE_CHECKING

import pytest
from django.db import OperationalError, connection
from django.template.loader import render_to_string
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, URLResolver

from hub import urls
from hub.pages.errors import refuse, server_error_page
from hub.settings.base import drop_traceback
from registry.errors import Conflict, Gone, RateLimited
from registry.names import RESERVED_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_django import Settings

    from registry.models import User


@pytest.mark.django_db
def test_an_address_that_nobody_has_gets_a_page(client: Client) -> None:
    for address in ("/nobody", "/nobody/nothing", "/a/b/c/d/e", "/media/images/x.png"):
        answer = client.get(address)
        assert answer.status_code == 404
        assert "Page not found" in answer.content.decode()


@pytest.mark.django_db
def test_a_page_that_is_not_for_everybody_is_said_to_be_absent_in_sentences(client: Client) -> None:
    page = client.get("/operator").content.decode()
    assert "There is nothing at this address." in page


@pytest.mark.django_db
def test_markup_in_an_address_is_text(client: Client) -> None:
    answer = client.get("/%3Cscript%3Ealert(1)%3C/script%3E/x")
    assert "<script>alert" not in answer.content.decode()


ADDRESSES = [
    ("/a%00b", 404),
    ("/a/%00", 404),
    ("/a%1b/b", 404),
    ("/a/b%C2%85/previews", 404),
    ("/ada/noir/versions/v%00/edit", 404),
    ("/browse?q=%00", 400),
    ("/browse?tag=a%00b", 400),
    ("/browse?owner=%7F", 400),
    ("/ada/noir?v=%00", 400),
    ("/publish?to=a/%00", 400),
    ("/?q=%08", 400),
]


@pytest.mark.django_db
def test_what_nobody_can_type_is_refused_before_the_database_sees_it(
    client: Client, ada: User, subtests: pytest.Subtests
) -> None:
    for address, status in ADDRESSES:
        with subtests.test(address=address, status=status):
            client.force_login(ada)
            with CaptureQueriesContext(connection) as asked:
                answer = client.get(address)
            assert answer.status_code == status
            page = answer.content.decode()
            assert "nothing at this address" in page if status == 404 else "invisible" in page
            assert len(asked) <= 2  # the session and its user


@pytest.mark.django_db
def test_what_separates_pasted_words_is_no_fault(client: Client) -> None:
    assert client.get("/browse?q=hard%09noir%0A").status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize("host", ["evil.example", "localhost:x", "[::1", ""])
def test_a_host_that_is_not_this_one_is_refused_in_a_line_of_the_log(
    client: Client, host: str, capsys: pytest.CaptureFixture[str]
) -> None:
    console = logging.StreamHandler()
    console.addFilter(drop_traceback)
    log = logging.getLogger("django.security.DisallowedHost")
    log.addHandler(console)
    try:
        answers = [client.get(path, headers={"Host": host}) for path in ("/", "/api/models")]
    finally:
        log.removeHandler(console)
    assert [answer.status_code for answer in answers] == [400, 400]
    assert all("LORARY_ALLOWED_HOSTS" in answer.content.decode() for answer in answers)
    assert "Bad request" in answers[0].content.decode()
    assert answers[1].headers["Content-Type"] == "application/problem+json"
    assert answers[1].json()["code"] == "malformed_request"
    said = capsys.readouterr().err
    assert "HTTP_HOST" in said
    assert " ALLOWED_HOSTS" not in said
    assert "Traceback" not in said


@pytest.mark.django_db
def test_a_program_is_not_sent_to_the_form(client: Client) -> None:
    answer = client.get("/publish", headers={"Authorization": "Bearer lor_nonsense"})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="lorary"'


@pytest.mark.django_db
def test_a_form_without_its_token_says_what_to_do(ada: User) -> None:
    strict = Client(enforce_csrf_checks=True)
    answer = strict.post("/signin", {"username": "ada", "password": "x"})
    assert answer.status_code == 403
    assert "Submit the form again" in answer.content.decode()


def test_the_page_of_a_crash_needs_no_request_and_no_database() -> None:
    page = render_to_string("500.html")
    assert "Something went wrong" in page
    assert "Sign in" in page


@pytest.mark.parametrize(
    ("message", "code", "status"),
    [
        ("no such table: registry_adapter", sqlite3.SQLITE_ERROR, 500),
        ("database is locked", sqlite3.SQLITE_BUSY, 503),
        ("database or disk is full", sqlite3.SQLITE_FULL, 507),
    ],
)
def test_only_a_database_that_is_away_or_full_has_a_page_of_its_own(
    message: str, code: int, status: int, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "off.toml").touch()
    settings.LORARY = dataclasses.replace(settings.LORARY, bases=tmp_path / "off.toml")
    cause = sqlite3.OperationalError(message)
    cause.sqlite_errorcode = code

    def ask() -> None:
        raise OperationalError(message) from cause

    try:
        ask()
    except OperationalError:  # reads no database: this test has none
        answer = server_error_page(RequestFactory().get("/"))
    assert answer.status_code == status


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (Gone("Rights of the photographer"), 410, "Rights of the photographer"),
        (Conflict("Two at once"), 409, "Two at once"),
        (RateLimited("Slow down"), 429, "Slow down"),
    ],
)
def test_refusals_have_the_status_and_the_words_of_the_api(
    error: Conflict, status: int, sentence: str
) -> None:
    answer = refuse(RequestFactory().get("/x"), error)
    assert answer.status_code == status
    assert sentence in answer.getvalue().decode()


def test_no_owner_can_take_the_address_of_a_page() -> None:
    firsts = {_first(path) for path in _paths(urls.urlpatterns)} - {""}
    assert {"api", "browse", "healthz", "media", "publish", "settings"} <= firsts
    assert firsts <= RESERVED_NAMES


def _paths(patterns: list[URLPattern | URLResolver], before: str = "") -> Iterator[str]:
    for pattern in patterns:
        here = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _paths(pattern.url_patterns, here)
        else:
            yield here


def _first(path: str) -> str:
    """Return the fixed first segment of a path, empty where it is an owner."""
    first = path.partition("/")[0]
    return "" if first.startswith(("<", ".")) else first  # no name begins with a dot


@pytest.mark.parametrize(
    ("short", "whole"), [("/api", "/api/docs"), ("/settings", "/settings/tokens")]
)
def test_short_addresses_lead_on(client: Client, short: str, whole: str) -> None:
    assert client.get(short).headers["Location"] == whole

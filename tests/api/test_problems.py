"""Errors: every code has a status and a line in the documentation; nothing leaks."""

from __future__ import annotations

import errno
import re
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg.errors
import pytest
from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.db import DatabaseError, OperationalError, connection, transaction
from django.http import Http404
from django.http.multipartparser import MultiPartParserError
from rest_framework import exceptions as drf

from hub.api.docs import codes
from hub.http.problems import problem_of, status_of
from registry import errors
from registry.adapters import selectors as adapter_selectors
from registry.models import Tag

if TYPE_CHECKING:
    from tests.api.conftest import Caller

ROOT = Path(__file__).parents[2]


def kinds(base: type[errors.LoraryError] = errors.LoraryError) -> list[type[errors.LoraryError]]:
    return [base, *(found for kind in base.__subclasses__() for found in kinds(kind))]


def test_every_code_is_its_own() -> None:
    slugs = [kind.code for kind in kinds()]
    assert len(set(slugs)) == len(slugs)


@pytest.mark.parametrize("kind", kinds())
def test_every_refusal_has_a_status(kind: type[errors.LoraryError]) -> None:
    assert 300 <= status_of(kind()) <= 599


def test_every_code_is_documented_with_its_status() -> None:
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([a-z_]+)` \| ([0-9]{3}) \|", text, re.MULTILINE))
    assert rows == {code: str(status) for code, (status, _title) in codes().items()}
    assert set(codes()) >= {kind.code for kind in kinds()} - {"error"}


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Http404(), 404, "not_found"),
        (PermissionDenied(), 403, "forbidden"),
        (SuspiciousOperation("x"), 400, "malformed_request"),
        (BadRequest("x"), 400, "malformed_request"),
        (MultiPartParserError("x"), 400, "malformed_request"),
        (OperationalError("database is locked"), 503, "unavailable"),
        (drf.NotAuthenticated(), 401, "not_authenticated"),
        (drf.PermissionDenied(), 403, "forbidden"),
        (drf.NotFound(), 404, "not_found"),
        (drf.ParseError(), 400, "malformed_request"),
        (drf.MethodNotAllowed("PUT"), 405, "method_not_allowed"),
        (drf.UnsupportedMediaType("a/b"), 415, "unsupported_media_type"),
        (drf.Throttled(3), 429, "rate_limited"),
        (drf.ValidationError({"a": ["b"]}), 400, "validation_failed"),
        (drf.APIException(), 500, "internal_error"),
        (ValueError("secret"), 500, "internal_error"),
    ],
)
def test_an_exception_becomes_a_problem(error: Exception, status: int, code: str) -> None:
    problem = problem_of(error)
    assert (problem.status, problem.code) == (status, code)
    assert "secret" not in str(problem.document())
    assert problem.detail


def of_sqlite(code: int) -> OperationalError:
    cause = sqlite3.OperationalError("database or disk is full")
    cause.sqlite_errorcode = code
    error = OperationalError(*cause.args)
    error.__cause__ = cause
    return error


def of_postgres(cause: Exception) -> OperationalError:
    error = OperationalError(str(cause))
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device", "/data/locks/ab"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        of_sqlite(sqlite3.SQLITE_FULL),
        of_postgres(psycopg.errors.DiskFull()),
    ],
)
def test_a_full_disk_is_told_wherever_it_shows(error: Exception) -> None:
    problem = problem_of(error)
    assert (problem.status, problem.code) == (507, "storage_full")
    assert "/data" not in problem.detail


def test_other_troubles_of_disk_and_database_are_no_full_disk() -> None:
    assert problem_of(OSError(errno.EIO, "Input/output error")).status == 500
    assert problem_of(of_sqlite(sqlite3.SQLITE_BUSY)).status == 503


@pytest.mark.parametrize(
    ("error", "has_traceback"),
    [
        (of_postgres(psycopg.OperationalError("connection refused")), False),
        (of_postgres(psycopg.errors.AdminShutdown()), False),
        (of_postgres(psycopg.errors.TooManyConnections()), False),
        (of_sqlite(sqlite3.SQLITE_CANTOPEN), False),
        (of_sqlite(sqlite3.SQLITE_BUSY_SNAPSHOT), True),
        (of_postgres(psycopg.errors.DeadlockDetected()), True),
        (of_postgres(psycopg.errors.QueryCanceled()), True),
    ],
)
def test_a_database_that_is_away_is_logged_once(
    error: Exception, has_traceback: bool, caplog: pytest.LogCaptureFixture
) -> None:
    assert problem_of(error).status == 503
    (record,) = caplog.records
    assert record.getMessage().startswith("the database refused")
    assert bool(record.exc_info) is has_traceback


@pytest.mark.django_db
@pytest.mark.parametrize(
    "sql", ["SELECT 1 FROM absent", "SELECT absent FROM registry_tag", "SELEC 1"]
)
def test_wrong_sql_is_an_unexpected_error(sql: str, caplog: pytest.LogCaptureFixture) -> None:
    with (
        pytest.raises(DatabaseError) as caught,
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(sql)
    assert problem_of(caught.value).status == 500
    assert caplog.records[0].exc_info


def test_facts_never_overwrite_what_every_problem_says() -> None:
    told = problem_of(errors.Conflict("no", status="x", code="y", state="draft")).document("/d")
    assert (told["status"], told["code"], told["state"]) == (409, "conflict", "draft")
    assert told["type"] == "/d#conflict"


def test_nested_faults_are_named_by_their_place() -> None:
    detail: Any = {"words": {1: ["too long"]}, "non_field_errors": ["no"]}
    told = problem_of(drf.ValidationError(detail)).document()
    assert told["fields"] == {"words.1": ["too long"], "": ["no"]}
    assert told["detail"] == "words, item 2: too long no"


@pytest.mark.django_db
def test_a_surprise_is_logged_under_the_number_that_is_told(
    stranger: Caller, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_args: object, **_kwargs: object) -> None:
        msg = "secret of the house"
        raise ZeroDivisionError(msg)

    monkeypatch.setattr(adapter_selectors, "search", broken)
    answer = stranger.send("get", "adapters")
    told = answer.json()
    assert (answer.status_code, told["code"]) == (500, "internal_error")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert "secret" not in answer.content.decode()
    assert told["id"] in caplog.text
    assert "secret of the house" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_what_was_begun_before_a_refusal_is_rolled_back(
    stranger: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half_done(*_args: object, **_kwargs: object) -> None:
        with transaction.atomic():
            Tag.objects.create(name="half")
            raise errors.Conflict

    monkeypatch.setattr(adapter_selectors, "search", half_done)
    assert stranger.send("get", "adapters").status_code == 409
    assert not Tag.objects.exists()


METHODS = [
    ("get", "nowhere", 404, "not_found"),
    ("post", "nowhere/else", 404, "not_found"),
    ("get", "uploads/not-a-uuid", 404, "not_found"),
    ("get", "renders/x", 404, "not_found"),
    ("get", "adapters/", 404, "not_found"),
    ("delete", "adapters", 401, "not_authenticated"),
    ("get", "inspect", 405, "method_not_allowed"),
    ("options", "adapters", 405, "method_not_allowed"),
    ("get", "adapters/ada/noir", 404, "not_found"),
    ("get", "adapters/ada/no%00ir", 404, "not_found"),
    ("get", "adapters/%FF%FE/noir", 404, "not_found"),
    ("get", "renders/999999999999999999999999999999", 404, "not_found"),
    ("get", "adapters/" + "x" * 3000 + "/" + "y" * 3000, 404, "not_found"),
    ("get", "adapters/..%2F..%2Fetc/passwd", 400, "malformed_request"),
]


@pytest.mark.django_db
def test_an_address_that_is_wrong_answers_with_a_problem(
    stranger: Caller, subtests: pytest.Subtests
) -> None:
    for method, path, status, code in METHODS:
        with subtests.test(method=method, path=path, status=status, code=code):
            answer = stranger.send(method, path)
            assert answer.status_code == status
            if code is not None:
                assert answer.headers["Content-Type"] == "application/problem+json"
                assert answer.json()["code"] == code
                assert answer.json()["type"] == f"http://testserver/api/docs#{code}"


@pytest.mark.django_db
def test_a_method_that_is_not_known_names_those_that_are(as_ada: Caller) -> None:
    answer = as_ada.send("delete", "adapters")
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert answer.headers["Allow"] == "GET, HEAD, POST"


@pytest.mark.django_db
def test_answers_are_json_whatever_a_browser_accepts(stranger: Caller) -> None:
    answer = stranger.send("get", "adapters", headers={"Accept": "text/html, image/png"})
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")

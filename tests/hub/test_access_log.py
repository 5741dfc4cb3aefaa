"""The line that a request leaves in the log, its id, and what no line says."""

from __future__ import annotations

import json
import logging
import re
import sys
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import Client, RequestFactory

from hub.monitoring.access_log import AccessMiddleware
from hub.monitoring.log_formats import JsonFormatter, TextFormatter, without_secrets
from registry import log_context
from registry.jobs import queue, worker_process
from registry.log_context import LogContext
from registry.models import Job, User

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.http.response import HttpResponseBase

pytestmark = pytest.mark.django_db

LOGGER = "lorary.access"


def facts_in(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [record.facts for record in caplog.records if record.name == LOGGER]  # type: ignore[attr-defined]  # extra


def through(respond: Callable[[HttpRequest], HttpResponseBase], **meta: Any) -> HttpResponseBase:
    """Return the answer of a view with nothing but the outermost middleware."""
    return AccessMiddleware(respond)(RequestFactory().get("/some/path", **meta))


@pytest.fixture(autouse=True)
def _access(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, LOGGER)


def test_a_request_is_logged_once_with_its_user_and_route(
    client: Client, ada: User, caplog: pytest.LogCaptureFixture
) -> None:
    client.force_login(ada)
    answer = client.get("/browse", {"q": "noir"})
    (facts,) = facts_in(caplog)
    assert facts.pop("seconds") > 0
    assert facts == {
        "method": "GET", "path": "/browse", "route": "browse", "status": 200, "user": "ada",
        "bytes": len(answer.content), "address": "127.0.0.1",
    }  # fmt: skip


def test_health_checks_are_not_logged_at_info(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    client.get("/healthz/live")
    assert facts_in(caplog) == []
    caplog.set_level(logging.DEBUG, LOGGER)
    client.get("/healthz/live")
    assert facts_in(caplog)[0]["route"] == "/healthz/live"


def test_a_streamed_answer_is_logged_at_its_end(caplog: pytest.LogCaptureFixture) -> None:
    def respond(_request: HttpRequest) -> HttpResponseBase:
        return StreamingHttpResponse([b"one", b"two"], headers={"Content-Length": "6"})

    response = through(respond)
    assert facts_in(caplog) == []
    assert log_context.request_id() == response.headers["X-Request-Id"], "while it is sent"
    response.close()
    assert facts_in(caplog)[0]["bytes"] == 6
    assert log_context.request_id() == ""


def test_a_client_that_goes_away_is_told_apart(caplog: pytest.LogCaptureFixture) -> None:
    response = through(lambda _request: HttpResponse(b"x"))
    try:
        raise ConnectionResetError  # noqa: TRY301 - as a server closes: in a ``finally``
    except ConnectionResetError:
        response.close()
    assert facts_in(caplog)[0]["is_aborted"]


@pytest.mark.parametrize(
    ("hops", "given", "is_kept"),
    [
        (0, "edge-1.a_B", False),
        (1, "edge-1.a_B", True),
        (1, "x" * 64, True),
        (1, "x" * 65, False),
        (1, "two words", False),
        (1, "line\nbreak", False),
        (1, "ends\n", False),
        (1, "ü", False),
    ],
)
def test_an_id_is_taken_only_from_a_trusted_proxy_and_if_it_is_sane(
    own_settings: Callable[..., None], hops: int, given: str, is_kept: bool
) -> None:
    own_settings(trust_proxy=hops)
    response = through(lambda _request: HttpResponse(), HTTP_X_REQUEST_ID=given)
    said = response.headers["X-Request-Id"]
    assert (said == given) == is_kept
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", said)


@pytest.mark.parametrize(
    ("hops", "address"),
    [(0, "10.0.0.1"), (1, "10.0.0.2"), (2, "192.0.2.9"), (3, "203.0.113.1"), (4, "203.0.113.1")],
)
def test_the_address_is_that_which_the_outermost_trusted_proxy_saw(
    own_settings: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
    hops: int,
    address: str,
) -> None:
    own_settings(trust_proxy=hops)
    forwarded = "203.0.113.1, 192.0.2.9,10.0.0.2"
    meta = {"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": forwarded}
    through(lambda _request: HttpResponse(), **meta).close()
    assert facts_in(caplog)[0]["address"] == address


def test_errors_show_the_id_on_pages_and_in_documents(client: Client) -> None:
    page = client.get("/nobody/nothing")
    assert page.status_code == 404
    assert page.headers["X-Request-Id"] in page.content.decode()
    problem = client.get("/api/v1/adapters/nobody/nothing")
    assert problem.json()["request_id"] == problem.headers["X-Request-Id"]
    refused = client.get("/api/v1/%2e%2e/x")
    assert refused.json()["request_id"] == refused.headers["X-Request-Id"]


def test_an_unexpected_error_has_the_id_on_its_page_and_in_the_log(
    client: Client, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("hub.pages.errors._count", fail)
    client.raise_request_exception = False
    page = client.get("/browse")
    assert page.status_code == 500
    assert page.headers["X-Request-Id"] in page.content.decode()
    assert facts_in(caplog)[0]["status"] == 500


def test_jobs_have_the_id_of_their_request_and_pass_it_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[LogContext] = []

    def run(_run: queue.JobRun) -> None:
        seen.append(log_context.current())
        queue.enqueue(queue="test", task="second", args={}, key="second")

    monkeypatch.setitem(queue._HANDLERS, "first", queue.Handler(run))
    with log_context.within(LogContext("abc")):
        first = queue.enqueue(queue="test", task="first", args={}, key="first")
    worker_process.drain("test")
    assert [(one.request_id, one.job_id) for one in seen] == [("abc", first.pk)]
    assert Job.objects.get(key="second").request_id == "abc"
    assert log_context.request_id() == ""
    assert queue.enqueue(queue="test", task="third", args={}, key="third").request_id == ""


def test_a_job_has_the_id_of_the_answer() -> None:
    def respond(_request: HttpRequest) -> HttpResponseBase:
        queue.enqueue(queue="test", task="first", args={}, key="first")
        return HttpResponse()

    response = through(respond)
    assert Job.objects.get(key="first").request_id == response.headers["X-Request-Id"]


@pytest.fixture
def record() -> Iterator[logging.LogRecord]:
    with log_context.within(LogContext("abc", 7)):
        try:
            int("https://ada:hunter22@host/x?X-Amz-Signature=f00dcafe&a=1")
        except ValueError:
            yield logging.LogRecord(
                "hub", logging.ERROR, "x.py", 1, "refused %s", ("lor_0123456789abcdef",),
                sys.exc_info(),
            )  # fmt: skip


def test_lines_are_json_with_request_job_and_traceback(record: logging.LogRecord) -> None:
    record.facts = {"route": "browse"}
    line = JsonFormatter().format(record)
    assert "\n" not in line
    entry = json.loads(line)
    assert (entry["request_id"], entry["job"], entry["route"]) == ("abc", 7, "browse")
    assert entry["message"] == "refused lor_…"
    assert "https://ada:…@host/x?X-Amz-Signature=…&a=1" in entry["traceback"]


def test_lines_of_text_have_the_same(record: logging.LogRecord) -> None:
    first, *traceback = TextFormatter().format(record).splitlines()
    assert first.endswith(" ERROR hub: refused lor_… request_id=abc job=7")
    assert "hunter22" not in "".join(traceback)


@pytest.mark.parametrize(
    "secret",
    [
        "GET /x?token=lor_abcdefgh12345678 HTTP/1.1",
        "GET /media/images/7.png?key=lor_abcdefgh12345678",
        "Authorization: Bearer lor_abcdefgh12345678",
        "postgres://lorary:lor_abcdefgh12345678@db/lorary",
        "redis://:lor_abcdefgh12345678@cache/0",
        "s3?a=b&X-Amz-Signature=lor_abcdefgh12345678&X-Amz-Date=2026",
    ],
)
def test_secrets_are_replaced(secret: str) -> None:
    assert "abcdefgh12345678" not in without_secrets(secret)
    assert "…" in without_secrets(secret)


def test_lines_without_secrets_stay_as_they_are() -> None:
    for line in ("GET /browse 200", "http://127.0.0.1:8000/x?q=noir&sort=new", "lor_", "key=1"):
        assert without_secrets(line) == line


@pytest.mark.parametrize(
    "path",
    [
        "/ada/noir.git/info/lfs/objects/SECRETLINK",
        "/ad%C3%A4/noir.git/info/lfs/objects/SECRETLINK",
        "/api/download/files/SECRETLINK/noir.safetensors",
        "/api/v1/adapters?token=SECRETLINK",
    ],
)
def test_links_that_are_permissions_are_in_no_line(
    client: Client, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    assert client.put(path).status_code >= 400
    assert facts_in(caplog)[0]["path"].startswith("/a")
    text = "\n".join(TextFormatter().format(one) for one in caplog.records)
    assert "SECRETLINK" not in text


def test_a_failed_csrf_check_logs_no_key_of_a_tryout(caplog: pytest.LogCaptureFixture) -> None:
    key = "12345678-1234-4234-8234-123456789abc"
    client = Client(enforce_csrf_checks=True)
    assert client.post(f"/mixer/{key}/share").status_code == 403
    record = next(one for one in caplog.records if one.name == "django.security.csrf")
    for name in settings.LOGGING["handlers"]["console"]["filters"]:
        settings.LOGGING["filters"][name]["callback"](record)
    assert key not in TextFormatter().format(record)


def test_a_path_cannot_forge_a_line(caplog: pytest.LogCaptureFixture) -> None:
    response = AccessMiddleware(lambda _request: HttpResponse())(
        RequestFactory().get("/x%0A2026-01-01 INFO hub: forged user=root")
    )
    response.close()
    (line,) = TextFormatter().format(caplog.records[-1]).splitlines()
    assert "/x%0A2026-01-01%20INFO" in line

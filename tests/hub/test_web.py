"""What every answer of the hub has in common."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from django.http import HttpRequest, HttpResponse
from gunicorn.config import Config

from hub.http.middleware import CONTENT_SECURITY_POLICY, HeadMiddleware, SecurityHeadersMiddleware
from hub.operations import supervisor
from tests.running import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from django.test import Client, RequestFactory


@pytest.mark.django_db
def test_answers_carry_a_policy_without_inline_code(client: Client) -> None:
    headers = client.get("/signin").headers
    policy = headers["Content-Security-Policy"]
    assert policy == CONTENT_SECURITY_POLICY
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"]


def test_an_answer_may_set_a_stricter_policy_itself(rf: RequestFactory) -> None:
    def view(_request: HttpRequest) -> HttpResponse:
        return HttpResponse(headers={"Content-Security-Policy": "sandbox"})

    response = SecurityHeadersMiddleware(view)(rf.get("/"))
    assert response.headers["Content-Security-Policy"] == "sandbox"


def test_no_header_says_what_part_of_the_address_is_the_site() -> None:
    command = supervisor.web("127.0.0.1", 8000, 1).command
    asked = Config().parser().parse_args(command[command.index("gunicorn") + 1 :])
    config = Config()
    config.set("forwarder_headers", asked.forwarder_headers)
    assert config.forwarder_headers == []
    assert config.header_map == "drop"  # what is left of names with “_” in them


def test_an_answer_to_head_has_the_length_of_a_body_and_none(rf: RequestFactory) -> None:
    answered = HeadMiddleware(lambda _request: HttpResponse("words"))
    response = answered(rf.head("/"))
    assert isinstance(response, HttpResponse)
    assert (response.content, response.headers["Content-Length"]) == (b"", "5")
    kept = answered(rf.get("/"))
    assert isinstance(kept, HttpResponse)
    assert kept.content == b"words"


def test_connections_wait_longer_than_clients_keep_them() -> None:
    words = supervisor.web("127.0.0.1", 8000, 1).command
    assert int(words[words.index("--keep-alive") + 1]) > 60


_MOST_FAULTS = """
import resource
import hub.wsgi

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def called(a, b):
    return a

def at_depth(depth):
    if depth:
        return at_depth(depth - 1)
    before = faults()
    for number in range(1000):
        called(number, number)
    return faults() - before

hub.wsgi.answer = lambda environ, start_response: max(map(at_depth, range(400)))
print(hub.wsgi.application({}, None))
"""


def test_a_loop_needs_no_memory_for_each_call_however_deep_it_is(tmp_path: Path) -> None:
    environ = {"PATH": "/usr/bin:/bin", "LORARY_DATA": str(tmp_path)}
    command = [sys.executable, "-c", _MOST_FAULTS]
    result = subprocess.run(
        command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=60
    )
    assert int(result.stdout) < 100, result.stderr

"""Requests that nothing reads: dot segments in addresses, lengths beyond every file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from django.test import Client

    from registry.models import User

pytestmark = pytest.mark.django_db

DOTTED = [
    "/%2e", "/%2e%2E", "/.%2e/api/v1/me", "/ada/%2e%2e", "/ada/noir/%2e%2e/edit",
    "/media/images/%2e%2e/%2e%2e/api/v1/me", "/static/%2e%2e/x", "/help/%2e", "/api/v1/%2e%2e/me",
    "/api/v1/adapters/ada/%2e%2e", "/api/v1/adapters/ada/noir/versions/v1/files/a/%2e%2e/b",
    "/api/v1/adapters/ada/noir/versions/v1/files/%2e%2e%2Fb", "/api/models/ada/%2e%2e",
    "/ada/noir/resolve/main/%2e%2e/x", "/ada/noir/resolve/main/a%2F..%2Fx", "/v1/xorbs/%2e/x",
    "/api/v1/models/%2e", "/api/download/models/%2e%2e", "/healthz/..",
]  # fmt: skip


def test_segments_that_decode_to_dots_are_refused_at_every_address(
    client: Client, subtests: pytest.Subtests
) -> None:
    for path in DOTTED:
        for method in ["GET", "POST", "HEAD"]:
            with subtests.test(path=path, method=method):
                answer = client.generic(method, path)
                assert answer.status_code == 400
                assert answer.headers["Content-Type"] == "application/problem+json"
                if method != "HEAD":
                    assert answer.json()["code"] == "malformed_request"
                    assert 'have a "." or ".." segment' in answer.json()["detail"]


def test_other_dots_are_part_of_a_name(client: Client, subtests: pytest.Subtests) -> None:
    for path in ["/", "/ada", "/ada/.noir", "/ada/a..b", "/ada/noir...", "/...", "/a%252e"]:
        with subtests.test(path=path):
            assert client.get(path).status_code in {200, 404}


PATHS = [
    "/signin", "/api/v1/inspect", "/api/v1/uploads", "/api/repos/create", "/api/v1/models",
    "/ada/noir.git/info/lfs/objects/batch", "/healthz", "/nothing/here",
]  # fmt: skip


def test_lengths_of_more_than_18_digits_are_refused_at_every_address(
    client: Client, subtests: pytest.Subtests
) -> None:
    for digits in ["9" * 19, "0" * 19, "1" * 4000]:
        for path in PATHS:
            with subtests.test(digits=digits, path=path):
                answer = client.generic("POST", path, b"", CONTENT_LENGTH=digits)
                assert answer.status_code == 400
                assert answer.json()["code"] == "malformed_request"
                assert "18 digits" in answer.json()["detail"]
                assert "18 digits" in answer.headers["X-Error-Message"]


def test_a_length_of_18_digits_is_judged_by_the_door(client: Client, ada: User) -> None:
    client.force_login(ada)
    answer = client.generic("POST", "/signin", b"", CONTENT_LENGTH="9" * 18)
    assert answer.status_code in {302, 413}

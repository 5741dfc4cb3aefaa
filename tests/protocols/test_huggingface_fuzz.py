"""Requests that make no sense, at every address of the Hugging Face protocol that is read."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.whole import IS_WHOLE
from tools.fuzz.endpoints.words import ODD_PARTS

if TYPE_CHECKING:
    from django.test import Client

    from registry.models import Adapter

pytestmark = pytest.mark.django_db

PLACES = (
    "/api/models/{}/{}", "/api/models/{}/{}/revision/{}", "/api/models/{}/{}/tree/{}/{}",
    "/api/models/{}/{}/commits/{}", "/api/models/{}/{}/refs", "/api/models/{}/{}/auth-check",
    "/api/models/{}/{}/paths-info/{}", "/api/models", "/api/models/{}", "/{}/{}/resolve/{}/{}",
    "/{}/{}/raw/{}/{}", "/api/whoami-v2", "/api/settings/repositories", "/api/models-tags-by-type",
    "/api/organizations/{}/settings/repositories", "/api/models/{}/{}/{}/{}",
)  # fmt: skip
QUERIES = (
    "limit={}", "cursor={}", "expand={}", "expand[]={}", "filter={}", "filter={}&filter={}",
    "search={}", "author={}", "sort={}", "gated={}", "pipeline_tag={}", "blobs={}", "recursive={}",
    "full={}", "full=true&expand={}", "recursive=true&expand=true&limit={}",
)  # fmt: skip
BODIES = (b"", b"{", b"[]", b'{"paths": [[]]}', b"paths=%FF&paths=a", b"\xff" * 50, b"null")
TYPES = ("application/json", "application/x-www-form-urlencoded", "multipart/form-data", "x", "")
HEADERS: tuple[dict[str, str], ...] = (
    {}, {"Range": "bytes=-0"}, {"Range": "bytes=9-1"}, {"Range": "x"}, {"If-Match": '"x"'},
    {"If-None-Match": "*"}, {"If-Range": "x", "Range": "bytes=1-"}, {"Authorization": "Bearer"},
    {"Authorization": "Basic eDp5"}, {"Authorization": "Bearer \udcff"}, {"Accept": "text/plain"},
)  # fmt: skip
ROUNDS = 700 if IS_WHOLE else 200


def test_nothing_breaks_and_every_refusal_has_words(stranger: Client, noir: Adapter) -> None:
    random = Random(6)
    for _ in range(ROUNDS):
        place, query = random.choice(PLACES), random.choice(QUERIES)
        address = place.format(*(random.choice(ODD_PARTS) for _ in range(place.count("{}"))))
        asked = query.format(*(random.choice(ODD_PARTS) for _ in range(query.count("{}"))))
        method = random.choice(("get", "get", "head", "post", "put", "delete"))
        body = {"data": random.choice(BODIES), "content_type": random.choice(TYPES)}
        more = body if method in {"post", "put", "delete"} else {}
        headers = random.choice(HEADERS)
        call = getattr(stranger, method)
        answer = call(f"{address}?{asked}", headers=headers, **more)
        said = (method, address, asked, more, headers)
        assert answer.status_code < 500, said
        is_ours = answer.headers.get("Content-Type") == "application/json"  # others send problems
        if answer.status_code >= 400 and is_ours:
            assert answer.headers["X-Error-Message"], said
            assert method == "head" or answer.json()["error"], said

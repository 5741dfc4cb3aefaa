"""Broken requests at every address that changes something: refused in words, nothing changed."""

from __future__ import annotations

import base64
import hashlib
import json
import random
from typing import TYPE_CHECKING, Any

import pytest

from registry.models import Adapter, Alias, Event, Revision, Version

if TYPE_CHECKING:
    from django.test import Client

pytestmark = pytest.mark.django_db

NOIR = "/api/models/ada/noir"
SHA = hashlib.sha256(b"abc").hexdigest()
#: Method, address, and a body from which broken ones are made.
CALLS: list[tuple[str, str, Any]] = [
    ("POST", "/api/repos/create", {"name": "noir", "organization": "ada", "type": "model"}),
    ("DELETE", "/api/repos/delete", {"name": "x", "organization": "ada", "type": "model"}),
    ("POST", "/api/repos/move", {"fromRepo": "ada/x", "toRepo": "ada/y", "type": "model"}),
    ("PUT", f"{NOIR}/settings", {"gated": "x", "visibility": "y", "private": "z"}),
    ("POST", f"{NOIR}/tag/nowhere", {"tag": "x", "message": "y"}),
    ("POST", f"{NOIR}/branch/main", {"startingPoint": "main"}),
    ("POST", "/api/validate-yaml", {"content": "---\na: [b\n---\n", "repoType": "model"}),
    ("POST", f"{NOIR}/preupload/main", {"files": [{"path": "a.bin", "size": 3, "sample": "YQ=="}]}),
    ("POST", f"{NOIR}/commit/main", [
        {"key": "header", "value": {"summary": "x", "description": "", "parentCommit": "abcde"}},
        {"key": "file", "value": {"path": "a", "content": base64.b64encode(b"abc").decode()}},
        {"key": "lfsFile", "value": {"path": "b", "algo": "sha256", "oid": SHA, "size": 3}},
        {"key": "deletedFile", "value": {"path": "c"}},
        {"key": "deletedFolder", "value": {"path": "d/"}},
    ]),
    ("POST", "/ada/noir.git/info/lfs/objects/batch",
     {"operation": "download", "transfers": ["basic"], "objects": [{"oid": SHA, "size": 3}]}),
    ("PUT", "/ada/noir.git/info/lfs/objects/x", {}),
    ("POST", "/ada/noir.git/info/lfs/objects/x:y:z", {"oid": SHA, "parts": []}),
]  # fmt: skip

ODD: list[Any] = [
    None, True, False, 0, -1, 2**63, 2**200, 1.5, "", " ", "a", "..", "/", "a/b", "a//b", "main",
    "v1", "\0", "\ud800", "é" * 300, "x" * 70_000, [], [[]], {}, {"a": 1}, [None] * 2000,
    "<script>", "%00", "'; DROP TABLE registry_adapter; --", "../../etc/passwd", "NaN",
]  # fmt: skip


def broken(value: Any, rng: random.Random) -> Any:
    """Return a value with one thing in it changed, left out, doubled or put elsewhere."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        name = rng.choice(list(value))
        changed = {**value, name: broken(value[name], rng)}
        if rng.random() < 0.2:
            del changed[name]
        if rng.random() < 0.1:
            changed[str(rng.choice(ODD))[:50]] = rng.choice(ODD)
        return changed
    if isinstance(value, list) and value and rng.random() < 0.85:
        place = rng.randrange(len(value))
        changed_list = [*value[:place], broken(value[place], rng), *value[place + 1 :]]
        if rng.random() < 0.3:
            rng.shuffle(changed_list)
        return changed_list
    return rng.choice(ODD)


def body_of(path: str, value: Any, rng: random.Random) -> bytes:
    """Return a body, now and then cut, doubled, or with a byte in it changed."""
    if "/commit/" in path and isinstance(value, list):
        body = b"\n".join(json.dumps(one).encode() for one in value)
    else:
        body = json.dumps(value).encode()
    if rng.random() < 0.2 and body:
        place = rng.randrange(len(body))
        body = rng.choice([
            body[:place], body + body[place:], body[:place] + b"\xff" + body[place + 1 :],
            body[:place] + b"\n" + body[place:],
        ])  # fmt: skip
    return body


def state() -> list[Any]:
    """Return what nothing broken may change."""
    return [
        list(Adapter.objects.order_by("pk").values_list("name", "visibility", "withdrawn_reason")),
        list(Alias.objects.order_by("pk").values_list("name", "revision")),
        [kind.objects.count() for kind in (Revision, Version, Event)],
    ]


@pytest.mark.parametrize(("method", "path", "valid"), CALLS, ids=[path for _m, path, _v in CALLS])
def test_broken_requests_are_refused_and_change_nothing(
    as_ada: Client, noir: Adapter, method: str, path: str, valid: Any
) -> None:
    rng = random.Random(path)
    before = state()
    for _try in range(40):
        body = body_of(path, broken(valid, rng), rng)
        answer = as_ada.generic(method, path, body, content_type="application/json")
        assert answer.status_code < 500, (path, body[:500], answer.content)
        if answer.status_code >= 400:
            said = answer.json()
            assert said.get("error") or said.get("errors"), body[:500]
            assert "Traceback" not in answer.content.decode()
    kept = "/settings" in path or "/create" in path or "/commit/" in path
    assert kept or state() == before


@pytest.mark.parametrize(("method", "path", "valid"), CALLS, ids=[path for _m, path, _v in CALLS])
def test_whoever_sends_them_without_a_token_changes_nothing_at_all(
    stranger: Client, noir: Adapter, method: str, path: str, valid: Any
) -> None:
    rng = random.Random(path)
    before = state()
    for value in [valid, *(broken(valid, rng) for _try in range(15))]:
        answer = stranger.generic(method, path, body_of(path, value, rng))
        is_question = path == "/api/validate-yaml"
        assert answer.status_code in ({200, 400} if is_question else {401}), answer.content
    assert state() == before


@pytest.mark.parametrize("charset", ["utf-7", "utf-16", "none-of-them"])
@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "application/json"])
def test_no_character_set_breaks_anything(
    stranger: Client, noir: Adapter, kind: str, charset: str
) -> None:
    said = f"{kind}; charset={charset}"
    for place in ("/api/models?search=%ff", "/api/v1/models?query=%ff"):
        assert stranger.get(place, CONTENT_TYPE=said).status_code in {200, 400}
    answer = stranger.generic("POST", f"{NOIR}/paths-info/main", b"paths=x", content_type=said)
    assert answer.status_code in {200, 400}


def test_a_form_without_a_boundary_is_refused(stranger: Client, noir: Adapter) -> None:
    answer = stranger.generic(
        "POST", f"{NOIR}/paths-info/main", b"x", content_type="multipart/form-data"
    )
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_a_list_is_not_filtered_by_hundreds_of_tags(stranger: Client, noir: Adapter) -> None:
    for count, status in ((32, 200), (33, 400), (2000, 400)):
        tags = ",".join(f"t{n}" for n in range(count))
        assert stranger.get(f"/api/models?filter={tags}").status_code == status
    assert stranger.get(f"/api/models?filter={'film,' * 2000}").json()[0]["id"] == "ada/noir"

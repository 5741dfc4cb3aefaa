"""Broken values and bodies, made of what a client of the Hugging Face protocol would send."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random

#: Address of an adapter that is there.
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

#: Values that hardly any member is meant to have.
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

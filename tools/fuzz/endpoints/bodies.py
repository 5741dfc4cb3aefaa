"""Bodies of requests: what an address is meant to get, that in a broken form, and what fits none.

Needs Django's settings.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from tests.builders import xet
from tools.fuzz.endpoints.addresses import route_of
from tools.fuzz.endpoints.broken import CALLS, SHA, body_of, broken
from tools.fuzz.endpoints.words import BOBS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

    from tools.fuzz.endpoints.words import Known

KINDS = (
    b"application/json", b"application/x-ndjson", b"application/x-www-form-urlencoded",
    b"multipart/form-data", b"multipart/form-data; boundary=x", b"application/octet-stream",
    b"application/json; charset=utf-16", b"text/plain; charset=none-of-them", b"x", b"",
)  # fmt: skip

_MODEL = "api/models/<str:owner>/<str:name>"
_XORB = "xet/<xet-session:session>/v1/xorbs/default/<xet-hash:xorb_hash>"
_SHARD = "xet/<xet-session:session>/v1/shards"
_LINK = "<str:owner>/<str:name>.git/info/lfs/objects/<str:link>"
_MORE: dict[str, tuple[str, Any]] = {
    f"{_MODEL}/paths-info/<path:ref>": (
        "POST",
        {"paths": ["noir.safetensors", "README.md", "sub"], "expand": True},
    ),
    "api/v1/model-versions/by-id": ("POST", [1, 2, 3]),
    "api/v1/model-versions/by-hash": ("POST", [SHA, SHA, SHA]),
    "api/v1/model-versions/by-hash/ids": ("POST", [SHA, SHA]),
}
#: Stands for the digest of what a link of bob's is for.
_OF_LINK = "<digest>"
_HEADER = {"key": "header", "value": {"summary": "x", "description": ""}}
#: Further valid bodies, which do one thing each.
_ALSO: dict[str, tuple[Any, ...]] = {
    f"{_MODEL}/commit/<path:ref>": (
        [_HEADER, {"key": "file", "value": {"path": "README.md", "content": "IyBO"}}],
        [_HEADER, {"key": "file", "value": {"path": "sub/a.txt", "content": "YQ=="}}],
        [_HEADER, {"key": "deletedFile", "value": {"path": "noir.safetensors"}}],
        [_HEADER, {"key": "lfsFile",
                   "value": {"path": "b.txt", "algo": "sha256", "oid": _OF_LINK, "size": 6}}],
        [_HEADER, {"key": "lfsFile", "value": {"path": "c.safetensors", "oid": SHA}}],
    ),
    f"{_MODEL}/settings": ({"private": True}, {"visibility": "public"}, {"gated": "auto"}),
    f"{_MODEL}/branch/<path:ref>": ({}, {"startingPoint": "v1"}),
    f"{_MODEL}/tag/<path:ref>": ({"tag": "one"}, {"tag": "two/three"}),
    f"{_MODEL}/preupload/<path:ref>": ({"files": [{"path": "README.md", "size": 3}]},),
    "api/repos/create": ({"name": "noir"}, {"name": "x", "private": True}),
    "api/validate-yaml": ({"content": "---\ntags: [a]\n---\n"},),
    "<str:owner>/<str:name>.git/info/lfs/objects/batch": (
        {"operation": "upload", "objects": [{"oid": SHA, "size": 3}], "transfers": ["multipart"]},
    ),
}  # fmt: skip
_SENT: dict[str, str] = {_XORB: "POST", _SHARD: "POST", _LINK: "PUT"}
#: Bodies that no address waits for.
_STRAY: tuple[bytes, ...] = (
    b"{", b"[]", b"null", b'{"paths": [[]]}', b"paths=%FF&paths=a", b"\xff" * 50, b"\0" * 512,
    b"[" * 5_000, b'{"a":' * 3_000, b"1e999999", b"-" + b"9" * 6_000, b"\xef\xbb\xbf{}",
    b'{"key": "header"}\n{"key": "file"}\n', b"\xff\xfe{\0}\0", b"paths=a&paths=b&expand=true",
    b"a=b&" * 1_500, b'{"a": 1, "a": 2}', b"NaN", b'{"name": "\\ud800"}',
    b'--x\r\nContent-Disposition: form-data; name="paths"\r\n\r\na\r\n--x--\r\n',
    b'--x\r\nContent-Disposition: form-data; name="f"; filename="\0"\r\n\r\na', b"--x\r\n\r\n",
)  # fmt: skip


@lru_cache(maxsize=1)
def _templates() -> Mapping[str, tuple[str, Any]]:
    """Return address to method and valid body."""
    return {route_of(path.encode()): (method, valid) for method, path, valid in CALLS} | _MORE


def method_of(route: str) -> str:
    """Return the method that an address is meant to be asked with."""
    return _SENT.get(route) or _templates().get(route, ("GET", None))[0]


def body_for(
    route: str, path: str, random: Random, known: Known, *, is_true: bool = False
) -> bytes:
    """Return a body for an address.

    Args:
        route: Of the address.
        path: FuzzRequest for.
        random: Chooses.
        known: What to speak of.
        is_true: Whether it is as it should be; else mostly one thing in it is changed.
    """
    if not is_true and random.random() < 0.2:
        return _stray(random)
    if route in _SENT:
        return _binary(route, path, random, known)
    _method, valid = _templates().get(route, ("", {"name": "noir", "organization": "ada"}))
    if route in _ALSO and random.random() < 0.5:
        valid = random.choice(_ALSO[route])
    value = _valid_body(valid, random, known)
    if is_true:
        return _written(path, value)
    if random.random() < 0.4:
        return body_of(path, value, random) if random.random() < 0.3 else _written(path, value)
    return body_of(path, broken(value, random), random)


def _written(path: str, value: Any) -> bytes:
    if "/commit/" in path and isinstance(value, list):
        return b"\n".join(json.dumps(one).encode() for one in value)
    return json.dumps(value).encode()


def _valid_body(value: Any, random: Random, known: Known) -> Any:
    """Return a valid body with names and ids of the fixtures."""
    if isinstance(value, dict):
        return {name: _valid_body(one, random, known) for name, one in value.items()}
    if isinstance(value, list):
        return [_valid_body(one, random, known) for one in value]
    if value == _OF_LINK and known.links:
        return hashlib.sha256(known.links[0][1]).hexdigest()
    if value == SHA:
        return random.choice([*known.digests, known.private.digest, known.private.digest])
    if value in {"ada/x", "ada/y"}:
        return random.choice([f"ada/{_name(random, known)}", "bob/own8", "bob/own9"])
    if value == "ada":
        return random.choice(["ada", "ada", "bob", "carol"])
    return _name(random, known) if value in {"noir", "x"} else value


def _name(random: Random, known: Known) -> str:
    return random.choice(["noir", "quiet", known.private.name, known.private.name, BOBS[9], "new"])


def _stray(random: Random) -> bytes:
    if random.random() < 0.2:
        return random.randbytes(random.choice((1, 3, 511, 512, 513, 70_000)))
    return random.choice(_STRAY)


def _binary(route: str, path: str, random: Random, known: Known) -> bytes:
    """Return a xorb, a shard or the bytes of a link, now and then with a byte changed, or cut."""
    data = random.randbytes(random.choice((0, 1, 2_000)))
    if route == _XORB:
        lie = random.choice((None, None, None, 0, 5, 2**24 - 1))
        chunks = [xet.chunk(data, random.choice((0, 1, 2, 7)), size=lie)] * random.randrange(1, 4)
        body = b"".join(chunks)
    elif route == _SHARD:
        body = _shard(data, random, known)
    else:
        body = next((data for link, data in known.links if link in path), b"abc")
    if body and random.random() < 0.4:
        place = random.randrange(len(body))
        changed = body[:place] + random.randbytes(1) + body[place + 1 :]
        body = random.choice((changed, body[:place], body + body[:place], b""))
    return body


def _shard(data: bytes, random: Random, known: Known) -> bytes:
    name = random.choice([*known.digests, "0" * 64])
    count = random.choice((None, None, 0, 2**32 - 1))
    end = random.choice((1, 0, 9, 2**32 - 1))
    segments = [(name, len(data), 0, end)] * random.randrange(3)
    records = xet.file_records(
        random.choice((None, known.private.digest, *known.digests)),
        segments,
        is_verified=random.random() < 0.8,
        count=count,
    )
    return xet.shard(
        *[records] * random.randrange(3),
        xorbs=[xet.xorb_records(name, [len(data)])] * random.randrange(2),
        version=random.choice((2, 2, 2, 0, 9)),
        footer=random.choice((0, 0, 200)),
    )

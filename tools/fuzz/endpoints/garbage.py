"""Bytes on a line that are no request, or several, or half of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

_GOOD = b"GET /api/models?limit=1 HTTP/1.1\r\nHost: 127.0.0.1\r\n"
_POST = b"POST /api/models/ada/noir/paths-info/main HTTP/1.1\r\nHost: 127.0.0.1\r\n"
_DELETE = (
    b"DELETE /api/repos/delete HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 40\r\n\r\n"
    b'{"name":"noir","organization":"ada"}\r\n\r\n'
)
_LINES: tuple[bytes, ...] = (
    b"GET", b"GET /", b"GET / HTTP/0.9", b"GET / HTTP/9.9", b"GET / HTTP/1.1 x", b"/ GET HTTP/1.1",
    b"get /api/models HTTP/1.1", b"G\xcbT / HTTP/1.1", b"GET  /  HTTP/1.1", b"GET\t/\tHTTP/1.1",
    b"GET /\xff\xfe HTTP/1.1", b"GET /api/models/\xc3\x28/x HTTP/1.1", b"GET /\0 HTTP/1.1",
    b"GET http://evil.example/api/models HTTP/1.1", b"GET http://[::1/x HTTP/1.1",
    b"CONNECT evil.example:443 HTTP/1.1", b"OPTIONS * HTTP/1.1", b"GET //evil/api/models HTTP/1.1",
    b"GET /api/models?" + b"a" * 9_000 + b" HTTP/1.1", b"A" * 9_000, b"PRI * HTTP/2.0", b"\0" * 64,
    b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2", b"", b" ",
    b"GET /api/v1/models/%00 HTTP/1.1", b"GET /ada/noir/resolve/../../etc HTTP/1.1", b"quit",
    b"GET ../../etc/passwd HTTP/1.1", b"GET ?x HTTP/1.1", b"GET #x HTTP/1.1", b"GET / HTTP/1.1\0",
)  # fmt: skip
_BOMBS: tuple[bytes, ...] = (
    b"".join(b"X-%d: y\r\n" % number for number in range(150)), b"X: " + b"y" * 70_000 + b"\r\n",
    b"X: y\r\n folded\r\n", b"X\0: y\r\n", b"X: \0\r\n", b"no colon\r\n", b": empty\r\n",
    b"X : y\r\n", b"\xff\xfe: y\r\n", b"Host: other\r\n", b"X: y\n\n", b"X: \r\r\n", b"\r \r\n",
    b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"Content-Length: 1\r\n" * 2,
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", b"Upgrade: websocket\r\n",
    b"X_Y: z\r\nX-Y: w\r\n", b"Expect: 200-ok\r\n", b"Authorization: Bearer \x7f\r\n",
)  # fmt: skip


def garbage(random: Random) -> tuple[str, bytes]:
    """Return the name of a kind of garbage, and some of it."""
    name = random.choice(("line", "headers", "bytes", "pipeline", "half", "body", "chunks"))
    return name, {
        "line": _line, "headers": _headers, "bytes": _bytes, "pipeline": _pipeline, "half": _half,
        "body": _short_body, "chunks": _endless_chunk,
    }[name](random)  # fmt: skip


def _line(random: Random) -> bytes:
    return random.choice(_LINES) + b"\r\nHost: 127.0.0.1\r\n\r\n"


def _headers(random: Random) -> bytes:
    return _GOOD + random.choice(_BOMBS) + b"\r\n"


def _bytes(random: Random) -> bytes:
    data = bytearray(_GOOD + b"\r\n")
    for _ in range(random.randrange(1, 9)):
        data[random.randrange(len(data))] = random.randrange(256)
    return random.choice((bytes(data), random.randbytes(random.randrange(1, 3_000))))


def _pipeline(random: Random) -> bytes:
    """Several requests at once; after a broken one the rest may be dropped."""
    some = (_GOOD + b"\r\n", _POST + b"Content-Length: 7\r\n\r\npaths=a", _line(random),
            b"HEAD /ada/noir/resolve/main/noir.safetensors HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
            _DELETE)  # fmt: skip
    return b"".join(random.choices(some, k=random.randrange(2, 6)))


def _half(random: Random) -> bytes:
    whole = _POST + b"Content-Type: application/json\r\nContent-Length: 17\r\n\r\n"
    return whole[: random.randrange(len(whole))]


def _short_body(random: Random) -> bytes:
    place = random.choice((
        b"POST /api/repos/create", b"POST /api/models/ada/noir/commit/main",
        b"POST /xet/x/v1/shards", b"PUT /ada/noir.git/info/lfs/objects/x",
        b"POST /api/v1/model-versions/by-hash",
    ))  # fmt: skip
    head = b" HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n"
    return place + head % random.choice((100, 70_000, 10**12)) + b'{"name": "x'


def _endless_chunk(random: Random) -> bytes:
    size = random.choice((b"ffffffff", b"7fffffffffffffff", b"10", b"0", b"", b"\xff"))
    return _POST + b"Transfer-Encoding: chunked\r\n\r\n" + size + b"\r\npaths=a"

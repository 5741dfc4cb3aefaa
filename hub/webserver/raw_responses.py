"""Answers that the web server's loop gives without a thread."""

from __future__ import annotations

import json
import re

__all__ = ["HEAD_TOO_LONG", "HEAD_TOO_SLOW", "TOO_MANY", "alive", "is_about_life"]

#: Seconds after which a caller who had too many requests may come again.
RETRY_AFTER_S = 10

_LIVE = re.compile(rb"(?:GET|HEAD) /healthz/live[ ?]")


def _answer(status: str, kind: str, document: dict[str, object], *fields: str) -> bytes:
    body = json.dumps(document).encode()
    lines = [
        f"HTTP/1.1 {status}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "Connection: close",
        *fields,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _problem(status: str, code: str, title: str, detail: str, *fields: str) -> bytes:
    standard = {"type": f"/api/docs#{code}", "title": title, "status": int(status[:3])}
    document = {**standard, "detail": detail, "code": code}
    return _answer(status, "application/problem+json", document, *fields)


HEAD_TOO_SLOW = _problem(
    "408 Request Timeout",
    "request_timeout",
    "The request came too slowly",
    "Send the whole head within 5 seconds.",
)
HEAD_TOO_LONG = _problem(
    "431 Request Header Fields Too Large",
    "malformed_request",
    "The request cannot be read",
    "The head has at most 64 KiB.",
)
TOO_MANY = _problem(
    "503 Service Unavailable",
    "unavailable",
    "The server is busy",
    "Too many requests from your address are open. Try again when some of them are finished.",
    f"Retry-After: {RETRY_AFTER_S}",
)

_ALIVE = _answer("200 OK", "application/json", {"status": "ok"})


def is_about_life(head: bytes | bytearray) -> bool:
    """Whether a request only asks whether the process answers."""
    return _LIVE.match(head) is not None


def alive(head: bytes | bytearray) -> bytes:
    """Return that it does, to HEAD without the body."""
    return _ALIVE.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if head[:1] == b"H" else _ALIVE

"""Headers of every answer, and answers without a body."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import connection
from django.http import HttpResponse

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

__all__ = [
    "CONTENT_SECURITY_POLICY",
    "HeadMiddleware",
    "ReleaseMiddleware",
    "SecurityHeadersMiddleware",
]

#: Answers from this length on may take minutes to send. Opening a connection again costs about a
#: millisecond, so shorter ones keep it.
LONG_BYTES = 8 * 2**20

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "media-src 'self'",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


class SecurityHeadersMiddleware:
    """Adds the headers that an answer does not set itself."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Return the answer with headers that keep a browser from running what it should not."""
        response = self.get_response(request)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response


class HeadMiddleware:
    """Answers HEAD with the length of what GET would send, and none of it.

    Views answer both alike; the server would drop the body, and log each as a fault. A 304 has no
    body either, and a length there would be that of a 200 (RFC 9110 §8.6): Django tells 0.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Return the answer, without its body where none is wanted."""
        response = self.get_response(request)
        if response.status_code == 304:
            response.headers.pop("Content-Length", None)
        if request.method == "HEAD" and isinstance(response, HttpResponse) and response.content:
            response.headers.setdefault("Content-Length", str(len(response.content)))
            response.content = b""
        return response


class ReleaseMiddleware:
    """Closes the connection to the database before a long answer is sent.

    A thread has one, and sleeps while a file goes out: PostgreSQL would need a connection for each
    slow reader, SQLite a cache of pages.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Return the answer; nothing after it asks the database."""
        response = self.get_response(request)
        is_long = response.streaming and int(response.get("Content-Length", "0")) >= LONG_BYTES
        if is_long and not connection.in_atomic_block:
            connection.close()
        return response

"""Middleware: headers, what caches may keep, answers without a body, rows flushed to disk.

Views that send public files and pictures set ``Cache-Control`` themselves. Everything else may be
about a private, unlisted or gated adapter or about who is signed in, so no cache stores it: neither
a proxy nor the browser, whose Back button would show it after a sign-out. A few pages show a
stranger only what everybody may find; the browser may keep those, to go back to them at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import connection
from django.http import HttpResponse

from registry.durable import flush

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

#: Nobody stores it.
NEVER = "private, no-store"
#: The stranger's own browser keeps it and asks each time.
CHECKED = "private, no-cache"
#: Everybody stores it, and asks again after an hour: what is withdrawn or made private is then
#: gone from caches, too. They do not serve it when they cannot ask.
FOR_AN_HOUR = "public, max-age=3600, must-revalidate"

#: Names of the pages on which a stranger sees nothing but what is public.
PUBLIC_PAGES = frozenset({"browse", "help", "home", "profile", "use"})


class CacheMiddleware:
    """Sets ``Cache-Control`` where a view did not."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Return the answer with a word on who may keep it."""
        response = self.get_response(request)
        match = request.resolver_match
        is_public = match is not None and match.url_name in PUBLIC_PAGES and _is_stranger(request)
        response.headers.setdefault("Cache-Control", CHECKED if is_public else NEVER)
        return response


def _is_stranger(request: HttpRequest) -> bool:
    """Whether a request comes without anything that could say who asks."""
    has_session = settings.SESSION_COOKIE_NAME in request.COOKIES
    return not has_session and "Authorization" not in request.headers


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


READING = {"GET", "HEAD", "OPTIONS"}


class FlushMiddleware:
    """Flushes SQLite's log once for each request that may have written.

    With ``synchronous=NORMAL`` a commit is in the log and the log in memory of the system, which
    outlives a kill and not a power failure (https://www.sqlite.org/pragma.html#pragma_synchronous).
    One flush before the answer makes every commit up to then last, at the price of one, while
    workers, whose rows are found again, pay nothing. PostgreSQL flushes by itself.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self._named = 0  # the log whose entry in its folder was flushed

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Return the answer once it may be believed."""
        response = self.get_response(request)
        if request.method not in READING and connection.vendor == "sqlite":
            self._flush(Path(f"{connection.settings_dict['NAME']}-wal"))
        return response

    def _flush(self, log: Path) -> None:
        try:
            inode = flush(log)
        except FileNotFoundError:  # all of it is in the database: whoever removed it flushed that
            return
        if inode != self._named:
            flush(log.parent)
            self._named = inode

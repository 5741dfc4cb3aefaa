"""Middleware: caching, compression, security headers, HEAD, connections, flushing SQLite.

Views that send public files and images set ``Cache-Control`` themselves. Other responses may depend
on private, unlisted or gated adapters or on the user, so no cache stores them: neither a proxy nor
the browser, whose Back button would show them after a sign-out. A few pages show anonymous users
only public content; the browser may store those, so that going back is instant.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware
from django.utils.cache import get_conditional_response, patch_vary_headers

from registry.local_files import flush

#: No cache stores the response.
NO_STORE = "private, no-store"
#: The browser stores the response and revalidates it each time.
REVALIDATE = "private, no-cache"
#: Any cache stores the response and revalidates it after an hour, so that withdrawn or private
#: content disappears from caches. Caches that cannot revalidate do not serve it.
FOR_AN_HOUR = "public, max-age=3600, must-revalidate"

#: Browsers keep the response for a year, as its URL names its bytes; shared caches revalidate it
#: after an hour, for the same reason.
FOR_A_YEAR = "public, max-age=31536000, s-maxage=3600, immutable"

#: Names of the pages and lists on which anonymous users see only public content.
PUBLIC_PAGES = frozenset({"api-adapters", "browse", "help", "home", "licences", "profile", "use"})


class CacheMiddleware:
    """Sets ``Cache-Control`` if a view did not, and answers 304 for what a browser has stored.

    The ``ETag`` of a page is the digest of its body, so it changes with the page. This
    saves traffic, not computation.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Return the response with ``Cache-Control``."""
        response = self.get_response(request)
        match = request.resolver_match
        is_public = match is not None and match.url_name in PUBLIC_PAGES and is_anonymous(request)
        response.headers.setdefault("Cache-Control", REVALIDATE if is_public else NO_STORE)
        if response.headers["Cache-Control"].startswith("public"):
            # The same for everyone: a shared cache would store it for each language and cookie.
            response.headers.pop("Vary", None)
        is_read = request.method in {"GET", "HEAD"} and response.status_code == 200
        if is_read and response.headers["Cache-Control"] == REVALIDATE:
            return _with_etag(request, response)
        return response


def _with_etag(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """Return a page with an ETag, or 304. The ETag is weak, because compressed forms share it."""
    if not isinstance(response, HttpResponse):
        return response
    etag = f'W/"{hashlib.sha256(response.content).hexdigest()[:32]}"'
    response.headers["ETag"] = etag
    return get_conditional_response(request, etag=etag, response=response) or response


def is_anonymous(request: HttpRequest) -> bool:
    """Whether a request has neither a session cookie nor an ``Authorization`` header."""
    has_session = settings.SESSION_COOKIE_NAME in request.COOKIES
    return not has_session and "Authorization" not in request.headers


#: Media types that are worth compressing, besides texts and those that end with ``+json`` and
#: ``+xml``. Pictures, weights and archives are already compressed.
COMPRESSIBLE = frozenset({"application/json", "application/xml"})


class CompressionMiddleware(GZipMiddleware):
    """Compresses pages and documents with gzip, if the client accepts it.

    A page of 60 kB takes 0.8 ms of CPU and becomes 7 kB. Brotli would save another 8 % at this
    cost, but Django's class pads each response with up to 100 random bytes, so that its length does
    not reveal a secret in it (BREACH), which Brotli's library does not support. Stored files
    are streamed, and sent as they are: their ranges and their ``ETag`` refer to the stored bytes.
    """

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        """Return the response, compressed if that is useful; its ``ETag`` is then a weak one."""
        if response.status_code == 304 and response.headers.get("ETag", "").startswith("W/"):
            patch_vary_headers(response, ("Accept-Encoding",))  # as the 200 response
        if response.streaming or not _is_compressible(response.headers.get("Content-Type", "")):
            return response
        return super().process_response(request, response)


def _is_compressible(content_type: str) -> bool:
    media_type = content_type.partition(";")[0].strip().lower()
    is_text = media_type.startswith("text/") or media_type.endswith(("+json", "+xml"))
    return is_text or media_type in COMPRESSIBLE


#: Responses of at least this length may take minutes to send. Opening a new connection costs
#: about a millisecond, so shorter responses keep it open.
LONG_BYTES = 8 * 2**20
#: Bodies of at least this length may arrive in several pieces.
BODY_BYTES = 64 * 2**10

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
    """Adds security headers that a response does not set itself."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Return the response with the headers."""
        response = self.get_response(request)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response


class HeadMiddleware:
    """Answers HEAD with the Content-Length of GET and no body.

    Views answer both alike; the server would drop the body, and log each as an error. A 304 has no
    body either, and its Content-Length would be that of a 200 (RFC 9110 §8.6); Django sets 0.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Return the response, without its body for HEAD and 304."""
        response = self.get_response(request)
        if response.status_code == 304:
            response.headers.pop("Content-Length", None)
        if request.method == "HEAD" and isinstance(response, HttpResponse) and response.content:
            response.headers.setdefault("Content-Length", str(len(response.content)))
            response.content = b""
        return response


class _ReleasingBody:
    """A request body, for whose bytes a thread waits without a connection of the pool."""

    def __init__(self, stream: Any) -> None:  # noqa: ANN401 - Django's LimitedStream
        self._stream = stream

    def read(self, *size: int) -> bytes:
        """Return the next bytes."""
        return self._released().read(*size)  # type: ignore[no-any-return]  # see above

    def readline(self, *size: int) -> bytes:
        """Return the next line."""
        return self._released().readline(*size)  # type: ignore[no-any-return]  # see above

    def close(self) -> None:
        """Close the body, as Django does after reading ``request.body``."""
        self._stream.close()

    def _released(self) -> Any:  # noqa: ANN401 - see above
        if connection.connection is not None and not connection.in_atomic_block:
            connection.close()
        return self._stream


class ReleaseMiddleware:
    """Closes the database connection before a long response is sent, or a long body is read.

    Each thread has a connection, and waits while a file is sent: PostgreSQL would need a connection
    for each slow reader, SQLite a page cache. Waiting for a body, it only gives a connection back
    to a pool: others are expensive to open again.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Return the response; nothing uses the database after it."""
        if connection.settings_dict["OPTIONS"].get("pool") and _is_long_body(request):
            # Django has no public way to replace the source of a body.
            request._stream = _ReleasingBody(request._stream)  # type: ignore[assignment]  # noqa: SLF001 - see above
        response = self.get_response(request)
        is_long = response.streaming and int(response.get("Content-Length", "0")) >= LONG_BYTES
        if is_long and not connection.in_atomic_block:
            connection.close()
        return response


def _is_long_body(request: HttpRequest) -> bool:
    length = request.META.get("CONTENT_LENGTH") or "0"
    return length.isdecimal() and int(length) >= BODY_BYTES


READING = {"GET", "HEAD", "OPTIONS"}


class FlushMiddleware:
    """Flushes SQLite's write-ahead log once after each request that may have written.

    With ``synchronous=NORMAL`` a commit is in the log and the log in the page cache, which survives
    a kill but not a power failure (https://www.sqlite.org/pragma.html#pragma_synchronous). One
    flush before the response makes all earlier commits durable. Workers do not flush: their rows
    can be computed again. PostgreSQL flushes by itself.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self._named = 0  # inode of the log whose directory entry was flushed

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Return the response once the commits behind it are durable."""
        response = self.get_response(request)
        if request.method not in READING and connection.vendor == "sqlite":
            self._flush(Path(f"{connection.settings_dict['NAME']}-wal"))
        return response

    def _flush(self, log: Path) -> None:
        try:
            inode = flush(log)
        except FileNotFoundError:  # checkpointed: the log is removed after the database is flushed
            return
        if inode != self._named:
            flush(log.parent)
            self._named = inode

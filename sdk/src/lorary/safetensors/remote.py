"""Reads the header of a file behind a URL with one or two range requests.

The first request fetches the length and a little more, which is the whole header of a small file;
the second fetches the rest of the header. If a server ignores ranges and sends the whole file, only
the necessary part is read, then the connection is closed.
"""

from __future__ import annotations

import http.client
import re
import ssl
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote, urljoin, urlsplit

from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError

from lorary.connections import Connections, OfflineMode, Origin, Proxy, ProxyInvalid, root_of
from lorary.safetensors.errors import SourceError
from lorary.safetensors.rules import DEFAULT_LIMITS
from lorary.safetensors.signatures import SNIFF_BYTES, sniff

if TYPE_CHECKING:
    from typing_extensions import Self

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_STATUS_CODES = {401: "denied", 403: "denied", 404: "not_found", 410: "not_found", 429: "busy"}
_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19})")
_ILLEGAL = re.compile(r"[\x00-\x20\x7f]")
_ILLEGAL_VALUE = re.compile(r"[^\x20-\x7e\t]")
_ILLEGAL_NAME = re.compile(r"[^!#$%&'*+.^_`|~0-9A-Za-z-]")
_RESERVED = "%/:=&?~#+!$,;'@()*[]"
_STEP_BYTES = 64 * 1024


class UrlSource:
    """The beginning of a file on the web; the first request is made when it is created.

    Only reads that begin in the file's first eight bytes or right after them, like a header,
    make a request; other reads return what is available. Use it in a `with` block.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 20.0,
        first_bytes: int = 64 * 1024,
        most_bytes: int = DEFAULT_LIMITS.header_bytes + 8,
    ) -> None:
        """Request the beginning of the file.

        Args:
            url: `http` or `https`.
            headers: Request headers, such as `Authorization`; never shown, nor sent to another
                server on redirects.
            timeout_s: Maximum time without data; reading everything may take three times as long.
            first_bytes: Size of the first request.
            most_bytes: Maximum number of bytes to fetch.

        Raises:
            SourceError: The file cannot be read.
        """
        self._url = _checked(url)
        self._headers = dict(headers or {})
        for name, value in self._headers.items():
            if _ILLEGAL_NAME.search(name) or _ILLEGAL_VALUE.search(value):
                message = (
                    f"The request header {name[:40]!r} contains characters that cannot be sent."
                )
                raise SourceError(message, code="bad_header")
        self._connections = Connections(timeout_s)
        self._until = time.monotonic() + 3 * timeout_s
        self._most_bytes = most_bytes
        self._tag: str | None = None
        self._stream: BaseHTTPResponse | None = None
        self._data = b""
        self._size = self._begin(min(first_bytes, most_bytes))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    @property
    def size_bytes(self) -> int:
        """Return the size of the whole file, as reported by the server."""
        return self._size

    def read_at(self, offset: int, size: int) -> bytes:
        """Return bytes at `offset`; fewer if they are not available and not part of the header.

        Raises:
            SourceError: They cannot be fetched.
        """
        end = min(offset + size, self._size)
        if offset <= 8 and end > len(self._data):
            self._extend(end)
        return self._data[offset:end]

    def close(self) -> None:
        """Close the connection if it is open."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        self._connections.close()

    def _begin(self, count: int) -> int:
        """Fetch the first bytes and return the size of the file."""
        response = self._ask(0, count - 1)
        self._tag = _strong_tag(response)
        is_partial = False
        try:
            if response.status == 416 and response.headers.get("Content-Range") == "bytes */0":
                return 0
            self._check(response)
            if response.status == 206:
                size = self._begin_part(response, count)
            else:
                size = self._begin_stream(response, count)
                is_partial = len(self._data) < size
            return size
        finally:
            if is_partial:
                self._stream = response
            else:
                response.close()

    def _begin_part(self, response: BaseHTTPResponse, count: int) -> int:
        begin, end, size = self._range(response)
        if begin != 0:
            raise self._error(code="range_failed", what="sent a different part of the file")
        count = min(end + 1, count)
        self._data = self._take(response, count)
        self._expect(count)
        return size

    def _begin_stream(self, response: BaseHTTPResponse, count: int) -> int:
        """Use the first bytes of a whole file; more can be read from the response."""
        length = response.headers.get("Content-Length", "")
        self._data = self._take(response, count)
        if length.isdecimal() and len(length) < 20:
            self._expect(min(int(length), count))
            return int(length)
        is_whole = len(self._data) < count
        if is_whole or sniff(self._data[:SNIFF_BYTES]) is not None:  # such as a web page
            return len(self._data)
        raise self._error(code="size_unknown", what="does not report the size of the file")

    def _extend(self, end: int) -> None:
        if end > self._most_bytes:
            message = f"The header takes {end:,} bytes; {self._most_bytes:,} are allowed."
            raise SourceError(message, code="too_large")
        begin = len(self._data)
        response = self._stream or self._ask(begin, end - 1)
        try:
            if response is not self._stream:
                self._check(response)
                if response.status != 206 or self._range(response) != (begin, end - 1, self._size):
                    raise self._error(code="changed", what="sent a different file the second time")
            self._data += self._take(response, end - begin)
            self._expect(end)
        finally:
            response.close()
            self._stream = None

    def _ask(self, first: int, last: int) -> BaseHTTPResponse:
        """Request a range, following redirects; the URL that answered is kept."""
        url, headers = self._url, self._headers
        for _ in range(_MOST_REDIRECTS + 1):
            asked = {**headers, "User-Agent": "lorary", "Range": f"bytes={first}-{last}"}
            if first and self._tag:
                asked["If-Range"] = self._tag
            response = self._send(url, asked)
            if response.status not in _REDIRECTS:
                self._url, self._headers = url, headers
                return response
            response.close()
            target = _checked(urljoin(url, response.headers.get("Location", "")))
            if url.startswith("https:") and not target.startswith("https:"):
                raise self._error(code="bad_redirect", what="redirects to an unencrypted address")
            if Origin.of(target) != Origin.of(url):
                headers = {}  # a token is for one server only
            url = target
        raise self._error(code="bad_redirect", what="redirects too many times")

    def _send(self, url: str, headers: Mapping[str, str]) -> BaseHTTPResponse:
        try:
            return self._connections.send("GET", url, headers)
        except ProxyInvalid as error:
            raise SourceError(str(error), code="unreachable") from None
        except OfflineMode:
            message = "A URL cannot be read offline (--offline or LORARY_OFFLINE)."
            raise SourceError(message, code="offline") from None
        except HTTPError as error:
            raise self._failed(error) from None

    def _check(self, response: BaseHTTPResponse) -> None:
        """Refuse responses that do not contain bytes of the file."""
        status = response.status
        if status not in {200, 206}:
            fallback = "server_failed" if status >= 500 else "refused"
            code = "range_failed" if status == 416 else _STATUS_CODES.get(status, fallback)
            reason = (response.reason or "")[:60]
            raise self._error(code, f"answered {status} {reason}".rstrip(), status)
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise self._error(code="compressed", what="sends the file compressed")

    def _range(self, response: BaseHTTPResponse) -> tuple[int, int, int]:
        """First byte, last byte and size of the file."""
        found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if found is None:
            raise self._error(
                code="size_unknown", what="does not say which part of the file it sends"
            )
        return int(found[1]), int(found[2]), int(found[3])

    def _take(self, response: BaseHTTPResponse, count: int) -> bytes:
        pieces: list[bytes] = []
        while count > 0:
            if time.monotonic() > self._until:
                raise self._error(code="timed_out", what="sends too slowly")
            try:
                piece = response.read1(min(count, _STEP_BYTES))
            except HTTPError as error:
                raise self._failed(error) from None
            if not piece:
                break
            pieces.append(piece)
            count -= len(piece)
        return b"".join(pieces)

    def _expect(self, count: int) -> None:
        if len(self._data) < count:
            raise self._error(
                code="cut", what=f"ended after {len(self._data):,} of {count:,} bytes"
            )

    def _failed(self, error: HTTPError) -> SourceError:
        reason = root_of(error)
        if isinstance(reason, TimeoutError):
            return self._error("timed_out", "does not respond in time")
        if isinstance(reason, ssl.SSLError):
            return self._error("tls_failed", "has no trusted certificate")
        if isinstance(reason, (http.client.IncompleteRead, ConnectionResetError)):
            return self._error("cut", "closed the connection")
        if isinstance(reason, (http.client.HTTPException, ValueError)):
            return self._error("server_failed", "does not speak HTTP")
        proxy = Proxy.of(Origin.of(self._url))
        through = f" through the proxy {proxy.name}, which the environment sets" if proxy else ""
        return self._error("unreachable", f"cannot be reached{through}")

    def _error(self, code: str, what: str, status: int | None = None) -> SourceError:
        parts = urlsplit(self._url)
        host = parts.netloc.rpartition("@")[2]
        shown = f"{host}{parts.path}"  # queries may hold signatures
        return SourceError(f"The server of {shown[:200]} {what}.", code=code, status=status)


_MOST_REDIRECTS = 5


def _checked(url: str) -> str:
    """The URL as it can be sent.

    Raises:
        SourceError: it is no web address, or holds a password.
    """
    try:
        parts = urlsplit(url.strip())
        host = parts.netloc.encode("idna").decode() if not parts.netloc.isascii() else parts.netloc
        if "@" in host:
            message = "Remove the user name and password from the address; use a token instead."
            raise SourceError(message, code="bad_url")
        address = quote(parts._replace(netloc=host, fragment="").geturl(), safe=_RESERVED)
        if _ILLEGAL.search(host) is None and Origin.of(address):
            return address
    except ValueError:
        pass
    message = "Only addresses that begin with https:// or http:// can be read."
    raise SourceError(message, code="bad_url")


def _strong_tag(response: BaseHTTPResponse) -> str | None:
    """The answer's ETag, when it names these very bytes."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') and not _ILLEGAL_VALUE.search(tag) else None

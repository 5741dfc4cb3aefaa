"""Sends stored bytes: conditional requests, ranges, sendfile, nginx and bucket links.

gunicorn sends a file by sendfile from its current position, as many bytes as Content-Length says,
so a range costs as much per byte as the whole file. For other servers and multipart responses, this
module reads the file. With ``LORARY_ACCEL`` nginx sends the file and this process only decides (see
``deploy/nginx.conf``). Files in a bucket are answered with a link that is valid for minutes.

Source: RFC 9110 §13 (conditions) and §14 (ranges), RFC 9530 (Repr-Digest).
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import sys
import unicodedata
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.core.cache import cache
from django.http import FileResponse, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _
from rest_framework.request import Request

from hub.http.callers import address_of
from hub.http.errors import PreconditionFailed
from hub.http.middleware import NO_STORE
from hub.monitoring.metrics import DOWNLOADS
from registry import storage
from registry.errors import Gone, RangeUnsatisfiable
from registry.models import Blob, User
from registry.versions import download_counts, download_events
from registry.versions.files import Bytes, Served

# Parsing of ``Range`` headers.
#
# Several ranges are answered as multipart/byteranges if they are at most ``MAX_RANGES`` and
# together no longer than the file, so that no request yields more bytes than the file has.
# Otherwise, and for invalid headers, the whole file is sent. nginx does the same, except that it
# answers 416 to invalid headers; the RFC allows both.
#
# Source: RFC 9110 §14.1.2 (byte ranges), §14.2 (what may be ignored), §14.6 (multipart).

MAX_RANGES = 16

_RANGES = re.compile(r"(?i)bytes=(.*)\Z")
_RANGE = re.compile(r"[ \t]*([0-9]*)-([0-9]*)[ \t]*\Z")


@dataclass(frozen=True, slots=True)
class Span:
    """A range of bytes; ``first`` and ``last`` are both included.

    Attributes:
        is_suffix: Whether it was given as ``-N``. Resumed downloads do not use that form.
    """

    first: int  # offset of the first byte
    last: int  # offset of the last one
    is_suffix: bool = field(default=False, compare=False)

    @property
    def length(self) -> int:
        """Return the number of bytes."""
        return self.last - self.first + 1

    def of(self, size: int) -> str:
        """Return the value of ``Content-Range``."""
        return f"bytes {self.first}-{self.last}/{size}"


def spans_of(header: str, size: int) -> list[Span]:
    """Return the ranges of a Range header; an empty list means the whole file.

    Raises:
        RangeUnsatisfiable: the header is valid and all ranges lie outside the file.
    """
    found = _RANGES.match(header)
    asked = (
        [_RANGE.match(text) for text in found[1].split(",") if text.strip(" \t")] if found else []
    )
    if not asked or len(asked) > MAX_RANGES:
        return []
    spans = [_span(one, size) for one in asked]
    if None in spans or not size:
        return []
    inside = [span for span in spans if span and 0 <= span.first < size]
    if not inside:
        raise RangeUnsatisfiable(
            _("The file has %(size)d bytes; the range begins after them.") % {"size": size},
            size=size,
        )
    return inside if sum(span.length for span in inside) <= size else []


def _span(found: re.Match[str] | None, size: int) -> Span | None:
    """Return a range, which may lie beyond the end of the file, or None if it is invalid."""
    if found is None or not any(found.groups()):
        return None
    first, last = (_number(text) for text in found.groups())
    if first is None:
        return Span(max(0, size - (last or 0)), size - 1, is_suffix=True)
    if last is not None and last < first:
        return None
    return Span(first, size - 1 if last is None else min(last, size - 1))


def _number(text: str) -> int | None:
    """Parse digits; more than 18 mean "beyond every file" and are not parsed."""
    if not text:
        return None
    return int(text) if len(text.lstrip("0")) <= 18 else 10**18


def parted(
    spans: Sequence[Span], size: int, content_type: str, boundary: str
) -> Iterable[bytes | Span]:
    """Yield the body of a multipart/byteranges response: each part's head, then its range."""
    ending = ""
    for span in spans:
        yield (
            f"{ending}--{boundary}\r\nContent-Type: {content_type}\r\n"
            f"Content-Range: {span.of(size)}\r\n\r\n"
        ).encode()
        yield span
        ending = "\r\n"
    yield f"\r\n--{boundary}--\r\n".encode()


OnSent = Callable[[], object]
Viewer = User | AnonymousUser | None
Stored = Blob | Bytes

#: Seconds for which ranges of one file to one client count as one download.
RANGES_S = 600

#: Number of bytes read at a time without sendfile.
BLOCK = 256 * 1024

#: Seconds for which a link to a bucket is valid; the transfer may take longer.
LINK_S = 300

_TAG = re.compile(r'(W/)?("[^"]*")')
#: nginx would compare these with a date, or before it knows the ETag.
_OWN_CONDITIONS = ("If-Match", "If-Unmodified-Since")
#: nginx parses the header again, and answers 416 to ranges that are ignored here.
_PLAIN_RANGE = re.compile(r"(?i)bytes=([0-9]{1,18}-[0-9]{0,18}|-[0-9]{1,18})\Z")


def etag_of(blob: Stored) -> str:
    """Return the strong ETag of a blob: its digest in quotes."""
    return f'"{blob.sha256}"'


def matches(header: str, etag: str, *, is_weak: bool) -> bool:
    """Whether a list of entity tags, or ``*``, matches a strong one.

    Args:
        header: Value of ``If-Match`` or ``If-None-Match``.
        etag: With its quotes.
        is_weak: Whether the comparison is weak, so that ``W/`` is ignored.
    """
    if header.strip() == "*":
        return True
    found = _TAG.finditer(header)
    return any(one[2] == etag and (is_weak or not one[1]) for one in found)


def is_known(request: HttpRequest, etag: str, *, is_open: bool = True) -> bool:
    """Whether the client has the response with an ETag.

    A private picture is always sent: no browser keeps it, and a shared cache that kept it while it
    was public would take 304 for permission to show it to others for another hour.
    """
    return is_open and matches(request.headers.get("If-None-Match", ""), etag, is_weak=True)


def require_match(request: HttpRequest, blob: Stored) -> None:
    """Require the ``If-Match`` header, if any, to match the blob.

    Raises:
        PreconditionFailed: the blob has another digest.
    """
    wanted = request.headers.get("If-Match")
    if wanted and not matches(wanted, etag_of(blob), is_weak=False):
        raise PreconditionFailed(_("The digest of the file is not the one you asked for."))


def send(
    request: HttpRequest | Request, served: Served, saved_as: str = "", *, actor: Viewer
) -> HttpResponseBase:
    """Answer with a file of a version, and count the download; record it if it is not public.

    Args:
        request: See ``deliver``; its ``If-Match`` is evaluated as well.
        saved_as: Name to save it under; "" for its own name.
        actor: Who downloads it.
    """
    require_match(request, served.blob)
    response = deliver(
        request,
        served.blob,
        filename=saved_as or served.path.rpartition("/")[2],
        is_private=not served.is_public,
        on_sent=partial(_count_download, served),
    )
    if not served.is_public and is_download(request, response, served.blob, actor):
        download_events.record_of_version(
            actor=actor,
            version_id=served.version_id,
            path=served.path,
            sha256=served.blob.sha256,
        )
    return response


def is_download(
    request: HttpRequest | Request, response: HttpResponseBase, blob: Stored, actor: Viewer
) -> bool:
    """Whether a response sends bytes, and is not a further range of a download.

    Clients fetch large files in hundreds of ranges. Those of one client within ``RANGES_S`` of the
    first count as one download; each request for a whole file counts.
    """
    if request.method != "GET" or response.status_code not in {200, 206, 302}:
        return False
    if response.status_code == 200 or "Range" not in request.headers:
        return True
    token = getattr(actor, "access_token", None)
    client = [actor.pk if actor else None, token.pk if token else None, address_of(request)]
    digest = hashlib.sha256(f"{client} {blob.sha256}".encode()).hexdigest()
    return cache.add(f"download:{digest}", True, RANGES_S)  # noqa: FBT003 - the value


def _count_download(served: Served) -> None:
    DOWNLOADS.inc()
    download_counts.count(version_id=served.version_id, is_primary=served.is_primary)


def deliver(
    request: HttpRequest,
    blob: Stored,
    *,
    filename: str | None,
    content_type: str = "application/octet-stream",
    is_private: bool,
    on_sent: OnSent | None = None,
) -> HttpResponseBase:
    """Answer GET or HEAD for stored bytes.

    Args:
        request: Its ``If-None-Match``, ``Range`` and ``If-Range`` headers are evaluated.
        filename: Name to save it under. None for pictures and videos in pages: the disposition is
            ``inline``, and no link to a bucket is sent. Pages load pictures from the hub only
            (``img-src 'self'``), a redirect for each would double the requests, and caches could
            not store a picture by a URL that leads to a link that expires.
        is_private: Whether shared caches must not store it.
        on_sent: Called once the last byte of the file was sent: only once for a download that was
            made in several ranges. If another server sends the file, called immediately.

    Raises:
        Gone: the bytes were deleted.
        RangeUnsatisfiable: the range begins after the end of the file.
    """
    if not blob.is_stored:
        raise Gone
    if is_known(request, etag_of(blob), is_open=not is_private or filename is not None):
        response: HttpResponseBase = HttpResponse(status=304)
        del response.headers["Content-Type"]
    else:
        spans = _requested_spans(request, blob)
        done = on_sent if on_sent is not None and _is_last(spans, blob) else None
        disposition = "inline" if filename is None else content_disposition(filename)
        place = _place(blob, storage.Fetch(content_type, disposition, LINK_S))
        response = _answer(request, blob, spans, place, content_type, done)
        _describe(response, blob, disposition)
    response.headers["ETag"] = etag_of(blob)
    # Caches revalidate each time: access can change, although the bytes cannot. A link expires.
    freshness = "no-store" if response.status_code == 302 else "no-cache"
    response.headers["Cache-Control"] = NO_STORE if is_private else f"public, {freshness}"
    return response


def _place(blob: Stored, fetch: storage.Fetch) -> Path | str | None:
    """Return where another server can read the bytes: a path, a link, or None."""
    store = storage.store()
    is_shown = fetch.disposition == "inline"
    return None if is_shown and storage.has_links() else store.link(blob.sha256, fetch)


def _requested_spans(request: HttpRequest, blob: Stored) -> list[Span]:
    """Return the ranges to send; an empty list means the whole file."""
    header = request.headers.get("Range", "")
    if request.method != "GET" or not header:
        return []
    condition = request.headers.get("If-Range")
    if condition is not None and condition.strip() != etag_of(blob):
        return []
    return spans_of(header, blob.size_bytes)


def _is_last(spans: list[Span], blob: Stored) -> bool:
    """Whether a download ends with this response, e.g. with the last range of a resumed one."""
    if not spans:
        return True
    return len(spans) == 1 and spans[0].last == blob.size_bytes - 1 and not spans[0].is_suffix


def _answer(
    request: HttpRequest,
    blob: Stored,
    spans: list[Span],
    place: Path | str | None,
    content_type: str,
    on_sent: OnSent | None,
) -> HttpResponseBase:
    """Return the response with status, body, Content-Type, -Length and -Range."""
    if request.method == "HEAD":
        response: HttpResponseBase = HttpResponse(content_type=content_type)
        response.headers["Content-Length"] = str(blob.size_bytes)
        return response
    if headers := _delegation_header(request, place, spans):
        if on_sent is not None:
            on_sent()
        status = 302 if "Location" in headers else 200
        response = HttpResponse(content_type=content_type, headers=headers, status=status)
        response.headers["Content-Length"] = "0"
        return response
    if len(spans) > 1:
        return _multiple_ranges(blob, spans, content_type)
    span = spans[0] if spans else Span(0, blob.size_bytes - 1)
    response = _single_range(request, blob, span, on_sent)
    response.headers["Content-Type"] = content_type
    response.headers["Content-Length"] = str(span.length)
    if spans:
        response.status_code = 206
        response.headers["Content-Range"] = span.of(blob.size_bytes)
    return response


def _single_range(
    request: HttpRequest, blob: Stored, span: Span, on_sent: OnSent | None
) -> HttpResponseBase:
    handle = _open(blob)
    if _can_sendfile(request, handle):
        handle.seek(span.first)
        return _Transfer(handle, on_sent)
    return _Transfer(_Pieces(handle, [span]), on_sent)


def _can_sendfile(request: HttpRequest, handle: BinaryIO) -> bool:
    """Whether the server sends files by sendfile, and stops at Content-Length."""
    if not str(request.META.get("SERVER_SOFTWARE", "")).startswith("gunicorn"):
        return False
    try:
        handle.fileno()
    except OSError:  # a remote object has no descriptor
        return False
    return True


def _multiple_ranges(blob: Stored, spans: list[Span], content_type: str) -> HttpResponseBase:
    boundary = secrets.token_hex(16)
    body = list(parted(spans, blob.size_bytes, content_type, boundary))
    response = _Transfer(_Pieces(_open(blob), body), None)
    response.status_code = 206
    response.headers["Content-Type"] = f"multipart/byteranges; boundary={boundary}"
    length = sum(piece.length if isinstance(piece, Span) else len(piece) for piece in body)
    response.headers["Content-Length"] = str(length)
    return response


def _open(blob: Stored) -> BinaryIO:
    try:
        return storage.store().open(blob.sha256)
    except FileNotFoundError as error:
        raise Gone from error


def _delegation_header(
    request: HttpRequest, place: Path | str | None, spans: list[Span]
) -> dict[str, str]:
    """Return the header that has a bucket or nginx send the bytes; {} to send them from here.

    A bucket has its own ETags. A client that follows a link with ``If-Range`` either has the
    bucket's ETag, or gets the whole file.
    """
    if isinstance(place, str):
        return {"Location": place}
    location: str = settings.LORARY.accel
    if place is None or not location or any(name in request.headers for name in _OWN_CONDITIONS):
        return {}
    if settings.LORARY.trust_proxy and "X-Forwarded-For" not in request.headers:
        return {}  # not through nginx, which would replace the header by the file
    asked = request.headers.get("Range", "")
    if asked and not (spans and _PLAIN_RANGE.match(asked)):
        return {}
    return {"X-Accel-Redirect": location + "/".join(place.parts[-3:])}


def _describe(response: HttpResponseBase, blob: Stored, disposition: str) -> None:
    digest = base64.b64encode(bytes.fromhex(blob.sha256)).decode()
    response.headers["Content-Disposition"] = disposition
    response.headers["Repr-Digest"] = f"sha-256=:{digest}:"
    response.headers["Accept-Ranges"] = "bytes"
    response.headers["X-Content-Type-Options"] = "nosniff"


class _Transfer(FileResponse):
    """A response with a file that calls ``on_sent`` once the whole file was sent."""

    block_size = BLOCK

    def __init__(self, handle: BinaryIO | _Pieces, on_sent: OnSent | None) -> None:
        self._handle, self._on_sent = handle, on_sent
        super().__init__(handle)

    def set_headers(self, filelike: object) -> None:
        """Do nothing: ``deliver`` sets the headers; Django would guess them from the file."""

    def close(self) -> None:
        """Close the file.

        A server calls this in a ``finally`` (PEP 3333), so a pending exception means that the
        client disconnected. A client that disconnects while the last bytes are in a send buffer
        counts as having read them.
        """
        is_broken = sys.exc_info()[0] is not None
        on_sent, self._on_sent = self._on_sent, None
        super().close()
        is_read = not (isinstance(self._handle, _Pieces) and self._handle.left)
        if on_sent is not None and is_read and not is_broken:
            on_sent()


class _Pieces:
    """Byte strings and ranges of a file, read as one file.

    Attributes:
        left: The pieces that have not been read yet.
    """

    def __init__(self, handle: BinaryIO, pieces: Iterable[bytes | Span]) -> None:
        self._handle, self.left = handle, deque(pieces)

    def read(self, size: int = BLOCK) -> bytes:
        """Return at most ``size`` bytes; b"" at the end.

        Raises:
            OSError: the stored file is too short.
        """
        if not self.left:
            return b""
        piece = self.left.popleft()
        if isinstance(piece, bytes):
            return piece
        self._handle.seek(piece.first)
        block = self._handle.read(min(size if size > 0 else BLOCK, piece.length))
        if not block and piece.length:
            msg = f"stored bytes end before {piece.last}"
            raise OSError(msg)
        if len(block) < piece.length:
            self.left.appendleft(Span(piece.first + len(block), piece.last))
        return block

    def close(self) -> None:
        """Close the file."""
        self._handle.close()


#: RFC 8187's attr-char besides letters and digits; everything else is percent-encoded.
_PLAIN = "!#$&+-.^_`|~"
#: Clients treat these differently inside a quoted string, and some decode %41 to A.
_DOUBTFUL = '"\\%'


def content_disposition(filename: str, *, kind: str = "attachment") -> str:
    """Return the value of ``Content-Disposition``, in printable ASCII.

    Source: RFC 6266 §4.3 and appendix D (an ASCII name for old clients, then the full one),
    RFC 8187 §3.2 (``filename*``), RFC 9110 §5.6.4 (quoted strings).

    Args:
        filename: Last segment of a path. Control characters and slashes become ``_``.
        kind: ``attachment`` or ``inline``.
    """
    name = "".join(_safe(char) for char in filename)
    plain = "".join(_ascii(char) for char in name)
    value = f'{kind}; filename="{plain}"'
    if plain != name:
        value += f"; filename*=UTF-8''{quote(name, safe=_PLAIN)}"
    return value


def _safe(char: str) -> str:
    return "_" if char in "/\\" or unicodedata.category(char) in {"Cc", "Cs"} else char


def _ascii(char: str) -> str:
    """Return a character without its accents, or ``_``."""
    base = unicodedata.normalize("NFKD", char)[:1]
    return base if " " <= base <= "~" and base not in _DOUBTFUL else "_"

"""Sending stored bytes: conditional requests, ranges, and the cheapest way out of this process.

gunicorn sends a file by sendfile from its position on, as many bytes as Content-Length says, so
a range costs what the whole file costs per byte. Other servers read to the end of the file:
there reads stop where the range stops. With ``LORARY_ACCEL`` nginx sends and this process only
decides; it sends itself where nginx would compare validators with an ETag of its own. Of this
answer nginx keeps few headers, so its location adds them again::

    etag off;
    add_header ETag $upstream_http_etag;
    add_header Repr-Digest $upstream_http_repr_digest;
    add_header X-Content-Type-Options nosniff;

Source: RFC 9110 §13 (conditions) and §14 (ranges), RFC 9530 (Repr-Digest), RFC 6266.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from django.conf import settings
from django.http import FileResponse, HttpResponse
from django.utils.http import content_disposition_header
from django.utils.translation import gettext as _

from registry import storage
from registry.errors import Gone, RangeUnsatisfiable

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from registry.models import Blob

__all__ = ["Delivery", "Span", "deliver", "etag_of", "matches", "span_of"]

#: Bytes read at a time where the server has no sendfile.
BLOCK = 256 * 1024

_RANGE = re.compile(r"(?i)bytes=[ \t]*([0-9]*)-([0-9]*)[ \t]*\Z")
_TAG = re.compile(r'(W/)?"([^"]*)"|(\*)')
#: nginx would answer these by its own idea of an ETag.
_OWN_CONDITIONS = ("If-Range", "If-Match", "If-Unmodified-Since")


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes ``first`` to ``last``, both included."""

    first: int
    last: int

    @property
    def length(self) -> int:
        """Number of bytes."""
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class Delivery:
    """An answer, and whether a transfer begins with it (a later range goes on with one)."""

    response: HttpResponseBase
    is_start: bool


class _Stretch:
    """A file whose reads end with a span."""

    def __init__(self, handle: BinaryIO, length: int) -> None:
        self.handle, self.left = handle, length

    def read(self, size: int = -1) -> bytes:
        """Return up to ``size`` bytes of what is left."""
        wanted = self.left if size < 0 else min(size, self.left)
        block = self.handle.read(wanted)
        self.left -= len(block)
        return block

    def close(self) -> None:
        """Close the file."""
        self.handle.close()


def etag_of(blob: Blob) -> str:
    """Return the strong validator: the digest."""
    return f'"{blob.sha256}"'


def deliver(
    request: HttpRequest,
    blob: Blob,
    *,
    filename: str,
    content_type: str = "application/octet-stream",
    is_private: bool,
) -> Delivery:
    """Answer GET or HEAD for stored bytes.

    Args:
        request: Its ``If-None-Match``, ``Range`` and ``If-Range`` headers are honoured.
        blob: What to send.
        filename: Name to save it under.
        content_type: What it is.
        is_private: Whether caches that serve several people must not keep it.

    Raises:
        Gone: the bytes were removed.
        RangeUnsatisfiable: the range begins after the end.
    """
    if not blob.is_stored:
        raise Gone
    if matches(request.headers.get("If-None-Match", ""), etag_of(blob), is_weak=True):
        response: HttpResponseBase = HttpResponse(status=304)
        del response.headers["Content-Type"]
        _validate(response, blob, is_private=is_private)
        return Delivery(response, is_start=False)
    span = _wanted(request, blob)
    response = _body(request, blob, span)
    _describe(response, blob, filename, content_type)
    _validate(response, blob, is_private=is_private)
    is_start = request.method == "GET" and (span is None or span.first == 0)
    return Delivery(response, is_start=is_start)


def matches(header: str, etag: str, *, is_weak: bool) -> bool:
    """Whether a list of entity tags (or ``*``) names this strong one.

    Args:
        header: Value of ``If-Match`` or ``If-None-Match``.
        etag: With its quotes.
        is_weak: Whether ``W/`` on the other side is no difference.
    """
    for found in _TAG.finditer(header):
        if found[3] or (f'"{found[2]}"' == etag and (is_weak or not found[1])):
            return True
    return False


def span_of(header: str, size: int) -> Span | None:
    """Return what a Range header asks for, or None for the whole file.

    Several ranges, other units and nonsense are ignored, as RFC 9110 §14.2 allows.

    Raises:
        RangeUnsatisfiable: the header is sound and lies outside the file.
    """
    found = _RANGE.match(header)
    if found is None or not any(found.groups()):
        return None
    first, last = (_number(text) for text in found.groups())
    if first is None:
        first, last = max(0, size - (last or 0)), size - 1
    elif last is not None and last < first:
        return None
    span = Span(first, size - 1 if last is None else min(last, size - 1))
    if span.first >= size:
        raise RangeUnsatisfiable(
            _("The file has %(size)d bytes; the range begins after them.") % {"size": size},
            size=size,
        )
    return span


def _number(text: str) -> int | None:
    """Read digits; lengths beyond 18 digits mean "beyond every file" and are not computed."""
    if not text:
        return None
    return int(text) if len(text.lstrip("0")) <= 18 else 10**18


def _wanted(request: HttpRequest, blob: Blob) -> Span | None:
    header = request.headers.get("Range", "")
    if request.method != "GET" or not header:
        return None
    condition = request.headers.get("If-Range")
    if condition is not None and condition.strip() != etag_of(blob):
        return None
    return span_of(header, blob.size_bytes)


def _body(request: HttpRequest, blob: Blob, span: Span | None) -> HttpResponseBase:
    length = span.length if span else blob.size_bytes
    if request.method == "HEAD":
        response: HttpResponseBase = HttpResponse()
    elif (place := _accelerated(request, blob)) is not None:
        return HttpResponse(headers={"X-Accel-Redirect": place})
    else:
        response = _file(request, blob, span.first if span else 0, length)
    response.headers["Content-Length"] = str(length)
    if span is not None:
        response.status_code = 206
        response.headers["Content-Range"] = f"bytes {span.first}-{span.last}/{blob.size_bytes}"
    return response


def _file(request: HttpRequest, blob: Blob, first: int, length: int) -> FileResponse:
    try:
        handle = storage.store().open(blob.sha256)
    except FileNotFoundError as error:
        raise Gone from error
    handle.seek(first)
    has_sendfile = str(request.META.get("SERVER_SOFTWARE", "")).startswith("gunicorn")
    response = FileResponse(handle if has_sendfile else _Stretch(handle, length))
    response.block_size = BLOCK
    return response


def _accelerated(request: HttpRequest, blob: Blob) -> str | None:
    """Return the internal address at nginx, or None to send from here."""
    location: str = settings.LORARY.accel
    if not location or any(name in request.headers for name in _OWN_CONDITIONS):
        return None
    path = storage.store().path(blob.sha256)
    return location + "/".join(path.parts[-3:]) if path is not None else None


def _describe(response: HttpResponseBase, blob: Blob, filename: str, content_type: str) -> None:
    digest = base64.b64encode(bytes.fromhex(blob.sha256)).decode()
    disposition = content_disposition_header(as_attachment=True, filename=filename)
    response.headers["Content-Type"] = content_type
    response.headers["Content-Disposition"] = disposition or "attachment"
    response.headers["Repr-Digest"] = f"sha-256=:{digest}:"
    response.headers["Accept-Ranges"] = "bytes"
    response.headers["X-Content-Type-Options"] = "nosniff"


def _validate(response: HttpResponseBase, blob: Blob, *, is_private: bool) -> None:
    """Have caches ask each time: who may see a file can change, its bytes cannot."""
    response.headers["ETag"] = etag_of(blob)
    response.headers["Cache-Control"] = ("private" if is_private else "public") + ", no-cache"

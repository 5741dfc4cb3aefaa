"""Parsing of ``Range`` headers.

Several ranges are answered as multipart/byteranges if they are at most ``MAX_RANGES`` and together
no longer than the file, so that no request yields more bytes than the file has. Otherwise, and for
invalid headers, the whole file is sent. nginx does the same, except that it answers 416 to invalid
headers; the RFC allows both.

Source: RFC 9110 §14.1.2 (byte ranges), §14.2 (what may be ignored), §14.6 (multipart).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from django.utils.translation import gettext as _

from registry.errors import RangeUnsatisfiable

MAX_RANGES = 16

_RANGES = re.compile(r"(?i)bytes=(.*)\Z")
_RANGE = re.compile(r"[ \t]*([0-9]*)-([0-9]*)[ \t]*\Z")


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes ``first`` to ``last``, both included.

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
    """Return the ranges of a Range header, [] for the whole file.

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

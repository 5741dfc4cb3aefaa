"""What a request for a file means, as a table, and answers in a form that can be compared.

The table is asked of the hub in one process, of its real server, of nginx in front of it, and of
nginx alone with the same file. ``{etag}`` and ``{date}`` in a header stand for what the server
that is asked gives the file, ``{n}`` for its length, ``{last}`` for the place of the last byte.

Source: RFC 9110 §13.2.2 (order of conditions), §14.1.2, §14.2, §15.3.7, §15.5.17.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

OLD, LATE = "Wed, 25 Nov 2015 00:00:00 GMT", "Wed, 25 Nov 2054 00:00:00 GMT"
MANY = "bytes=" + ",".join(f"{2 * n}-{2 * n}" for n in range(17))
SIXTEEN = "bytes=" + ",".join(f"{2 * n}-{2 * n}" for n in range(16))


@dataclass(frozen=True)
class Case:
    """A request and its answer.

    Attributes:
        headers: What is sent besides the address.
        status: Of the answer.
        parts: First and last bytes that come, from the end when negative; of a 206 only.
        method: Of the request.
        nginx: Status with which nginx alone answers, where it is another one.
        why: Reason for that.
    """

    headers: Mapping[str, str]
    status: int
    parts: tuple[tuple[int, int], ...] = ()
    method: str = "GET"
    nginx: int | None = None
    why: str = ""

    def sent(self, *, etag: str, date: str, size: int) -> dict[str, str]:
        """Return the headers as one server gets them."""
        known = {"etag": etag, "date": date, "n": size, "last": size - 1}
        return {name: value.format(**known) for name, value in self.headers.items()}

    def expected(self, data: bytes) -> Outcome:
        """Return the answer for a file."""
        size = len(data)
        if self.status not in {200, 206} or self.method == "HEAD":
            length = size if self.status == 200 else None
            return Outcome(self.status, length=length)
        if self.status == 200:
            return Outcome(200, ((f"bytes 0-{size - 1}/{size}", data),), size)
        spans = [tuple(place % size for place in part) for part in self.parts]
        parts = tuple(
            (f"bytes {first}-{last}/{size}", data[first : last + 1]) for first, last in spans
        )
        return Outcome(206, parts, len(parts[0][1]) if len(parts) == 1 else None)


@dataclass(frozen=True)
class Outcome:
    """An answer: its parts as (Content-Range, bytes), its length where that is fixed."""

    status: int
    parts: tuple[tuple[str, bytes], ...] = field(default=())
    length: int | None = None


def outcome_of(status: int, headers: Mapping[str, str], body: bytes, size: int) -> Outcome:
    """Return an answer to be compared; the length that it announces is the length that it has.

    Args:
        status: Of the answer.
        headers: With names in lower case.
        body: All bytes that came.
        size: Length of the file.
    """
    length = int(headers["content-length"]) if "content-length" in headers else None
    kind = headers.get("content-type", "")
    if status == 416:
        assert headers["content-range"] == f"bytes */{size}"
    if status == 200 and not body:  # HEAD
        return Outcome(200, length=length)
    if status not in {200, 206}:
        return Outcome(status)
    assert length == len(body)
    if status == 200:
        return Outcome(200, ((f"bytes 0-{size - 1}/{size}", body),), length)
    if not kind.startswith("multipart/byteranges"):
        return Outcome(206, ((headers["content-range"], body),), length)
    assert "content-range" not in headers
    return Outcome(206, _parts(kind.partition("boundary=")[2], body))


def _parts(boundary: str, body: bytes) -> tuple[tuple[str, bytes], ...]:
    """Read multipart/byteranges strictly: each part has the bytes that it says it has."""
    mark = b"--" + boundary.encode()
    left, parts = body.removeprefix(b"\r\n"), []
    while not left.startswith(mark + b"--"):
        assert left.startswith(mark + b"\r\n"), left[:80]
        head, _empty, left = left.removeprefix(mark).partition(b"\r\n\r\n")
        told = re.search(r"(?i)content-range: (bytes (\d+)-(\d+)/\d+)", head.decode())
        assert told is not None, head
        length = int(told[3]) - int(told[2]) + 1
        parts.append((told[1], left[:length]))
        assert left[length : length + 2] == b"\r\n"
        left = left[length + 2 :]
    assert left == mark + b"--\r\n", left
    return tuple(parts)


def _range(
    header: str, *parts: tuple[int, int], nginx: int | None = None, why: str = "", **more: str
) -> Case:
    """Return a case with a Range: parts, or none for the whole file."""
    headers = {"Range": header} | {name.replace("_", "-"): value for name, value in more.items()}
    return Case(headers, 206 if parts else 200, parts, nginx=nginx, why=why)


def _beyond(header: str, nginx: int | None = None) -> Case:
    return Case({"Range": header}, 416, nginx=nginx)


def _when(status: int, nginx: int | None = None, why: str = "", **headers: str) -> Case:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    parts = ((0, 9),) if status == 206 else ()
    return Case(named, status, parts, nginx=nginx, why=why)


def _head(status: int, nginx: int | None = None, why: str = "", **headers: str) -> Case:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Case(named, status, method="HEAD", nginx=nginx, why=why)


NONSENSE = "it refuses what it cannot read; RFC 9110 §14.2 lets a server ignore it"
LARGE = "its numbers have 63 bits; §14.1.2 says: a last place beyond the end is the end"
DATELESS = (
    "it compares the file's date; here bytes have no date, so §13.1.3 and §13.1.4 say: ignore"
)
HEAD_RANGE = "it takes Range with HEAD; §14.2 defines it for GET only"

CASES: dict[str, Case] = {
    "the whole file": Case({}, 200),
    "first byte": _range("bytes=0-0", (0, 0)),
    "second byte": _range("bytes=1-1", (1, 1)),
    "last byte by place": _range("bytes={last}-{last}", (-1, -1)),
    "last byte, open": _range("bytes={last}-", (-1, -1)),
    "last byte as suffix": _range("bytes=-1", (-1, -1)),
    "middle": _range("bytes=100-299", (100, 299)),
    "from the start on": _range("bytes=0-", (0, -1)),
    "from the middle on": _range("bytes=500-", (500, -1)),
    "all of it": _range("bytes=0-{last}", (0, -1)),
    "to beyond the end": _range("bytes=500-{n}", (500, -1)),
    "to far beyond the end": _range("bytes=0-999999999999999999", (0, -1)),
    "to where no number ends": _range("bytes=0-" + 26 * "9", (0, -1), nginx=416, why=LARGE),
    "suffix": _range("bytes=-500", (-500, -1)),
    "suffix of all": _range("bytes=-{n}", (0, -1)),
    "suffix of more than all": _range("bytes=-999999999999", (0, -1)),
    "leading zeros": _range("bytes=0005-0006", (5, 6)),
    "spaces": _range("bytes= 5-6 ", (5, 6)),
    "unit in capitals": _range("BYTES=0-1", (0, 1)),
    "begins at the end": _beyond("bytes={n}-"),
    "begins at the end, closed": _beyond("bytes={n}-{n}"),
    "begins beyond the end": _beyond("bytes=999999999999-"),
    "begins where no number ends": _beyond("bytes=99999999999999999999999999-"),
    "no last bytes": _beyond("bytes=-0"),
    "no last bytes, long": _beyond("bytes=-000"),
    "several beyond the end": _beyond("bytes={n}-,{n}-{n},-0"),
    "two parts": _range("bytes=0-1,5-6", (0, 1), (5, 6)),
    "two parts with spaces": _range("bytes=0-1, 5-6", (0, 1), (5, 6)),
    "first and last byte": _range("bytes=0-0,-1", (0, 0), (-1, -1)),
    "parts in another order": _range("bytes=50-59,10-19", (50, 59), (10, 19)),
    "parts that touch": _range("bytes=0-9,10-19", (0, 9), (10, 19)),
    "parts that overlap": _range("bytes=0-9,5-14", (0, 9), (5, 14)),
    "open part": _range("bytes=0-4,600-", (0, 4), (600, -1)),
    "one inside, one beyond": _range("bytes=0-9,{n}-", (0, 9)),
    "one beyond, one inside": _range("bytes={n}-{n},3-4", (3, 4)),
    "sixteen parts": _range(SIXTEEN, *((2 * n, 2 * n) for n in range(16))),
    "seventeen parts": _range(MANY),
    "the whole file twice": _range("bytes=0-,0-"),
    "the whole file a hundred times": _range("bytes=" + ",".join(["0-"] * 100)),
    "more together than the file": _range("bytes=0-,0-0"),
    "overlapping tails": _range("bytes=" + ",".join(f"{n}-" for n in range(16))),
    "nothing after the unit": _range("bytes="),
    "a lone dash": _range("bytes=-", nginx=416, why=NONSENSE),
    "a lone comma": _range("bytes=,", nginx=416, why=NONSENSE),
    "backwards": _range("bytes=2-1", nginx=416, why=NONSENSE),
    "letters": _range("bytes=a-b", nginx=416, why=NONSENSE),
    "a letter at the end": _range("bytes=1-b", nginx=416, why=NONSENSE),
    "three numbers": _range("bytes=1-2-3", nginx=416, why=NONSENSE),
    "two dashes": _range("bytes=1--2", nginx=416, why=NONSENSE),
    "a sign": _range("bytes=+1-2", nginx=416, why=NONSENSE),
    "a fraction": _range("bytes=1.0-2", nginx=416, why=NONSENSE),
    "hexadecimal": _range("bytes=0x1-2", nginx=416, why=NONSENSE),
    "a semicolon": _range("bytes=0-1;", nginx=416, why=NONSENSE),
    "sound and nonsense": _range("bytes=0-1,x", nginx=416, why=NONSENSE),
    "an empty part": _range("bytes=0-1,,5-6", (0, 1), (5, 6), nginx=416, why=NONSENSE),
    "another unit": _range("items=0-1"),
    "no unit": _range("0-1"),
    "no equals sign": _range("bytes"),
    "space before the equals sign": _range("bytes =0-1"),
    "If-Range right": _range("bytes=1-2", (1, 2), If_Range="{etag}"),
    "If-Range right, several": _range("bytes=1-2,4-5", (1, 2), (4, 5), If_Range="{etag}"),
    "If-Range wrong": _range("bytes=1-2", If_Range='"0"'),
    "If-Range weak": _range("bytes=1-2", If_Range="W/{etag}"),
    "If-Range without quotes": _range("bytes=1-2", If_Range="0"),
    "If-Range with another date": _range("bytes=1-2", If_Range=OLD),
    "If-Range wrong, beyond the end": _range("bytes={n}-", If_Range='"0"'),
    "If-Range without a range": Case({"If-Range": "{etag}"}, 200),
    "If-None-Match right": _when(304, If_None_Match="{etag}"),
    "If-None-Match weak": _when(304, If_None_Match="W/{etag}"),
    "If-None-Match in a list": _when(304, If_None_Match='"x", {etag}, "y"'),
    "If-None-Match anything": _when(304, If_None_Match="*"),
    "If-None-Match wrong": _when(200, If_None_Match='"x"'),
    "If-None-Match without quotes": _when(200, If_None_Match="x"),
    "If-None-Match with a star in it": _when(200, If_None_Match="x*"),
    "If-None-Match with a star among others": _when(200, If_None_Match='"x", "*"'),
    "If-None-Match before the range": _when(304, If_None_Match="{etag}", Range="bytes=0-9"),
    "If-None-Match wrong, then the range": _when(206, If_None_Match='"x"', Range="bytes=0-9"),
    "If-Match right": _when(200, If_Match="{etag}"),
    "If-Match in a list": _when(200, If_Match='"x", {etag}'),
    "If-Match anything": _when(200, If_Match="*"),
    "If-Match with a star in it": _when(412, If_Match="x*"),
    "If-Match wrong": _when(412, If_Match='"x"'),
    "If-Match weak": _when(412, If_Match="W/{etag}"),
    "If-Match right, then the range": _when(206, If_Match="{etag}", Range="bytes=0-9"),
    "If-Match wrong before the range": _when(412, If_Match='"x"', Range="bytes=0-9"),
    "If-Match before If-None-Match": _when(412, If_Match='"x"', If_None_Match="{etag}"),
    "both match": _when(304, If_Match="{etag}", If_None_Match="{etag}"),
    "If-Modified-Since long ago": _when(200, If_Modified_Since=OLD),
    "If-Modified-Since its date": _when(200, 304, DATELESS, If_Modified_Since="{date}"),
    "If-Modified-Since nonsense": _when(200, If_Modified_Since="yesterday"),
    "If-Unmodified-Since long ago": _when(200, 412, DATELESS, If_Unmodified_Since=OLD),
    "If-Unmodified-Since some day": _when(200, If_Unmodified_Since=LATE),
    "HEAD": _head(200),
    "HEAD with a range": _head(200, 206, HEAD_RANGE, Range="bytes=0-9"),
    "HEAD with a range beyond": _head(200, 416, HEAD_RANGE, Range="bytes={n}-"),
    "HEAD If-None-Match right": _head(304, If_None_Match="{etag}"),
    "HEAD If-None-Match wrong": _head(200, If_None_Match='"x"'),
    "HEAD If-Match wrong": _head(412, If_Match='"x"'),
}


def body_of(answer: Any) -> bytes:
    """Return the bytes of an answer of Django's client, streamed or not."""
    return b"".join(answer.streaming_content) if answer.streaming else bytes(answer.content)

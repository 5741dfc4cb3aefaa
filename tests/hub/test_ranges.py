"""What a Range header means, without a server."""

from __future__ import annotations

import pytest

from hub.http.delivery import MAX_RANGES, Span, parted, spans_of
from registry.errors import RangeUnsatisfiable

N = 1000

#: Range header → (first, last), None for the whole file, "416" for outside.
RANGES: dict[str, tuple[int, int] | str | None] = {
    "bytes=0-0": (0, 0),
    "bytes=0-": (0, 999),
    "bytes=0-999": (0, 999),
    "bytes=0-1000": (0, 999),
    "bytes=0-99999999999999999999999999": (0, 999),
    "bytes=1-1": (1, 1),
    "bytes=10-19": (10, 19),
    "bytes=500-": (500, 999),
    "bytes=999-": (999, 999),
    "bytes=999-999": (999, 999),
    "bytes=-1": (999, 999),
    "bytes=-500": (500, 999),
    "bytes=-1000": (0, 999),
    "bytes=-1001": (0, 999),
    "bytes=-99999999999999999999999999": (0, 999),
    "BYTES=0-1": (0, 1),
    "Bytes=5-6": (5, 6),
    "bytes= 5-6": (5, 6),
    "bytes=5-6 ": (5, 6),
    "bytes=0005-0006": (5, 6),
    "bytes=1000-": "416",
    "bytes=1000-1001": "416",
    "bytes=1001-": "416",
    "bytes=99999999999999999999999999-": "416",
    "bytes=-0": "416",
    "bytes=-000": "416",
    "bytes=2-1": None,
    "bytes=-": None,
    "bytes=": None,
    "bytes": None,
    "": None,
    "0-1": None,
    "items=0-1": None,
    "bytes=a-b": None,
    "bytes=1-b": None,
    "bytes=-1-2": None,
    "bytes=1--2": None,
    "bytes=+1-2": None,
    "bytes=1.0-2": None,
    "bytes=0x1-2": None,
    "bytes=,": None,
    "bytes=,,": None,
    "bytes=0-1,x": None,
    "bytes=0-1,2-1": None,
    "bytes=0-1,-": None,
    "bytes=0-1;": None,
    "bytes =0-1": None,
    "bytes=1 - 2": None,
    "bytes=\u0661-\u0662": None,
}


@pytest.mark.parametrize("header", RANGES)
def test_a_range_header_means(header: str) -> None:
    wanted = RANGES[header]
    if wanted == "416":
        with pytest.raises(RangeUnsatisfiable) as caught:
            spans_of(header, N)
        assert caught.value.facts == {"size": N}
        return
    assert [(span.first, span.last) for span in spans_of(header, N)] == ([wanted] if wanted else [])


def test_several_ranges_keep_their_order() -> None:
    spans = spans_of("bytes=500-509, 0-1,,-1", N)
    assert spans == [Span(500, 509), Span(0, 1), Span(999, 999)]
    assert [span.is_suffix for span in spans] == [False, False, True]
    assert [span.length for span in spans] == [10, 2, 1]


def test_what_lies_outside_is_left_out_of_several() -> None:
    assert spans_of("bytes=1000-,0-1,-0,2000-2001", N) == [Span(0, 1)]
    with pytest.raises(RangeUnsatisfiable):
        spans_of("bytes=1000-,-0", N)


def test_several_ranges_are_never_more_than_the_file() -> None:
    assert len(spans_of("bytes=0-499,500-", N)) == 2
    assert len(spans_of("bytes=0-499,499-998", N)) == 2
    assert spans_of("bytes=0-499,499-", N) == []
    assert spans_of("bytes=" + ",".join(["0-"] * MAX_RANGES), N) == []


def test_too_many_ranges_are_the_whole_file() -> None:
    few = ",".join(f"{n}-{n}" for n in range(MAX_RANGES))
    assert len(spans_of(f"bytes={few}", N)) == MAX_RANGES
    assert spans_of(f"bytes={few},99-99", N) == []
    assert spans_of("bytes=" + ",".join(["0-0"] * 100_000), N) == []


@pytest.mark.parametrize("header", ["bytes=0-", "bytes=-1", "bytes=0-0", "bytes=1-", "bytes=-0"])
def test_an_empty_file_has_no_parts(header: str) -> None:
    assert spans_of(header, 0) == []


def test_parts_are_framed_as_the_rfc_shows() -> None:
    body = list(parted([Span(0, 1), Span(5, 6)], N, "text/plain", "MARK"))
    assert body == [
        b"--MARK\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/1000\r\n\r\n",
        Span(0, 1),
        b"\r\n--MARK\r\nContent-Type: text/plain\r\nContent-Range: bytes 5-6/1000\r\n\r\n",
        Span(5, 6),
        b"\r\n--MARK--\r\n",
    ]

"""Numbers as commands tell them."""

from __future__ import annotations

import pytest

from hub.management.progress import listed
from hub.plurals import counted, size_text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 files"), (1, "1 file"), (2, "2 files"), (12_000, "12,000 files")]
)
def test_only_one_is_singular(count: int, text: str) -> None:
    assert counted(count, "file") == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (12_345_678, "12.3 MB"),
        (5 * 10**15, "5000.0 TB"),
    ],
)
def test_lengths_have_a_unit_for_people(size: int, text: str) -> None:
    assert size_text(size) == text


def test_a_long_list_is_counted_and_begun() -> None:
    assert list(listed([], "lost", noun="file")) == []
    assert list(listed(["a"], "lost", noun="file")) == ["1 file lost:", "  a"]
    said = list(listed([str(n) for n in range(12)], "lost", noun="file"))
    assert (said[0], len(said)) == ("12 files lost:", 11)

"""Names and titles suggested from files."""

from __future__ import annotations

import pytest

from hub.pages.publishing.header_preview import slug as slug_of
from hub.templatetags.lorary import codes, digest, ruler, size, strength
from registry.names import check_name


@pytest.mark.parametrize(
    ("stem", "slug"),
    [
        ("hard_noir v2", "hard_noir-v2"),
        ("--Neon..Line--Art--", "Neon-Line-Art"),
        ("Ünï çode (final)", "n-ode-final"),
        ("x" * 200, "x" * 96),
        ("a - b", "a-b"),
    ],
)
def test_a_file_name_becomes_a_name_by_the_grammar(stem: str, slug: str) -> None:
    assert slug_of(stem) == slug
    check_name(slug_of(stem))


def test_sizes_are_decimal_and_short() -> None:
    told = [size(n) for n in (0, 999, 9_400_000, 151_060_480, 2_000_000_000, 10**15)]
    assert told == ["0 B", "999 B", "9.4 MB", "151 MB", "2 GB", "1000 TB"]


def test_strengths_have_no_more_digits_than_needed() -> None:
    assert [strength(v) for v in (0, 0.25, 0.5, 1, 1.25, None)] == [
        "0", "0.25", "0.5", "1.0", "1.25", "",
    ]  # fmt: skip


def test_a_digest_shows_both_ends() -> None:
    assert digest("0123456789abcdef" * 4) == "01234567…cdef"


def test_a_ruler_says_its_numbers() -> None:
    assert "Recommended strength 0.7 to 1.0, best 0.9" in ruler(0.9, 0.7, 1.0)
    assert "Recommended strength 1.0" in ruler(1.0, None, None)
    assert 'd="M2.0 7H102.0"' in ruler(9, -3, 9)


def test_a_ruler_has_two_sides_where_strengths_below_0_are_recommended() -> None:
    assert 'd="M2.0 7H102.0"' in ruler(0.5, 0, 1.5)
    signed = ruler(0.5, -0.75, 0.75)
    assert "Recommended strength −0.75 to 0.75, best 0.5" in signed
    assert 'd="M27.0 7H77.0"' in signed


def test_what_stands_between_backticks_is_code_and_nothing_is_markup() -> None:
    assert codes("`<a>` is <b> here, `open") == (
        "<code>&lt;a&gt;</code> is &lt;b&gt; here, <code>open</code>"
    )

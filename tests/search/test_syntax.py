"""The query language, which has no errors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.search.syntax import MAX_TERMS, Limit, Owner, parse

MB = 10**6


def parts(text: str) -> list[tuple[str, ...]]:
    return [word.parts for word in parse(text).words]


def test_words_and_phrases() -> None:
    assert parts('noir "film look" light') == [("noir",), ("film", "look"), ("light",)]
    assert [word.is_phrase for word in parse('noir "film look"').words] == [False, True]


def test_only_the_last_word_may_go_on() -> None:
    assert [word.is_unfinished for word in parse("film noi").words] == [False, True]
    for text in ("noir ", '"noir"', "film -noir", "film n", "film rank:8"):
        assert not any(word.is_unfinished for word in parse(text).words), text


def test_a_minus_excludes_words_phrases_and_fields() -> None:
    parsed = parse('film -anime -"pixel art" -tag:photo -owner:ada')
    assert [word.parts for word in parsed.wanted] == [("film",)]
    assert [word.parts for word in parsed.unwanted] == [("anime",), ("pixel", "art"), ("photo",)]
    assert parsed.owners == (Owner("ada", is_excluded=True),)


def test_a_hyphen_inside_a_word_excludes_nothing() -> None:
    (word,) = parse("semi-realistic").words
    assert word.parts == ("semi", "realistic")
    assert not word.is_excluded


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("tag:film", "tags"),
        ("BASE:sdxl", "base"),
        ("trigger:ohwx", "triggers"),
        ("family:sdxl", "base"),
        ("kind:style", "kind"),
    ],
)
def test_fields_name_a_column(text: str, column: str) -> None:
    (word,) = parse(text).words
    assert word.column == column


def test_a_field_takes_a_phrase() -> None:
    (word,) = parse('base:"stable diffusion"').words
    assert (word.column, word.parts, word.is_phrase) == ("base", ("stable", "diffusion"), True)


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("rank:16", 16, 16), ("rank:8..32", 8, 32), ("rank:8..", 8, None), ("rank:..8", None, 8),
        ("rank:>16", 17, None), ("rank:>=16", 16, None), ("rank:<16", None, 15),
        ("size:<100mb", None, 100 * MB - 1), ("size:>1gb", 1000 * MB + 1, None),
        ("size:>=1.5GB", 1500 * MB, None), ("size:10MB..20MB", 10 * MB, 20 * MB),
        ("size:100mb", 95 * MB, 105 * MB), ('size:"<1 mb"', None, MB - 1),
    ],
)  # fmt: skip
def test_ranges(text: str, low: int | None, high: int | None) -> None:
    parsed = parse(text)
    assert parsed.words == ()
    assert parsed.limits == (Limit("rank" if "rank" in text else "size", low, high),)


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("rating:general", 0, 0), ("rating:Mature", 2, 2), ("rating:<=suggestive", None, 1),
        ("rating:<mature", None, 1), ("rating:>suggestive", 2, None),
        ("rating:suggestive..mature", 1, 2), ("rating:mature..", 2, None),
        ("rating:>explicit", 4, None),
    ],
)  # fmt: skip
def test_ratings_are_ranges_of_levels(text: str, low: int | None, high: int | None) -> None:
    assert parse(text).limits == (Limit("rating", low, high),)
    assert parse(f"-{text}").limits == (Limit("rating", low, high, is_excluded=True),)


@pytest.mark.parametrize(
    "text",
    ["rating:2", "rating:<=1", "rating:odd", "rating:generalmature", "rating:general..3",
     "rank:general", "rank:many", "rank:..", "rank:8.5", "rank:8mb",
     "size:large", "size:1xb", "colour:red", "a:b"],
)  # fmt: skip
def test_what_is_no_field_is_a_word(text: str) -> None:
    parsed = parse(text)
    assert not parsed.limits
    assert len(parsed.words) == 1
    assert parsed.words[0].column == ""


@pytest.mark.parametrize("text", ['"film noir', 'film noir"', '""film noir', "film 'noir"])
def test_a_stray_quote_is_left_out(text: str) -> None:
    assert parts(text) == [("film",), ("noir",)]


@pytest.mark.parametrize("text", ["", " ", "-", '"', '""', "!?", "- -", "tag:", "— …"])
def test_signs_alone_are_no_words(text: str) -> None:
    assert all(word.parts == ("tag",) for word in parse(text).words)


def test_an_unfinished_field_is_a_word() -> None:
    assert parts("owner:") == [("owner",)]


def test_further_words_are_ignored() -> None:
    assert len(parse(" ".join(["word"] * 50)).words) == MAX_TERMS


PIECES = st.sampled_from(
    ['"', "-", ":", "..", "<", ">", "tag:", "owner:", "rank:", "size:", "rating:", "8", "mb",
     "mature", " ", "noir", "é"]
)  # fmt: skip


@given(st.one_of(st.text(max_size=100), st.lists(PIECES, max_size=20).map("".join)))
def test_any_text_is_a_query(text: str) -> None:
    parsed = parse(text)
    for word in parsed.words:
        assert word.parts
        assert text[word.start : word.end] == word.text
    for limit in parsed.limits:
        assert all(end is None or abs(end) <= 2**62 * 2 for end in (limit.low, limit.high))

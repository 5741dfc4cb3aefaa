"""Normalised words: accents, case, spelling, words written as one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.models.search import MAX_WORD
from registry.search import words
from registry.search.documents import plain_text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Colour", "color"), ("watercolour", "WaterColor"), ("grey", "gray"), ("centre", "center"),
        ("theatre", "theater"), ("stylised", "stylized"), ("realise", "realize"),
        ("analyse", "analyze"), ("catalogue", "catalog"), ("jewellery", "jewelry"),
        ("modelling", "modeling"), ("travelled", "traveled"), ("mediaeval", "medieval"),
        ("armour", "armor"), ("greyscale", "grayscale"), ("Ærøskøbing", "aeroskobing"),
        ("café", "CAFE"), ("Straße", "strasse"), ("ｆｕｌｌ", "full"), ("fibre", "fiber"),
    ],
)  # fmt: skip
def test_spellings_are_folded_alike(one: str, other: str) -> None:
    assert words.fold(one) == words.fold(other)


@pytest.mark.parametrize(
    "word", ["four", "hour", "contour", "tour", "acre", "ink", "paris", "1girl"]
)
def test_other_words_stay(word: str) -> None:
    assert words.fold(word) == word


@pytest.mark.parametrize(
    ("text", "indexed"),
    [
        ("FilmNoir", "film noir ¦ filmnoir"),
        ("semi-realistic", "semi realistic ¦ semirealistic"),
        ("LoRA for SDXL", "lora for sdxl"),
        ("FLUX.1 dev", "flux 1 dev ¦ flux1"),
        ("水彩画", "水 彩 画 ¦ 水彩画"),
        ("1_2", "1 2 ¦ 12"),
        ("—!?", ""),
    ],
)
def test_words_are_split_and_also_kept_as_one(text: str, indexed: str) -> None:
    assert words.indexed(text) == indexed


def test_a_name_has_pairs_of_its_words() -> None:
    assert words.indexed("Film noir", has_pairs=True) == "film noir ¦ filmnoir"


def test_no_phrase_goes_from_one_text_into_the_next() -> None:
    assert words.indexed("film", "noir") == "film ¦ noir"


@pytest.mark.parametrize(
    ("typed", "whole"),
    [("colou", "color"), ("watercolou", "watercolor"), ("stylis", "stylized"), ("noi", "noise")],
)
def test_an_unfinished_word_begins_its_other_spelling(typed: str, whole: str) -> None:
    assert words.fold(whole).startswith(words.unfinished(typed))


@given(st.text(max_size=200))
def test_any_text_becomes_words_that_need_no_quotes(text: str) -> None:
    for word in words.split(text):
        assert word
        assert not set(word) & set(" \t\n\"'\\&|!():*¦")
        assert len(word) <= 2 * MAX_WORD


@given(st.text(max_size=80))
def test_folding_twice_changes_nothing_more_for_phrases(text: str) -> None:
    once = words.split(text)
    assert words.split(" ".join(once)) == [words.fold(word) for word in once]


def test_the_text_of_a_card_has_no_marks() -> None:
    card = (
        "# Noir\n\nA **film** look, see [the paper](https://example.org/x).\n"
        '![picture](a.png)\n<div align="center">Hi</div>\n```py\ncode\n```\n- one\n> quoted\n'
        "| weight | look |\n| --- | :--: |\n| 0.6 | thin |\n\nweight\n------\n"
    )
    assert plain_text(card).split() == [
        "Noir", "A", "film", "look,", "see", "the", "paper.", "picture", "Hi", "code", "one",
        "quoted", "weight", "look", "0.6", "thin", "weight",
    ]  # fmt: skip
    assert plain_text(card.replace("\n", "\r\n")).split() == plain_text(card).split()


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_yaml_before_a_card_is_not_searched(line_end: str) -> None:
    for lines, text in (
        ("---|license: mit|tags: [a]|---|An *ink* look", "An ink look"),
        ("---|# See the docs|tags:|- a|- b||base_model:|  c|---  ||Ink", "Ink"),
        ("---|license: mit|---", ""),
        ("---|Soft light.|---|Ink", "Soft light. Ink"),
        ("---|- soft|- light|---|Ink", "soft light Ink"),
        ("---|Note: soft|light|---|Ink", "Note: soft light Ink"),
        ("Ink|---|license: mit|---", "Ink license: mit"),
    ):
        assert plain_text(lines.replace("|", line_end)).split() == text.split()


@given(st.text(alphabet="[]()!<>-#*`_ \nab", max_size=3000))
def test_no_card_takes_long(text: str) -> None:
    plain_text(text)

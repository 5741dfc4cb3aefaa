"""Reading values of the metadata: absent, private, numbers, texts, names."""

from __future__ import annotations

import json

import pytest

from lorary.anatomy.claims.metadata import (
    CachedMetadata,
    base_name,
    clean,
    first_text,
    int_if_whole,
    is_private,
    number,
    numbers_in,
    parsed_json,
    public_name,
    public_text,
    redact,
    shorten,
    whole_number,
)


def test_absent_is_spelt_in_many_ways() -> None:
    metadata = {"a": "None", "b": "", "c": " null ", "d": "yes", "e": "\u200b"}
    assert first_text(metadata, "a", "b", "c", "e", "d") == "yes"
    assert first_text(metadata, "a", "z") is None


def test_a_notebook_parses_each_value_once() -> None:
    metadata = {"a": '{"b": [1]}', "c": "{"}
    noted = CachedMetadata(metadata)
    assert noted == metadata
    assert parsed_json(noted, "a") is parsed_json(noted, "a")
    assert [parsed_json(noted, key) for key in "acd"] == [
        parsed_json(metadata, key) for key in "acd"
    ]


def test_texts_are_cleaned_and_cut() -> None:
    assert clean("a\u200b\u202e  b\r\nc") == "a b c"
    assert clean(json.loads('"a\\ud800b\\udfff"')) == "ab"
    assert shorten("abcdef", 4) == "abc…"
    assert shorten("abc", 4) == "abc"


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (True, None), (None, None), ("x", None), ("nan", None), ("1e999", None),
        (10**400, None), ("5", 5.0), (2, 2.0), (1.5, 1.5),
    ],
)  # fmt: skip
def test_numbers_are_finite_or_absent(value: object, found: float | None) -> None:
    assert number(value) == found
    assert (whole_number("12.0"), whole_number("-1"), whole_number("1e300")) == (12, None, None)
    assert (int_if_whole(5.0), int_if_whole(5.5), int_if_whole(None), int_if_whole(1e300)) == (
        5,
        5.5,
        None,
        1e300,
    )
    assert numbers_in("[1e-4, .5] 0-875 -2.") == [0.0001, 0.5, 0.0, 875.0, -2.0]


def test_json_is_bounded_and_never_a_surprise() -> None:
    assert parsed_json({"a": '{"b": 1}'}, "a") == {"b": 1}
    assert parsed_json({"a": json.dumps('{"b": 1}')}, "a") == {"b": 1}
    assert parsed_json({"a": {"b": 1}}, "a") == {"b": 1}
    assert parsed_json({"a": "{"}, "a") is None
    assert parsed_json({"a": "[" * 200_000}, "a") is None
    assert parsed_json({"a": '"' + "x" * (5 * 1024 * 1024) + '"'}, "a") is None
    assert parsed_json({}, "a") is None


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("see https://example.org/a/b", "see https://example.org/a/b"),
        ("and/or", "and/or"),
        ("rate 1/2 of 3/4/5", "rate 1/2 of 3/4/5"),
        ("sk-" + "a1" * 12, "[removed]"),
        ("sky-blue and task-based", "sky-blue and task-based"),
        ("'/home/me/a'", "'…/a'"),
    ],
)
def test_redaction_leaves_plain_text_alone(text: str, kept: str) -> None:
    assert redact(text) == kept


def test_names_of_files_are_told_without_their_owner() -> None:
    assert public_name("/home/me/x.safetensors") == "x.safetensors"
    assert public_name("/home/me") == ""
    assert public_name("owner/name") == "owner/name"
    token = "hf_" + "a" * 34
    assert public_text("x" * 190 + " " + token) == "x" * 190 + " [removed]"
    assert (is_private(token), is_private("a plain tag")) == (True, False)


def test_a_base_name_is_a_file_or_a_model_of_a_hub() -> None:
    assert base_name("owner/name") == "owner/name"
    assert base_name("dir/model.safetensors") == "model.safetensors"
    assert base_name("https://hf.co/owner/name/blob/main/x.safetensors?download=1") == (
        "x.safetensors"
    )

"""Reading values of the metadata: absent, private, numbers, texts, names."""

from __future__ import annotations

import json

import pytest

from lorary.anatomy.claims.metadata import (
    Notebook,
    base_name,
    clean,
    count,
    decimals,
    file_told,
    is_private,
    number,
    parsed,
    present,
    redact,
    shorten,
    told,
    whole,
)


def test_absent_is_spelt_in_many_ways() -> None:
    metadata = {"a": "None", "b": "", "c": " null ", "d": "yes", "e": "\u200b"}
    assert present(metadata, "a", "b", "c", "e", "d") == "yes"
    assert present(metadata, "a", "z") is None


def test_a_notebook_parses_each_value_once() -> None:
    metadata = {"a": '{"b": [1]}', "c": "{"}
    noted = Notebook(metadata)
    assert noted == metadata
    assert parsed(noted, "a") is parsed(noted, "a")
    assert [parsed(noted, key) for key in "acd"] == [parsed(metadata, key) for key in "acd"]


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
    assert (count("12.0"), count("-1"), count("1e300")) == (12, None, None)
    assert (whole(5.0), whole(5.5), whole(None), whole(1e300)) == (5, 5.5, None, 1e300)
    assert decimals("[1e-4, .5] 0-875 -2.") == [0.0001, 0.5, 0.0, 875.0, -2.0]


def test_json_is_bounded_and_never_a_surprise() -> None:
    assert parsed({"a": '{"b": 1}'}, "a") == {"b": 1}
    assert parsed({"a": json.dumps('{"b": 1}')}, "a") == {"b": 1}
    assert parsed({"a": {"b": 1}}, "a") == {"b": 1}
    assert parsed({"a": "{"}, "a") is None
    assert parsed({"a": "[" * 200_000}, "a") is None
    assert parsed({"a": '"' + "x" * (5 * 1024 * 1024) + '"'}, "a") is None
    assert parsed({}, "a") is None


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
    assert file_told("/home/me/x.safetensors") == "x.safetensors"
    assert file_told("/home/me") == ""
    assert file_told("owner/name") == "owner/name"
    token = "hf_" + "a" * 34
    assert told("x" * 190 + " " + token) == "x" * 190 + " [removed]"
    assert (is_private(token), is_private("a plain tag")) == (True, False)


def test_a_base_name_is_a_file_or_a_model_of_a_hub() -> None:
    assert base_name("owner/name") == "owner/name"
    assert base_name("dir/model.safetensors") == "model.safetensors"
    assert base_name("https://hf.co/owner/name/blob/main/x.safetensors?download=1") == (
        "x.safetensors"
    )

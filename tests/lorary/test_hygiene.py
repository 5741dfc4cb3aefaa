"""Texts that should not be published as they are."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from lorary.anatomy.findings.hashes import embedded_hashes, hash_findings
from lorary.anatomy.findings.hygiene import metadata_findings, name_findings

if TYPE_CHECKING:
    from lorary.anatomy.findings.finding import Finding

NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
SHA = "467ab3efe0039ac24a8f78d627f87fac1345b1526a22fef0ff48c21cb50fafdf"


def _of(value: str) -> list[Finding]:
    return list(metadata_findings({"ss_training_comment": value}))


def _codes(value: str) -> list[str]:
    return [finding.code for finding in _of(value)]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("<script>alert(1)</script>", "markup"),
        ("< IFRAME src=x>", "markup"),
        ("<img src=x onerror=alert(1)>", "markup"),
        ("<a href='https://tracker.example'>x</a>", "markup"),
        ("<svg/onload=alert(1)>", "markup"),
        ("<style>*{}</style>", "markup"),
        ("<!-- x", "markup"),
        ("[a](javascript:alert(1))", "script"),
        ("JaVaScRiPt:alert(1)", "script"),
        ("data:text/html,x", "script"),
        ("x onpointerover = alert(1)", "script"),
        ("![x](https://tracker.example/p.png)", "remote_picture"),
        ("![x][1]", "remote_picture"),
        ("![![ [a](x", "remote_picture"),
        ("abc\u202egpj.exe", "invisible_characters"),
        ("a\u2066b\u2069", "invisible_characters"),
        ("a\u200bb", "invisible_characters"),
        ("a\u200db", "invisible_characters"),
        ("x\U000e0041\U000e0042", "invisible_characters"),
        ("a\x1b[31m", "invisible_characters"),
        ("a\x00b", "invisible_characters"),
        ("over\rwritten", "invisible_characters"),
    ],
)
def test_hostile_texts_are_found(value: str, kind: str) -> None:
    found = _of(value)
    assert [finding.code for finding in found] == ["hostile_text"]
    texts = found[0].evidence["texts"]
    assert {"key": "ss_training_comment", "kind": kind} in texts  # type: ignore[operator]
    assert value not in str(found)


@pytest.mark.parametrize(
    "value",
    [
        "networks.lora",
        "a < b and c > d, <3, >_<, <lora:noir:0.8>, <s1>, <o>_<o>",
        "<class 'torch.optim.AdamW'>, <function f at 0x7f>, <object object at 0x7f>",
        "only one = sign, action=1, description: nothing",
        "line\nline\ttab\r\nwindows line",
        "emoji 👩‍🎨 🏴󠁧󠁢󠁥󠁮󠁧󠁿 ❤️, می‌خواهم, 日本語　全角",
        "wow! [not a picture](https://example.com)",
        "data: 20 images",
    ],
)
def test_ordinary_texts_are_left_alone(value: str) -> None:
    assert _codes(value) == []


def test_keys_are_texts_too_and_cleaned_in_findings() -> None:
    found = list(metadata_findings({"c\u202eode": "fine", "<script>": "fine"}))
    assert [finding.code for finding in found] == ["hostile_text"]
    assert {entry["key"] for entry in found[0].evidence["texts"]} == {"code", "<script>"}  # type: ignore[attr-defined]


def test_names_of_tensors_are_texts_too() -> None:
    assert list(name_findings(["lora_unet_a.lora_down.weight", "unet.a.lora_A.weight"])) == []
    found = list(name_findings(["fine", "<img src=x>.weight", "a\u200bb.weight"]))
    assert [finding.code for finding in found] == ["hostile_text"]
    assert found[0].evidence == {"count": 2, "tensors": ["<img src=x>.weight", "ab.weight"]}


def test_pictures_are_left_out_and_said_so_with_their_size() -> None:
    picture = "data:image/png;base64," + "A" * 40 + "/home/x/"
    found = list(metadata_findings({"modelspec.thumbnail": picture}))
    assert [finding.code for finding in found] == ["thumbnail_left_out"]
    assert found[0].evidence == {"chars": len(picture), "keys": ["modelspec.thumbnail"]}


def test_a_picture_that_can_hold_scripts_is_hostile_too() -> None:
    assert _codes("data:image/svg+xml;base64," + "A" * 40) == ["hostile_text", "thumbnail_left_out"]
    assert _codes("data:image/png,/home/anna/x") == ["privacy_path"]


def test_large_metadata_names_its_largest_keys() -> None:
    found = list(metadata_findings({"a": "x" * 300_000, "b": "y"}))
    assert [(f.code, f.evidence) for f in found] == [
        ("metadata_large", {"chars": 300_003, "keys": ["a"]})
    ]


@pytest.mark.parametrize(
    ("value", "is_broken"),
    [
        ("a lot", True), ('{"a": 1', True), ("{'a': 1}", True), ("[1}", True), ("True", True),
        (" ", False), ("null", False), ("None", False), ('{"a": 1} ', False), ("[]", False),
    ],
)  # fmt: skip
def test_values_that_should_be_json_are_looked_at(value: str, is_broken: bool) -> None:
    found = list(metadata_findings({"ss_tag_frequency": value, "ss_datasets": "[]"}))
    assert [finding.evidence["keys"] for finding in found] == [["ss_tag_frequency"]] * is_broken


@pytest.mark.parametrize(
    ("key", "value", "kind"),
    [
        ("ss_new_sd_model_hash", "IsADirectory", "not_hexadecimal"),
        ("ss_new_sd_model_hash", "NOFILE", "not_hexadecimal"),
        ("ss_new_sd_model_hash", NOTHING, "hash_of_nothing"),
        ("ss_new_sd_model_hash", NOTHING.upper(), "hash_of_nothing"),
        ("ss_new_vae_hash", SHA[:32], "wrong_length"),
        ("ss_sd_model_hash", "e3b0c442", "hash_of_nothing"),
        ("sshs_model_hash", SHA[:32], "wrong_length"),
        ("sshs_model_hash", "0" * 64, "one_digit"),
        ("sshs_legacy_hash", SHA, "wrong_length"),
        ("modelspec.hash_sha256", f"0x{NOTHING}", "hash_of_nothing"),
        ("modelspec.hash_sha256", "0x12", "wrong_length"),
        ("sshs_model_hash", SHA, None),
        ("sshs_model_hash", "None", None),
        ("sshs_model_hash", "", None),
        ("ss_sd_model_hash", "9e689848", None),
        ("ss_sd_model_hash", "67ab2fd8ec", None),
        ("sshs_legacy_hash", "e3b0c442", None),
        ("modelspec.hash_sha256", f"0x{SHA}", None),
        ("my_hash", "IsADirectory", None),
    ],
)
def test_words_that_stand_for_hashes_are_told(key: str, value: str, kind: str | None) -> None:
    found = list(hash_findings({key: value}))
    named = [entry for finding in found for entry in finding.evidence["hashes"]]  # type: ignore[attr-defined]
    assert named == ([] if kind is None else [{"key": key, "kind": kind}])


def test_hashes_that_can_be_checked_are_those_of_the_data() -> None:
    metadata = {
        "sshs_model_hash": SHA.upper(),
        "sshs_legacy_hash": "9e689848",
        "modelspec.hash_sha256": f"0x{SHA}",
    }
    assert embedded_hashes(metadata) == {"sshs_model_hash": SHA, "modelspec.hash_sha256": SHA}
    assert embedded_hashes({**metadata, "ot_branch": "master"}) == {"sshs_model_hash": SHA}
    assert embedded_hashes({"sshs_model_hash": SHA[:32], "modelspec.hash_sha256": NOTHING}) == {}


def test_ordinary_metadata_costs_little() -> None:
    """The header's hot path: 50 KB of tags in under a millisecond on the slowest machine we know.

    The bound here is ten times that, so that only another order of growth breaks it.
    """
    tags = ", ".join(f'"tag number {number} (series)": {number}' for number in range(1_600))
    metadata = {"ss_tag_frequency": '{"10_noir style": {' + tags + "}}", "ss_optimizer": "AdamW"}
    assert 45_000 < len(metadata["ss_tag_frequency"]) < 60_000
    started = time.process_time()
    for _ in range(50):
        assert list(metadata_findings(metadata)) == []
    assert (time.process_time() - started) / 50 < 0.01


@pytest.mark.parametrize(
    "unit",
    ["<", "![", "![x", "<a ", "<!--", "<object ", "<meta x", "\r\n", "\u200b", "onload ", "data:"],
)
def test_hostile_texts_take_linear_time(unit: str) -> None:
    started = time.process_time()
    list(metadata_findings({"a": unit * (1_000_000 // len(unit))}))
    assert time.process_time() - started < 5

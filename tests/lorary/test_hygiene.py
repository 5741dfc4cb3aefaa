"""Metadata that should not be published as it is."""

from __future__ import annotations

import time

import pytest

from lorary.anatomy.hygiene import metadata_findings


def _codes(value: str) -> list[str]:
    return [finding.code for finding in metadata_findings({"ss_training_comment": value})]


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("C:\\Users\\anna\\loras", "privacy_path"),
        ('{"image_dir": "C:\\\\Users\\\\anna\\\\set"}', "privacy_path"),
        ("/home/anna/set", "privacy_path"),
        ("/Users/anna/set", "privacy_path"),
        ("/root/set", "privacy_path"),
        ("/mnt/d/set", "privacy_path"),
        ("file:///set", "privacy_path"),
        ("see \\\\nas\\share", "privacy_path"),
        ("hf_" + "a" * 34, "privacy_secret"),
        ("sk-" + "a1" * 20, "privacy_secret"),
        ("AKIA" + "A" * 16, "privacy_secret"),
        ("ghp_" + "b" * 36, "privacy_secret"),
        ("Authorization: Bearer " + "c" * 30, "privacy_secret"),
        ("https://x.example/a?token=abcdefgh123", "privacy_secret"),
        ("wandb_api_key: " + "0f" * 20, "privacy_secret"),
        ("by anna.b+x@mail.example.org", "privacy_email"),
        ("<script>alert(1)</script>", "hostile_text"),
        ("<img src=x onerror=alert(1)>", "hostile_text"),
        ("[a](javascript:alert(1))", "hostile_text"),
        ("![x](https://tracker.example/p.png)", "hostile_text"),
        ("abc\u202egpj.exe", "hostile_text"),
        ("a\u200bb", "hostile_text"),
        ("a\x1b[31m", "hostile_text"),
    ],
)
def test_private_and_hostile_texts_are_found(value: str, code: str) -> None:
    assert _codes(value) == [code]


@pytest.mark.parametrize(
    "value",
    [
        "networks.lora",
        "f9317052edb4ab3b3c531ac3b28825ee78b4a966",
        "1girl, @_@, looking at viewer",
        "https://github.com/Stability-AI/generative-models",
        "a < b and c > d, 5% off @ home",
        "Prodigy(decouple=True,weight_decay=0.5)",
    ],
)
def test_ordinary_texts_are_left_alone(value: str) -> None:
    assert _codes(value) == []


def test_findings_name_keys_and_never_repeat_values() -> None:
    secret = "hf_" + "Q" * 34
    found = list(metadata_findings({"a": "fine", "b": secret, "c\u202e": "fine"}))
    assert {finding.code: finding.evidence["keys"] for finding in found} == {
        "privacy_secret": ["b"],
        "hostile_text": ["c"],
    }
    assert secret not in str(found)


def test_pictures_are_left_out_and_said_so() -> None:
    metadata = {"modelspec.thumbnail": "data:image/png;base64," + "A" * 40 + "/home/x/"}
    assert [finding.code for finding in metadata_findings(metadata)] == ["thumbnail_left_out"]


def test_large_and_unreadable_metadata_are_noted() -> None:
    assert _codes("x" * 300_000) == ["metadata_large"]
    broken = metadata_findings({"ss_tag_frequency": "a lot", "ss_datasets": "[]"})
    assert [finding.evidence["keys"] for finding in broken] == [["ss_tag_frequency"]]
    assert list(metadata_findings({"ss_tag_frequency": " "})) == []


@pytest.mark.parametrize(
    "unit", ["@", "a@", "a.", "wandb ", "/home/", "\\", "<", "![", "Bearer ", "C:\\Users", "hf_a"]
)
def test_hostile_texts_take_linear_time(unit: str) -> None:
    started = time.process_time()
    list(metadata_findings({"a": unit * (1_000_000 // len(unit))}))
    assert time.process_time() - started < 5

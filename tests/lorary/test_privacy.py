"""Private things in metadata: found and named by key and kind, never repeated."""

from __future__ import annotations

import json
import time

import pytest

from lorary.anatomy.findings.hygiene import metadata_findings
from lorary.anatomy.findings.privacy import kinds_in, leaks, redact, safe_name

PRIVATE = [
    # text, its kind, and the part that must never be shown
    ("C:\\Users\\anna\\loras", "user_path", "anna"),
    ("trained in c:/users/Anna Smith/loras/x", "user_path", "Anna"),
    ("C:\\Documents and Settings\\anna\\x", "user_path", "anna"),
    ('{"image_dir": "C:\\\\Users\\\\anna\\\\set"}', "user_path", "anna"),
    ('{"a": "{\\"b\\": \\"C:\\\\\\\\Users\\\\\\\\anna\\\\\\\\x\\"}"}', "user_path", "anna"),
    ("/home/anna/set", "user_path", "anna"),
    ("/home/anna", "user_path", "anna"),
    ('{"path": "\\/home\\/anna\\/x"}', "user_path", "anna"),
    ('{"path": "\\u002fhome\\u002fanna\\u002fx"}', "user_path", "anna"),
    ("/ho\u200bme/anna/set", "user_path", "anna"),
    ("/export/home/anna/set", "user_path", "anna"),
    ("/Users/anna/set", "user_path", "anna"),
    ("/c/Users/anna/set", "user_path", "anna"),
    ("/media/anna/disk/set", "user_path", "anna"),
    ("file:///home/anna/set", "user_path", "anna"),
    ("file:///srv/annas/set", "file_url", "annas"),
    ("see \\\\nas-anna\\share", "network_path", "nas-anna"),
    ('{"a": "\\\\\\\\nas-anna\\\\share\\\\x"}', "network_path", "nas-anna"),
    ("/" + "root/annas/set", "computer_path", "annas/"),
    ("/mnt/annas/set", "computer_path", "annas/"),
    ("D:\\annas\\set\\x.png", "computer_path", "annas"),
    ('{"d": "E:/annas/set/x"}', "computer_path", "annas"),
    ("/workspace/annas/model.safetensors", "computer_path", "annas"),
    ("hf_" + "aB3" * 12, "huggingface_token", "aB3aB3"),
    ("my key sk-" + "a1" * 20 + " end", "api_key", "a1a1a1"),
    ("sk-" + "Q" * 48, "api_key", "QQQQ"),
    ("AIza" + "Ab1-" * 8 + "xyz", "api_key", "Ab1-Ab1"),
    ("r8_" + "Ab1" * 12, "api_key", "Ab1Ab1"),
    ("AKIA" + "Q" * 16, "aws_key", "QQQQ"),
    ("ghp_" + "b1" * 18, "github_token", "b1b1b1"),
    ("github_pat_" + "b1" * 18, "github_token", "b1b1b1"),
    ("glpat-" + "b1" * 10, "gitlab_token", "b1b1b1"),
    ("xoxb-123456789012-abcdef", "slack_token", "123456789012"),
    ("https://discord.com/api/webhooks/123456/abcdef-ghijkl", "webhook", "ghijkl"),
    ("Authorization: Bearer " + "c1" * 15, "bearer_token", "c1c1c1"),
    ("authorization: bearer " + "c" * 30, "bearer_token", "cccccc"),
    ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcdef", "web_token", "eyJzdWIi"),
    ("-----BEGIN RSA PRIVATE KEY-----MIIEow", "private_key", "MIIEow"),
    ("https://x.example/a?token=abcdefgh123", "signed_url", "abcdefgh"),
    ("https://x.example/a?X-Amz-Signature=00ff00ff", "signed_url", "00ff00ff"),
    ('{"url": "https://x.example/a?b=1\\u0026token=abcdefgh123"}', "signed_url", "abcdefgh"),
    ("https://anna:geheim@host.example/x", "url_password", "geheim"),
    ("wandb_api_key: " + "0f" * 20, "wandb_key", "0f0f0f"),
    ('{"wandb_api_key": "' + "0f" * 20 + '"}', "wandb_key", "0f0f0f"),
    ("wandb_v1_" + "Ab1" * 12, "wandb_key", "Ab1Ab1"),
    ('{"hub_token": "geheimnis"}', "credential", "geheim"),
    ("password=geheimnis", "credential", "geheim"),
    ("mypassword=geheimnis", "credential", "geheim"),
    ("CLIENT_SECRET: geheimnis", "credential", "geheim"),
    ("AccessKey=geheimnis", "credential", "geheim"),
    ("secret-key: geheimnis", "credential", "geheim"),
    ('{"username": "annas"}', "user_name", "annas"),
    ('{"hostname": "annas-pc"}', "computer_name", "annas"),
    ("by anna.b+x@mail.example.org", "email", "anna"),
    ("<jürgen@müller.example>", "email", "rgen"),
    ('["j\\u00fcrgen@m\\u00fcller.example"]', "email", "rgen"),
    ("a=(/workspace/annas/x,/workspace/annas/y)", "computer_path", "annas"),
]


@pytest.mark.parametrize(("text", "kind", "part"), PRIVATE)
def test_private_things_are_named_by_kind(text: str, kind: str, part: str) -> None:
    assert kind in [found for _, found in kinds_in(text)]
    found = list(metadata_findings({"ss_training_comment": text}))
    named = [leak for finding in found for leak in finding.evidence.get("leaks", ())]  # type: ignore[attr-defined]
    assert kind in [leak["kind"] for leak in named]
    assert all(leak["key"].startswith("ss_training_comment") for leak in named)
    assert part not in json.dumps([finding.to_dict() for finding in found], ensure_ascii=False)


@pytest.mark.parametrize(("text", "kind", "part"), PRIVATE)
def test_redacted_texts_keep_nothing_private(text: str, kind: str, part: str) -> None:
    shown = redact(f"before {text} after")
    assert part not in shown
    assert shown.startswith("before")
    assert kind not in [found for _, found in kinds_in(shown)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "networks.lora",
        "f9317052edb4ab3b3c531ac3b28825ee78b4a966",
        "1girl, @_@, looking at viewer, :/, d:, >:(, \\o/, /o/, \\(style\\), \\m/",
        '{"10_anna girl": {"@_@": 3, "\\\\o/": 2, "d:": 4, "c:/ x": 1, "password": 12345678}}',
        '{"caption": "line.\\\\nfirst\\\\nsecond", "re": "\\\\d+\\\\w+"}',
        "https://github.com/Stability-AI/generative-models",
        "https://example.com/home/page, https://example.com/Users/list",
        "https://civitai.com/models/1?modelVersionId=123456789&type=Model",
        "stabilityai/stable-diffusion-xl-base-1.0",
        "models/loras/x.safetensors",
        "sd_xl_base_1.0.safetensors",
        "bitsandbytes.optim.adamw.AdamW8bit(weight_decay=0.1,betas=(0.9, 0.99))",
        "Prodigy(decouple=True,weight_decay=0.5)",
        "flux-1-dev/lora, either/or, 1024/1024, 05/06/2024 10:11:12",
        "a < b and c > d, 5% off @ home, user@2x.png, picture@large.webp",
        "git@github.com:ostris/ai-toolkit.git, @artist@mastodon.example, noreply@x.example",
        '{"log_with": "wandb", "commit": "f9317052edb4ab3b3c531ac3b28825ee78b4a966"}',
        "standard bearer characterization, mask-something-long-hyphenated-name-9",
        "ss_max_token_length: 225, keep_tokens: 1, class_tokens: ohwx man, <lora:x:0.8>",
        '{"twitter username": 14, "artist name": 12, "username": null, "password": ""}',
        "secretary: somebody else, passwords: 1234, monkey: business, hotkey: something",
        "sk-learn, risk-something-that-goes-on-and-on",
    ],
)
def test_ordinary_texts_are_left_alone(text: str) -> None:
    assert kinds_in(text) == []
    assert redact(text) is text


def test_what_lies_inside_json_is_named_by_its_path() -> None:
    inner = json.dumps({"mail": "anna@mail.example"})
    config = {
        "base_model_name": "C:\\Users\\anna\\m.safetensors",
        "secrets": {"huggingface_token": "geheimnis"},
        "concepts": [{"path": "/home/anna/x", "note": inner}],
        "/home/anna/y": "fine",
    }
    found = {(leak.key, leak.kind) for leak in leaks({"ot_config": json.dumps(config)})}
    assert found == {
        ("ot_config", "whole_config"),
        ("ot_config.base_model_name", "user_path"),
        ("ot_config.secrets.huggingface_token", "credential"),
        ("ot_config.concepts.path", "user_path"),
        ("ot_config.concepts.note.mail", "email"),
        ("ot_config", "user_path"),
    }


def test_a_key_that_is_private_is_named_by_its_place() -> None:
    found = leaks({"a": "fine", "hf_" + "z1" * 17: "fine"})
    assert [(leak.key, leak.kind) for leak in found] == [("(key 2)", "huggingface_token")]
    assert safe_name("hf_" + "z1" * 17) == ""
    assert safe_name("ss_\u202eno\nte") == "ss_note"
    assert safe_name("x" * 90, 10) == "x" * 9 + "…"


@pytest.mark.parametrize(
    ("key", "value", "is_whole"),
    [
        ("ot_config", {"concepts": [], "optimizer": {}}, True),
        ("workflow", {"nodes": [{"class_type": "KSampler"}]}, True),
        ("config", {"transformer": {"num_layers": 28}}, False),
        ("lycoris_config", {"optimizer": 1}, False),
        ("ss_datasets", {"dataset": 1}, False),
    ],
)
def test_whole_configurations_are_told_by_key_and_content(
    key: str, value: object, is_whole: bool
) -> None:
    text = json.dumps({**dict.fromkeys(map(str, range(60)), 1), "x": value})
    assert [leak.kind for leak in leaks({key: text})] == ["whole_config"] * is_whole


@pytest.mark.parametrize(
    "unit",
    [
        "@", "a@", "a.", "@a.", "@" + "a" * 63, "wandb ", "/home/", "\\", "Bearer ", "C:\\Users",
        "hf_a", "sk-a", "/aa", "/aa/aa ", "?token=", "eyJaaaaaaaa.", "password:", "://a:",
        '"login":', "a:\\\\", "{", "[", '{"a":', "\\\\a", "-----BEGIN ", "\\u0041",
        "C:/Users/a ", "secret\t", "\u200b",
    ],
)  # fmt: skip
def test_hostile_texts_take_linear_time(unit: str) -> None:
    text = unit * (1_000_000 // len(unit))
    started = time.process_time()
    leaks({"a": text})
    redact(text)
    assert time.process_time() - started < 5


def test_many_leaks_take_bounded_time() -> None:
    texts = {f"k{number}": json.dumps(["/home/x/y"] * 150) for number in range(4_000)}
    started = time.process_time()
    assert leaks(texts)
    assert time.process_time() - started < 5

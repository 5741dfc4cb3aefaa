"""Sidecars are untrusted: whatever they hold, they give values that a hub takes, or an error."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from lorary.client.errors import FileMissing, FileUnreadable
from lorary.client.names import is_tag
from lorary.library.sidecars import beside, reading

if TYPE_CHECKING:
    from pathlib import Path

KEYS = (
    "name", "trainedWords", "model", "baseModel", "description", "activation text", "notes",
    "preferred weight", "sd version", "model_name", "tags", "usage_tips", "civitai", "creator",
    "ModelName", "TrainedWords", "Tags", "Nsfw", "__metadata__", "modelspec.title",
    "modelspec.tags", "modelspec.trigger_phrase",
)  # fmt: skip
JUNK: tuple[Any, ...] = (
    None, 7, -1e400, True, "", "x" * 100_000, "\u202e\x00<b>\n" * 50, [], [None, 3, {"name": 4}],
    ["word"] * 1000, {}, {"name": ["x"], "description": {"a": 1}, "tags": "no list", "nsfw": "yes"},
    "[" * 5000, "<" * 30_000, 10**400, "<a " * 30_000, f"&#{'9' * 5000};",
    "\ud800noir\udfff", ["\ud800", "a\udc80b"],
)  # fmt: skip


@pytest.mark.parametrize("suffix", beside.SIDECARS)
@pytest.mark.parametrize("junk", JUNK, ids=range(len(JUNK)))
def test_any_json_gives_values_that_a_hub_takes(tmp_path: Path, suffix: str, junk: object) -> None:
    place = tmp_path / f"noir{suffix}"
    place.write_text(json.dumps(dict.fromkeys(KEYS, junk)))
    for value in reading.read_sidecar(place):
        if isinstance(value.value, tuple):
            assert 0 < len(value.value) <= 32
            assert all(0 < len(text) <= 200 and text.isprintable() for text in value.value)
        elif isinstance(value.value, float):
            assert 0 < abs(value.value) <= 10
        else:
            assert isinstance(value.value, str)
            assert len(value.value) <= 20_000
        if value.field == "tags":
            assert isinstance(value.value, tuple)
            assert all(map(is_tag, value.value))


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff\xfe{", b"[" * 100_000, b" " * 2**24])
def test_what_is_no_sidecar_is_named(tmp_path: Path, data: bytes) -> None:
    place = tmp_path / "noir.civitai.info"
    place.write_bytes(data)
    with pytest.raises(FileUnreadable, match=r"noir\.civitai\.info"):
        reading.read_sidecar(place)
    place.unlink()
    with pytest.raises(FileMissing):
        reading.read_sidecar(place)


def test_private_data_and_scripts_are_left_out(tmp_path: Path) -> None:
    place = tmp_path / "noir.json"
    text = "<p>Made in C:\\Users\\jane\\x.</p><script>alert()</script>Ask jane@example.com &amp; me"
    place.write_text("\ufeff" + json.dumps({"description": text}), encoding="utf-8")
    (value,) = reading.read_sidecar(place)
    assert isinstance(value.value, str)
    assert "& me" in value.value
    assert not any(word in value.value for word in ("jane", "alert", "<"))


def test_companions_belong_to_the_file_of_their_name() -> None:
    names = ["noir.safetensors", "Noir.preview.PNG", "noir.json", "noir.civitai.info", "noir.txt",
             "noir.v2.safetensors", "noir.v2.metadata.json", "noir-2.png", ".json"]  # fmt: skip
    found = beside.companions_in(names)
    noir = beside.companions_of("noir.safetensors", found)
    assert noir.sidecars == ("noir.json", "noir.civitai.info")
    assert (noir.previews, noir.others) == (("Noir.preview.PNG",), ("noir.txt",))
    assert beside.companions_of("noir.v2.safetensors", found).names == ("noir.v2.metadata.json",)
    assert beside.companions_of("ink.safetensors", found) is beside.NONE

"""A folder with sidecars and pictures against a running hub: published once, edits stay."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from tests.builders.adapters import DENOISERS, kohya
from tests.e2e.commands import CommandLine
from tests.e2e.talk import Caller, caller

if TYPE_CHECKING:
    from pathlib import Path

    from tests.running import RunningHub

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture(scope="module")
def erin(quiet_hub: RunningHub) -> Caller:
    return caller(quiet_hub, "erin")


@pytest.fixture
def line(quiet_hub: RunningHub, erin: Caller, tmp_path: Path) -> CommandLine:
    return CommandLine(quiet_hub, tmp_path / "home", erin.token)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A file with sidecars, a picture and odd values, and two epochs of a run."""
    place = tmp_path / "loras"
    place.mkdir()
    sd1 = DENOISERS["sd1", "diffusers"]
    (place / "Imported Noir.safetensors").write_bytes(kohya(sd1, rank=11))
    civitai = {
        "name": "v2", "trainedWords": ["film noir"], "baseModel": "SD 1.5",
        "model": {"name": "Noir <b>", "nsfw": True, "tags": ["style", "art_style", "#odd!", "Öl"],
                  "description": "<p>Dark.</p>\u202e<p>Seen at C:\\Users\\jane\\noir.png</p>"},
    }  # fmt: skip
    (place / "Imported Noir.civitai.info").write_text(json.dumps(civitai))
    (place / "Imported Noir.json").write_text('{"preferred weight": 0.8, "notes": "Mine."}')
    picture = io.BytesIO()
    Image.new("RGB", (64, 64), "navy").save(picture, "PNG")
    (place / "Imported Noir.preview.png").write_bytes(picture.getvalue())
    for epoch, name in ((1, "wet-000001"), (2, "wet")):
        metadata = {"ss_session_id": "5", "ss_epoch": str(epoch)}
        (place / f"{name}.safetensors").write_bytes(kohya(sd1, rank=11 + epoch, metadata=metadata))
    return place


def rows(line: CommandLine, *words: str, code: int = 0) -> list[dict[str, Any]]:
    return [json.loads(text) for text in line.run(*words, "--json", code=code).splitlines()]


def test_an_imported_folder_keeps_later_edits(
    line: CommandLine, erin: Caller, folder: Path
) -> None:
    words = ("import", str(folder), "--to", "erin", "--yes")
    done = {(row["adapter"], row["version"]): row for row in rows(line, *words)}
    assert {key: row["state"] for key, row in done.items()} == {
        ("erin/imported-noir", "v1"): "published",
        ("erin/wet", "v1"): "published",
        ("erin/wet", "v2"): "published",
    }
    assert done["erin/imported-noir", "v1"]["previews"] == 1
    adapter = erin.get("/api/v1/adapters/erin/imported-noir").document
    assert (adapter["visibility"], adapter["kind"], adapter["maturity"]) == (
        "private", "style", "mature",
    )  # fmt: skip
    assert adapter["tags"] == ["art_style", "style", "öl"]
    assert "Dark." in adapter["card"]
    assert "jane" not in adapter["card"]
    version = erin.get("/api/v1/adapters/erin/imported-noir/versions/v1").document
    assert (version["trigger_words"], version["strength"]["recommended"]) == (["film noir"], 0.8)
    assert "trigger words: Imported Noir.civitai.info (claimed)" in version["notes"]
    gallery = "/api/v1/adapters/erin/imported-noir/versions/v1/samples"
    assert len(erin.get(gallery).document["results"]) == 1
    found = {row["path"].rpartition("/")[2]: row for row in rows(line, "scan", str(folder))}
    assert found == {}
    edited = erin.call("PATCH", "/api/v1/adapters/erin/imported-noir", {"title": "My title"})
    assert edited.status == 200, edited.body
    for home in ("home", "elsewhere"):
        other = CommandLine(line.hub, line.home.with_name(home), line.token)
        assert rows(other, *words) == []
    adapter = erin.get("/api/v1/adapters/erin/imported-noir").document
    assert (adapter["title"], adapter["latest_version"]) == ("My title", "v1")

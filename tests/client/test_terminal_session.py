"""The recorded session of the documents: its commands, and what they name in the demo."""

from __future__ import annotations

import html
import re
from pathlib import Path

import tomllib

from tools.terminal_session import FILE, SESSION

MINIATURE = Path(__file__).parents[2] / "previews" / "miniature"


def shown() -> str:
    texts = re.findall(r"<text[^>]*>(.*?)</text>", FILE.read_text(encoding="utf-8"), re.DOTALL)
    return "\n".join(html.unescape(text).replace("\xa0", " ") for text in texts)


def test_the_picture_is_of_these_commands() -> None:
    assert [
        line.removeprefix("$ ") for line in shown().splitlines() if line.startswith("$ ")
    ] == list(SESSION)


def test_the_demo_has_what_they_name() -> None:
    demo = {path.stem for path in (MINIATURE / "adapters").glob("*.safetensors")}
    demo |= set(tomllib.loads((MINIATURE / "packs.toml").read_text("utf-8")))
    named = re.findall(r"lorary/([a-z-]+)", " ".join(SESSION))
    assert named
    assert set(named) <= demo

"""The trained kohya adapter of the journeys, and the base that it belongs to.

Both are the miniature's, from the repository. ``LORARY_TEST_BASES`` (a bases file) and
``LORARY_TEST_ADAPTER`` (a weights file) name others, to try the journeys with a model in
the making.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from lorary.anatomy import inspect_file
from previews.render import load_bases
from tests.running import ROOT

MINIATURE = ROOT / "previews" / "miniature"
BASES = Path(os.environ.get("LORARY_TEST_BASES") or Path(__file__).with_name("pictures.toml"))


@dataclass(frozen=True)
class Trained:
    """Weights, what wakes them, and their rank."""

    path: Path
    trigger: str
    rank: int


def trained() -> Trained:
    """Return the first style in kohya's format; skips the test when weights are not here."""
    styles = tomllib.loads((MINIATURE / "index.toml").read_text(encoding="utf-8"))["adapters"]
    name = next(
        name
        for name, entry in styles.items()
        if entry["format"] == "kohya" and entry["kind"] == "style"
    )
    path = MINIATURE / "adapters" / f"{name}.safetensors"
    path = Path(os.environ.get("LORARY_TEST_ADAPTER") or path)
    if "miniature" not in load_bases(BASES).families:
        pytest.skip("the weights of the miniature's base are not here")
    if not path.is_file():
        pytest.skip(f"the trained adapter {path.name} is not here")
    anatomy = inspect_file(path).anatomy
    assert anatomy is not None
    assert anatomy.rank is not None
    return Trained(path, anatomy.trigger_words[0].text, anatomy.rank)

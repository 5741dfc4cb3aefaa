"""``python -m registry.comparisons.process FOLDER``: compare two files in a process of its own.

The folder has the order (``registry.confined.inside``) and the files in ``a/`` and ``b/``, each
with its configuration if it has one.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from lorary.algebra.aligning import common_families
from lorary.algebra.comparing import compare, differences
from lorary.algebra.files import WeightFile
from registry.confined import inside

SIDES = ("a", "b")
#: Metadata keys that are kept, and characters of a value; longer ones end with “…”.
MOST_KEYS, MOST_CHARACTERS = 500, 4000


def sources(folder: Path) -> list[Path]:
    """Return the two weights files."""
    return [next((folder / side).glob("*.safetensors")) for side in SIDES]


def work(folder: Path, order: dict[str, Any]) -> dict[str, Any]:
    """Return the outcome: the document of ``lorary compare --json``."""
    paths = sources(folder)
    common_families(paths)  # refuses weights of different base models
    found = compare(*paths, family=order["family"] or None)
    return {"result": replace(found, metadata=_metadata(paths)).to_dict()}


def _metadata(paths: list[Path]) -> dict[str, tuple[str | None, str | None]]:
    """Return the metadata that differ, without what would fill the database."""
    with WeightFile(paths[0]) as one, WeightFile(paths[1]) as other:
        found = differences(one.metadata, other.metadata)
    kept = list(found.items())[:MOST_KEYS]
    return {_cut(key): (_cut(first), _cut(second)) for key, (first, second) in kept}


def _cut(text: str | None) -> Any:  # noqa: ANN401 - None stays None
    if text is None or len(text) <= MOST_CHARACTERS:
        return text
    return f"{text[: MOST_CHARACTERS - 1]}…"


if __name__ == "__main__":
    place = Path(sys.argv[1])
    inside.main(place, sources(place), work)

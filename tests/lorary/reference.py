"""Published headers and metadata, when a copy of them is at hand.

They are read at run time only: nothing of them is part of this repository, and the tests that
want them are skipped where they are missing.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from lorary.safetensors import Header, TensorInfo
from lorary.safetensors.tensors import DTYPE_BITS

ROOT = Path(
    os.environ.get("LORARY_REFERENCE")
    or Path(__file__).resolve().parents[2].parent / "shared" / "reference"
)

IS_HERE = (ROOT / "lora_headers").is_dir()


def names(folder: str) -> list[str]:
    """Names of the JSON files in a folder, empty where it is missing."""
    return sorted(path.stem for path in (ROOT / folder).glob("*.json"))


def load(folder: str, name: str) -> Any:
    """One JSON file."""
    return json.loads((ROOT / folder / f"{name}.json").read_text("utf-8"))


def header_of(description: dict[str, Any]) -> Header:
    """A header as the reader would give it; unknown shapes become scalars."""
    tensors = {}
    place = 0
    for name, entry in description["tensors"].items():
        dtype, shape = entry["dtype"] or "F16", tuple(entry["shape"] or ())
        end = place + math.prod(shape) * DTYPE_BITS[dtype] // 8
        tensors[name] = TensorInfo(dtype, shape, place, end)
        place = end
    return Header(tensors, metadata_of(description), 0, 8 + place)


def metadata_of(description: dict[str, Any]) -> dict[str, str]:
    """The metadata as texts, which it always is inside a file."""
    raw = description.get("metadata") or {}
    return {key: text if isinstance(text, str) else json.dumps(text) for key, text in raw.items()}

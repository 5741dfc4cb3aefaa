"""Where a base's files lie, and which build of libraries reads them; no torch."""

from __future__ import annotations

import re
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from previews.render.bases import Base

__all__ = ["INDEX", "absence", "folder_of", "installed", "pipelines_known"]

#: What makes a folder a pipeline of diffusers.
INDEX = "model_index.json"

#: Libraries whose version can change a picture.
LIBRARIES = ("diffusers", "torch", "transformers")


@cache
def installed() -> dict[str, str]:
    """Return the versions of the libraries that pictures depend on, "" where one is missing."""
    return {name: _version(name) for name in LIBRARIES}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


@cache
def pipelines_known() -> frozenset[str]:
    """Return the names that the installed diffusers exports, empty where there is no diffusers.

    They are read from its table of lazy imports as text: importing it would bring torch along.
    """
    found = find_spec("diffusers")
    if found is None or found.origin is None:
        return frozenset()
    text = Path(found.origin).read_text(encoding="utf-8")
    return frozenset(re.findall(r'"([A-Z]\w+)"', text))


def folder_of(base: Base) -> Path | None:
    """Return the folder that a base is opened from, None where there is none yet."""
    if base.is_local:
        folder = Path(base.location)
        return folder if (folder / INDEX).is_file() else None
    return _snapshot(base)


def absence(base: Base) -> tuple[str, str]:
    """Return why a base cannot be opened from here and what to do, ("", "") where it can."""
    if folder_of(base) is not None:
        return "", ""
    if base.is_local:
        return _no_folder(Path(base.location))
    if base.download:
        return "", ""
    if find_spec("huggingface_hub") is None:
        return "huggingface_hub is not installed", "Install requirements/worker.txt."
    pinned = f" --revision {base.revision}" if base.revision else ""
    hint = f"Run `hf download {base.location}{pinned}`, or set download = true."
    return "not in the local cache of the hub", hint


def _no_folder(place: Path) -> tuple[str, str]:
    if place.is_file():
        return (
            "a single file, not a folder of a pipeline",
            "Write it as a folder: the pipeline's from_single_file, then save_pretrained.",
        )
    if not place.exists():
        return "no such folder", "Correct “path”; it is relative to the bases file."
    return (
        f"no {INDEX} in the folder",
        "Name the folder that holds it: a pipeline as diffusers' save_pretrained writes it.",
    )


def _snapshot(base: Base) -> Path | None:
    if find_spec("huggingface_hub") is None:
        return None
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415 - workers alone have it
    from huggingface_hub.errors import HFValidationError  # noqa: PLC0415 - workers alone have it

    try:
        file = try_to_load_from_cache(base.location, INDEX, revision=base.revision or None)
    except HFValidationError:
        return None
    return Path(file).parent if isinstance(file, str) else None

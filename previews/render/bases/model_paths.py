"""Paths of a base's files, and versions of the installed libraries; without torch."""

from __future__ import annotations

import re
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from previews.render.bases.bases_file import Base

#: File that a pipeline folder of diffusers has.
INDEX = "model_index.json"

#: File that the folder of any model of diffusers has.
CONFIG = "config.json"

#: Suffixes of the only single files that are opened: checkpoints, and quantised denoisers.
SUFFIX, GGUF = ".safetensors", ".gguf"

#: Files of an image encoder, as transformers writes them; they decide its features.
ENCODER_FILES = ("config.json", "preprocessor_config.json", "model.safetensors")

#: Libraries that can change a picture.
LIBRARIES = ("diffusers", "torch", "transformers")


def quantizer_of(base: Base) -> str:
    """Return the library that a quantised base needs, "" for others."""
    return "gguf" if base.is_gguf else base.quantization.partition("-")[0]


@cache
def installed() -> dict[str, str]:
    """Return the versions of these libraries; empty if one is missing."""
    return {name: _version(name) for name in LIBRARIES}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


@cache
def pipelines_known() -> frozenset[str]:
    """Return the names that the installed diffusers exports; empty without diffusers.

    They are read from its source text, because importing it imports torch.
    """
    found = find_spec("diffusers")
    if found is None or found.origin is None:
        return frozenset()
    text = Path(found.origin).read_text(encoding="utf-8")
    return frozenset(re.findall(r'"([A-Z]\w+)"', text))


def folder_of(base: Base) -> Path | None:
    """Return the folder with a base's index; None if there is none yet."""
    if base.is_local:
        folder = Path(base.config or base.location)
        return folder if (folder / INDEX).is_file() else None
    return _snapshot(base)


def absence(base: Base) -> tuple[str, str]:
    """Return why a base cannot be opened and what to do, empty if it can be opened."""
    if base.motion and not (Path(base.motion) / CONFIG).is_file():
        return (
            f"no {CONFIG} in the folder {base.motion}",
            "Set “motion” to a folder written by save_pretrained of a MotionAdapter.",
        )
    if base.is_single_file and not Path(base.location).is_file():
        return "no such file", "Correct “file”. It is relative to the bases file."
    if folder_of(base) is not None:
        return "", ""
    if base.is_local:
        return _no_folder(Path(base.config or base.location), "config" if base.config else "path")
    if base.download:
        return "", ""
    if find_spec("huggingface_hub") is None:
        return "huggingface_hub is not installed", "Install requirements/worker.txt."
    pinned = f" --revision {base.revision}" if base.revision else ""
    hint = f"Run `hf download {base.location}{pinned}`, or set download = true."
    return "not in the local cache of the hub", hint


def _no_folder(place: Path, key: str) -> tuple[str, str]:
    if place.is_file():
        return (
            f"“{key}” is a single file, not a folder",
            f"Use “file” for a checkpoint. It must end in {SUFFIX} or {GGUF}.",
        )
    if not place.exists():
        what = "no such folder" if key == "path" else f"no folder {place}"
        return what, f"Correct “{key}”. It is relative to the bases file."
    return (
        f"no {INDEX} in the folder" + ("" if key == "path" else f" {place}"),
        "Use a folder written by save_pretrained of a diffusers pipeline.",
    )


def _snapshot(base: Base) -> Path | None:
    if find_spec("huggingface_hub") is None:
        return None
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415 - only on workers
    from huggingface_hub.errors import HFValidationError  # noqa: PLC0415 - only on workers

    try:
        file = try_to_load_from_cache(base.location, INDEX, revision=base.revision or None)
    except HFValidationError:
        return None
    return Path(file).parent if isinstance(file, str) else None

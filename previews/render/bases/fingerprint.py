"""What a base in use is told from another under the same name by; no torch."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from previews.render.bases.model_paths import folder_of, installed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from previews.render.bases.bases_file import Base

__all__ = ["fingerprint"]

#: Of a large file this much is read at either end: other weights differ there, and all of a
#: base of 30 GB would take a minute.
END_BYTES = 256 * 1024


def fingerprint(base: Base, device: str) -> str:
    """Return 64 hex digits that change with whatever changes a base's own pictures.

    It is of the files, of how the base is called and computed, and of the libraries that do it.
    The device counts by its kind alone: ``cuda:1`` computes as ``cuda:0`` does.
    """
    settings = {
        "dtype": base.dtype,
        "device": device.partition(":")[0],
        "call": dict(base.call),
        "sampler_options": dict(base.sampler_options),
        "vae_tiling": base.vae_tiling,
        "libraries": installed(),
    }
    told = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    for name, path in _files_of(base):
        told.update(f"{name}\0{path.stat().st_size}\0".encode())
        told.update(_ends(path))
    return told.hexdigest()


def _files_of(base: Base) -> Iterator[tuple[str, Path]]:
    """Yield what a base is read from: name and file, sorted."""
    if base.is_single_file:
        yield "checkpoint", Path(base.location)
    folder = folder_of(base)
    if folder is not None:
        for path in sorted(folder.rglob("*")):
            if path.suffix in {".json", ".safetensors", ".txt", ".model"} and path.is_file():
                yield path.relative_to(folder).as_posix(), path


def _ends(path: Path) -> bytes:
    with path.open("rb") as handle:
        start = handle.read(END_BYTES)
        handle.seek(max(len(start), path.stat().st_size - END_BYTES))
        return start + handle.read(END_BYTES)

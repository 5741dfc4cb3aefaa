"""Weights from the store as local files, which is what the renderer reads."""

from __future__ import annotations

import json
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings

from registry import storage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.models import File

__all__ = ["CONFIG", "as_config", "config_beside", "local"]

#: PEFT's configuration, which lies beside the weights.
CONFIG = "adapter_config.json"

#: It has a kilobyte; anything of this size is something else.
MAX_CONFIG_BYTES = 1024 * 1024


@contextmanager
def local(sha256: str) -> Iterator[Path]:
    """Give the bytes of a digest as a file, a copy where the store is elsewhere.

    Raises:
        FileNotFoundError: the store does not have it.
    """
    path = storage.store().path(sha256)
    if path is not None:
        yield path
        return
    with tempfile.TemporaryDirectory(dir=settings.LORARY.data) as folder:
        copy = Path(folder) / "adapter.safetensors"
        with storage.store().open(sha256) as source, copy.open("wb") as target:
            for chunk in storage.chunks_of(source):
                target.write(chunk)
        yield copy


def config_beside(weights: File) -> dict[str, Any]:
    """Return PEFT's configuration if it lies beside the weights, else nothing."""
    folder = weights.path.rpartition("/")[0]
    path = f"{folder}/{CONFIG}".lstrip("/")
    file = weights.revision.files.select_related("blob").filter(path=path).first()
    if file is None or file.size_bytes > MAX_CONFIG_BYTES:
        return {}
    with storage.store().open(file.sha256) as handle:
        return as_config(handle.read(MAX_CONFIG_BYTES))


def as_config(data: bytes) -> dict[str, Any]:
    """Return a configuration, nothing where the bytes are none."""
    try:
        said = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}

"""Weights from the store as local files, which is what the renderer reads."""

from __future__ import annotations

import json
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.utils.translation import gettext as _

from previews.render import Layer
from registry import storage
from registry.errors import NotFound
from registry.models import FileRole
from registry.versions.variants import HIGH, LOW

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.models import File, Version

__all__ = ["CONFIG", "PARTS", "as_config", "config_beside", "layers_of", "local"]

#: PEFT's configuration, which lies beside the weights.
CONFIG = "adapter_config.json"

#: Variants of a file that are for a part of the base of their own: Wan 2.2 has two transformers.
PARTS = {HIGH: "", LOW: "transformer_2"}

#: It has a kilobyte; anything of this size is something else.
MAX_CONFIG_BYTES = 1024 * 1024


@contextmanager
def layers_of(version: Version, strength: float) -> Iterator[list[Layer]]:
    """Give the weights that a version changes a base with: its primary file, or a pair of files.

    Raises:
        NotFound: it has no weights.
        FileNotFoundError: the store does not have them.
    """
    name = f"{version.adapter.name}-{version.name}"
    with ExitStack() as stack:
        yield [
            Layer(
                stack.enter_context(local(file.sha256)),
                strength,
                name=name,
                sha256=file.sha256,
                config=config_beside(file),
                part=PARTS.get(file.variant, ""),
            )
            for file in _weights_of(version)
        ]


def _weights_of(version: Version) -> list[File]:
    pair = list(version.files.filter(role=FileRole.WEIGHTS, variant__in=PARTS))
    if {file.variant for file in pair} == set(PARTS) and len(pair) == len(PARTS):
        return pair
    primary = version.primary_file
    if primary is None:
        raise NotFound(_("This version has no weights to render."))
    return [primary]


@contextmanager
def local(sha256: str) -> Iterator[Path]:
    """Give the bytes of a digest as a file, a copy where the store is elsewhere.

    Raises:
        FileNotFoundError: the store does not have it.
    """
    place = storage.store().link(sha256, storage.Fetch())
    if isinstance(place, Path):
        yield place
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

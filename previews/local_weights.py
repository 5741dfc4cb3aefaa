"""Weights as local files for the renderer: from the store, or named on the command line."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import DatabaseError
from django.utils.translation import gettext as _

from lorary.library.variants import HIGH, LOW
from previews.render import AdapterAbsent, Layer
from registry import storage
from registry.errors import NotFound
from registry.models import File, FileRole, Version

if TYPE_CHECKING:
    from previews.render.output.readback import UsedAdapter

#: PEFT's configuration, in the folder of the weights.
CONFIG = "adapter_config.json"
#: Maximum size in bytes; a real one has about a kilobyte.
MAX_CONFIG_BYTES = 1024 * 1024

#: Variants of a file, with the component of the base that each changes: Wan 2.2 has two
#: transformers.
COMPONENTS = {HIGH: "", LOW: "transformer_2"}


@contextmanager
def layers_of(
    version: Version, strength: float, chosen: File | None = None
) -> Iterator[list[Layer]]:
    """Yield the weights of a version: its primary file or a pair of files, or the chosen file.

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
                config=_config_of_file(file),
                part=COMPONENTS.get(file.variant, ""),
            )
            for file in ([chosen] if chosen else _weights_of(version))
        ]


def _weights_of(version: Version) -> list[File]:
    pair = list(version.files.filter(role=FileRole.WEIGHTS, variant__in=COMPONENTS))
    if {file.variant for file in pair} == set(COMPONENTS) and len(pair) == len(COMPONENTS):
        return pair
    if version.primary_file is None:
        raise NotFound(_("This version has no weights to render."))
    return [version.primary_file]


@contextmanager
def local(sha256: str) -> Iterator[Path]:
    """Yield a stored file as a local path: a temporary copy if the store is a bucket.

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


def _config_of_file(weights: File) -> dict[str, Any]:
    """Return PEFT's configuration from the folder of a stored file; empty if there is none."""
    folder = weights.path.rpartition("/")[0]
    path = f"{folder}/{CONFIG}".lstrip("/")
    file = weights.revision.files.select_related("blob").filter(path=path).first()
    if file is None or file.size_bytes > MAX_CONFIG_BYTES:
        return {}
    with storage.store().open(file.sha256) as handle:
        return _parsed(handle.read(MAX_CONFIG_BYTES))


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


@contextmanager
def adapters_of(
    used: Sequence[UsedAdapter], files: Sequence[Path]
) -> Iterator[list[tuple[UsedAdapter, Path, dict[str, Any]]]]:
    """Yield each adapter of a picture as a local file with PEFT's configuration.

    Args:
        files: Files to use instead of the store; each must be one of these adapters.

    Raises:
        AdapterAbsent: an adapter was not found, or a file is not one of the adapters.
    """
    named = {_digest(file): file for file in files}
    strangers = named.keys() - {one.sha256 for one in used}
    if strangers and used:  # a picture at strength 0 names no adapters
        file = named[min(strangers)]
        raise AdapterAbsent(_("This picture was not made with the file %(file)s.") % {"file": file})
    with ExitStack() as stack:
        yield [_adapter(stack, one, named.get(one.sha256)) for one in used]


def _adapter(
    stack: ExitStack, used: UsedAdapter, file: Path | None
) -> tuple[UsedAdapter, Path, dict[str, Any]]:
    if file is not None:
        config = file.parent / CONFIG
        is_config = config.is_file() and config.stat().st_size <= MAX_CONFIG_BYTES
        return used, file, _parsed(config.read_bytes()) if is_config else {}
    try:
        path = stack.enter_context(local(used.sha256))
        is_intact = _digest(path) == used.sha256
    except (FileNotFoundError, AdapterAbsent):
        is_intact = False
    if not is_intact:
        raise AdapterAbsent(
            _(
                "The adapter “%(name)s” (sha256 %(sha256)s) is not in the store; pass its file "
                "with --adapter."
            )
            % {"name": used.name, "sha256": used.sha256}
        )
    return used, path, _config_in_store(used.sha256)


def _config_in_store(sha256: str) -> dict[str, Any]:
    try:
        rows = File.objects.filter(blob__sha256=sha256).select_related("revision")
        configs = (_config_of_file(row) for row in rows.order_by("id")[:100])
        return next((config for config in configs if config), {})
    except (DatabaseError, FileNotFoundError):
        return {}  # only PEFT files need a configuration, and the renderer refuses those


def _digest(file: Path) -> str:
    try:
        with file.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        msg = f"{file}: {error.strerror}"
        raise AdapterAbsent(msg) from error

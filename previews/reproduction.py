"""The adapters that a picture was made with: from files that were named, else from the store."""

from __future__ import annotations

import hashlib
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError
from django.utils.translation import gettext as _

from previews import local_weights
from previews.render import AdapterAbsent
from registry import storage
from registry.models import File

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from previews.render.output.readback import Used

__all__ = ["Found", "found"]

#: An adapter as a local file, with PEFT's configuration.
Found = tuple["Used", "Path", dict[str, Any]]


@contextmanager
def found(used: Sequence[Used], files: Sequence[Path]) -> Iterator[list[Found]]:
    """Give each adapter of a picture as a local file.

    Args:
        used: What the picture says.
        files: Files to take before the store is asked; each must be one of them.

    Raises:
        AdapterAbsent: one is nowhere, or a file is none of them.
    """
    named = {_digest(file): file for file in files}
    strangers = named.keys() - {one.sha256 for one in used}
    if strangers and used:  # a picture of strength 0 was made without
        file = named[min(strangers)]
        raise AdapterAbsent(
            _("%(file)s is none of the files that this picture was made with.") % {"file": file}
        )
    with ExitStack() as stack:
        yield [_found(stack, one, named.get(one.sha256)) for one in used]


def _found(stack: ExitStack, used: Used, file: Path | None) -> Found:
    if file is not None:
        return used, file, _config_of(file)
    try:
        path = stack.enter_context(local_weights.local(used.sha256))
        is_intact = _digest(path) == used.sha256
    except (FileNotFoundError, AdapterAbsent):
        is_intact = False
    if not is_intact:
        raise AdapterAbsent(
            _("The adapter “%(name)s” (sha256 %(sha256)s) is not in the store; name its file.")
            % {"name": used.name, "sha256": used.sha256}
        )
    return used, path, _config_in_store(used.sha256)


def _config_in_store(sha256: str) -> dict[str, Any]:
    try:
        rows = File.objects.filter(blob__sha256=sha256).select_related("revision")
        configs = (local_weights.config_beside(row) for row in rows.order_by("id")[:100])
        return next((config for config in configs if config), {})
    except (DatabaseError, FileNotFoundError):
        return {}  # bytes are enough for all but files of PEFT alone, and those are refused


def _config_of(file: Path) -> dict[str, Any]:
    config = file.parent / local_weights.CONFIG
    if not config.is_file() or config.stat().st_size > local_weights.MAX_CONFIG_BYTES:
        return {}
    return local_weights.as_config(config.read_bytes())


def _digest(file: Path) -> str:
    try:
        sha = hashlib.sha256()
        with file.open("rb") as handle:
            for chunk in storage.chunks_of(handle):
                sha.update(chunk)
    except OSError as error:
        msg = f"{file}: {error.strerror}"
        raise AdapterAbsent(msg) from error
    return sha.hexdigest()

"""Files that are written beside their place and then renamed, so that nobody sees half of one."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacement(target: Path) -> Iterator[Path]:
    """Yield the path of a new file beside ``target``, which takes its place at the end.

    After an error the new file is removed, and ``target`` is as before.
    """
    part = _part(target.parent)
    try:
        yield part
        part.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise


def require_writable(folder: Path) -> None:
    """Create and remove a file in a folder. Raises OSError: that is not possible."""
    probe = _part(folder)
    probe.touch()
    probe.unlink()


def _part(folder: Path) -> Path:
    return folder / f".lorary-{secrets.token_hex(6)}.part"

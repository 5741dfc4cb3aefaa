"""Where results are written."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from pathlib import Path

from lorary.algebra.errors import AlgebraError
from lorary.replacing import StrPath


def output_path(out: StrPath, inputs: Iterable[StrPath]) -> Path:
    """Return the path of a new file. Its folder is created when the file is written.

    Args:
        inputs: Files that it is made from. They are compared as files, so that links to one count.

    Raises:
        AlgebraError: `same_file`; it is one of the inputs.
        OSError: An input is missing, or the path is a folder.
    """
    path = Path(out)
    found = [Path(one).stat() for one in inputs]
    if path.exists():
        here = path.stat()
        if any(os.path.samestat(here, one) for one in found):
            message = f"{path} is an input. Choose another file."
            raise AlgebraError(message, code="same_file")
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    return path


def temporary_place(out: Path) -> Path:
    """Return the folder for temporary files: that of the output, or the nearest that exists."""
    return next(folder for folder in out.absolute().parents if folder.exists())

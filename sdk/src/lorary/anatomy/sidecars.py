"""Files on disk: which ones may be opened, and the configuration beside the weights."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from lorary.anatomy.claims.config import MOST_CONFIG_BYTES

CONFIG_NAME = "adapter_config.json"
"""The file that PEFT writes beside the weights."""

PEFT_STEM = "adapter_model"
"""Prefix of PEFT's names of weights; the configuration beside such a file belongs to it."""
_SUFFIX = ".safetensors"


def require_file(path: Path) -> None:
    """Refuse anything but a regular file: opening a pipe or a device may block forever.

    Raises:
        OSError: The file doesn't exist, or isn't a regular file.
    """
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "Not a regular file", str(path))


def config_beside(path: Path) -> bytes | None:
    """Return the `adapter_config.json` in the file's folder, if it can only belong to this file.

    That is so if the file has PEFT's name, or is the only weights file in its folder.

    Returns:
        Its bytes, one more than the limit if it is too large; None without a configuration.
    """
    place = path.with_name(CONFIG_NAME)
    try:
        is_file = stat.S_ISREG(place.stat().st_mode)
    except OSError:
        return None
    if not is_file or not (path.name.startswith(PEFT_STEM) or _is_alone(path)):
        return None
    try:
        with place.open("rb") as file:
            return file.read(MOST_CONFIG_BYTES + 1)
    except OSError:
        return b""  # the parser refuses it, so that a finding reports the unreadable file


def _is_alone(path: Path) -> bool:
    try:
        with os.scandir(path.parent) as entries:
            weights = (entry for entry in entries if entry.name.lower().endswith(_SUFFIX))
            return sum(1 for _ in zip(weights, range(2), strict=False)) < 2
    except OSError:
        return False

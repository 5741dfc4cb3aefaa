"""Files on a disk: what may be opened, and the configuration that lies beside the weights."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from lorary.anatomy.claims.config import MOST_CONFIG_BYTES

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["CONFIG_NAME", "PEFT_STEM", "config_beside", "require_file"]

CONFIG_NAME = "adapter_config.json"
"""What PEFT writes beside the weights."""

PEFT_STEM = "adapter_model"
"""How the names begin that PEFT gives to weights; the configuration beside them is theirs."""
_SUFFIX = ".safetensors"


def require_file(path: Path) -> None:
    """Refuse what is no regular file: opening a pipe or a device can wait for ever.

    Raises:
        OSError: There is none, or it is something else.
    """
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "Not a regular file", str(path))


def config_beside(path: Path) -> bytes | None:
    """The `adapter_config.json` in the file's folder, when it can only belong to this file.

    That is when the file has the name that PEFT gives, or is the only weights file of its folder.

    Returns:
        Its bytes, one more than the limit when it is too large; None when there is none.
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
        return b""  # nothing, which the parser refuses: whoever looks is told


def _is_alone(path: Path) -> bool:
    try:
        with os.scandir(path.parent) as entries:
            weights = (entry for entry in entries if entry.name.lower().endswith(_SUFFIX))
            return sum(1 for _ in zip(weights, range(2), strict=False)) < 2
    except OSError:
        return False

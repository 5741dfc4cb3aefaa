"""How pip on this machine finds packages, for pip in an image or on another machine."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path


def configuration() -> tuple[str, list[str]]:
    """Return a pip.conf, and the folders that it refers to.

    It combines the files and variables of pip on this machine.
    """
    command = [sys.executable, "-m", "pip", "config", "list"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    names = "cert|find-links|index-url|extra-index-url|trusted-host"
    found = dict(
        re.findall(rf"^(?:global|install|:env:)\.({names})='(.*)'$", printed, re.MULTILINE)
    )
    text = "\n".join(["[global]", *(f"{name} = {value}" for name, value in found.items())])
    folders = [
        str(Path(found[name]).parent if name == "cert" else found[name])
        for name in ("cert", "find-links")
        if Path(found.get(name, "/nowhere")).exists()
    ]
    return f"{text}\n", folders

"""The client of this hub's version, as pip installs it: packed from what is installed here.

A hub of one's own is in no package index. What it speaks and what its client understands come from
one checkout, so that the hub itself is the place to get the client from.

Source: the binary distribution format of packaging.python.org (PEP 427).
"""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from functools import lru_cache
from importlib.metadata import distribution
from pathlib import Path

import lorary

__all__ = ["NAME", "wheel"]

_STEM = f"lorary-{lorary.__version__}"
#: Name of the file, which pip reads version and platforms from.
NAME = f"{_STEM}-py3-none-any.whl"

_INFO = f"{_STEM}.dist-info"
_FORM = "Wheel-Version: 1.0\nGenerator: lorary\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
#: The earliest that a zip file knows: the same files are the same bytes.
_DATE = (1980, 1, 1, 0, 0, 0)


@lru_cache(maxsize=1)
def wheel() -> bytes:
    """Return the file, some hundred kilobytes.

    Raises:
        PackageNotFoundError: the client is only on the path here, not installed.
    """
    packed, rows = io.BytesIO(), list[str]()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (_sources() | _told()).items():
            archive.writestr(zipfile.ZipInfo(name, _DATE), content, zipfile.ZIP_DEFLATED)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
            rows.append(f"{name},sha256={digest.decode()},{len(content)}")
        record = f"{_INFO}/RECORD"
        archive.writestr(zipfile.ZipInfo(record, _DATE), "\n".join([*rows, f"{record},,", ""]))
    return packed.getvalue()


def _sources() -> dict[str, bytes]:
    root = Path(lorary.__path__[0])
    return {
        f"lorary/{path.relative_to(root).as_posix()}": path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def _told() -> dict[str, bytes]:
    known = distribution("lorary")
    told = known.read_text("METADATA") or known.read_text("PKG-INFO") or ""
    files = {
        "METADATA": told,
        "WHEEL": _FORM,
        "entry_points.txt": known.read_text("entry_points.txt") or "",
    }
    return {f"{_INFO}/{name}": text.encode() for name, text in files.items()}

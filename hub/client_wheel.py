"""The client of this hub, as pip installs it: packed from what is installed here.

A hub of one's own is in no package index. What it speaks and what its client understands come from
one checkout, so that the hub itself is the place to get the client from. Its version ends in a
digest of its files (a local version), or pip would keep an older client of the same number.

Source: the binary distribution format of packaging.python.org (PEP 427), versions (PEP 440).
"""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from functools import lru_cache
from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import lorary

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Wheel", "wheel"]

_FORM = "Wheel-Version: 1.0\nGenerator: lorary\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
#: What a package has, and no copy or note that lies beside it.
_PACKED = {".py", ".json", ".toml", ".typed"}
#: The earliest that a zip file knows: the same files are the same bytes.
_DATE = (1980, 1, 1, 0, 0, 0)


_ROOT = "lorary/__init__.py"


class Wheel(NamedTuple):
    """The file.

    Attributes:
        name: pip reads version and platforms from it.
        content: Some hundred kilobytes.
        sha256: Digest of the content, as 64 hexadecimal digits.
    """

    name: str
    content: bytes
    sha256: str


@lru_cache(maxsize=1)
def wheel() -> Wheel:
    """Return the client; packed when it is first asked for."""
    sources = _sources()
    version = f"{lorary.__version__}+{_digest(sources | _told(''))[:8]}"
    sources[_ROOT] = _named(sources[_ROOT], version)
    info = f"lorary-{version}.dist-info"
    told = {f"{info}/{file}": content for file, content in _told(version).items()}
    packed, rows = io.BytesIO(), list[str]()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in (sources | told).items():
            archive.writestr(zipfile.ZipInfo(path, _DATE), content, zipfile.ZIP_DEFLATED)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
            rows.append(f"{path},sha256={digest.decode()},{len(content)}")
        record = f"{info}/RECORD"
        archive.writestr(zipfile.ZipInfo(record, _DATE), "\n".join([*rows, f"{record},,", ""]))
    whole = packed.getvalue()
    return Wheel(f"lorary-{version}-py3-none-any.whl", whole, hashlib.sha256(whole).hexdigest())


def _named(source: bytes, version: str) -> bytes:
    """Return the package's first module with the version that the wheel has."""
    own = f'__version__ = "{lorary.__version__}"'.encode()
    return source.replace(own, f'__version__ = "{version}"'.encode(), 1)


def _digest(files: Mapping[str, bytes]) -> str:
    seen = hashlib.sha256()
    for path, content in files.items():
        seen.update(f"{path} {len(content)}\n".encode() + content)
    return seen.hexdigest()


def _sources() -> dict[str, bytes]:
    root = Path(lorary.__path__[0])
    return {
        f"lorary/{path.relative_to(root).as_posix()}": path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.suffix in _PACKED
    }


def _told(version: str) -> dict[str, bytes]:
    known = distribution("lorary")
    told = known.read_text("METADATA") or known.read_text("PKG-INFO") or ""
    files = {
        "METADATA": told.replace(f"\nVersion: {lorary.__version__}\n", f"\nVersion: {version}\n"),
        "WHEEL": _FORM,
        "entry_points.txt": known.read_text("entry_points.txt") or "",
        "licenses/LICENSE": known.read_text("licenses/LICENSE") or _licence(),
    }
    return {file: text.encode() for file, text in files.items() if text}


def _licence() -> str:
    """Return the licence that is beside the sources of a checkout, "" where there is none."""
    place = Path(lorary.__path__[0]).parents[1] / "LICENSE"
    return place.read_text("utf-8") if place.is_file() else ""

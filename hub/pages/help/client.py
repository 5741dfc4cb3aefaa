"""The client package of this hub, built from ``sdk``, for installation with pip.

A private hub has no package index, and its client fits best if both are of the same checkout.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import condition, require_safe
from flit_core.wheel import make_wheel_in

import lorary
from hub.http.delivery import content_disposition
from registry.errors import NotFound

_NO_SOURCES = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", "dist")
#: 2000-01-01. All files get this date, so that the build is reproducible.
_DATE = 946_684_800


class Wheel(NamedTuple):
    """A wheel; pip reads version and platforms from its name."""

    name: str
    content: bytes


@lru_cache(maxsize=1)
def wheel() -> Wheel:
    """Return the wheel of the client, built on the first call.

    Its version ends with a digest of its sources, because pip does not replace an installed client
    of the same version.
    """
    with TemporaryDirectory() as folder:
        sdk = Path(folder, "sdk")
        shutil.copytree(settings.ROOT / "sdk", sdk, ignore=_NO_SOURCES)
        module = sdk / "src" / "lorary" / "__init__.py"
        version = f"{lorary.__version__}+{_digest(sdk)}"
        module.write_bytes(
            module.read_bytes().replace(lorary.__version__.encode(), version.encode(), 1)
        )
        for path in sdk.rglob("*"):
            os.utime(path, (_DATE, _DATE))
        built: Path = make_wheel_in(sdk / "pyproject.toml", Path(folder)).file
        return Wheel(built.name, built.read_bytes())


def _digest(folder: Path) -> str:
    """Return eight hexadecimal digits for the files in a folder."""
    seen = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        seen.update(f"{path.relative_to(folder)} {path.stat().st_size}\n".encode())
        seen.update(path.read_bytes())
    return seen.hexdigest()[:8]


def _etag(_request: HttpRequest, file: str) -> str:
    """Return the ETag: the name of the wheel, which contains a digest."""
    if file != wheel().name:
        raise NotFound(
            _("The client of this hub was updated. “Help” has the command to install it.")
        )
    return f'"{file}"'


@require_safe
@condition(etag_func=_etag)
def send(_request: HttpRequest, file: str) -> HttpResponse:
    """Send the wheel."""
    headers = {"Content-Disposition": content_disposition(file), "Cache-Control": "no-cache"}
    return HttpResponse(wheel().content, content_type="application/zip", headers=headers)

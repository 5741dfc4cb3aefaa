"""The licences of the components of a hub: vendored files and installed packages."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib import metadata
from typing import NamedTuple

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.templatetags.static import static
from django.views.decorators.http import require_safe

import lorary

#: A longer ``License`` field is the text of the licence; its classifiers then have the name.
MAX_NAME = 200
#: The lock that includes the others; ``torch`` is outside of the locks.
LOCK, BESIDES_LOCK = "requirements/worker.txt", ("torch",)


class Part(NamedTuple):
    """A component with its licence; ``text`` is the URL of the licence's text, or ""."""

    name: str
    version: str
    licence: str
    text: str = ""


@require_safe
def show(request: HttpRequest) -> HttpResponse:
    """Show the components of a hub and their licences."""
    own = Part("Lorary", lorary.__version__, "Apache-2.0")
    files = [
        Part("Lora", "3.008", "OFL-1.1", static("fonts/OFL-Lora.txt")),
        Part("Inter", "4.001", "OFL-1.1", static("fonts/OFL-Inter.txt")),
        Part("htmx", "4.0.1", "0BSD", static("vendor/htmx-LICENSE.txt")),
    ]
    return render(request, "pages/licences.html", {"parts": [own, *files, *_packages()]})


@lru_cache(maxsize=1)
def _packages() -> list[Part]:
    """Return the installed packages of the lock, as their metadata describes them."""
    lock = (settings.ROOT / LOCK).read_text(encoding="utf-8")
    names = sorted({*re.findall(r"(?m)^([\w.-]+)==", lock), *BESIDES_LOCK}, key=str.casefold)
    found = []
    for name in names:
        try:
            package = metadata.metadata(name)
        except metadata.PackageNotFoundError:  # a renderer's, on a machine without one
            continue
        found.append(Part(package["Name"], package["Version"], _licence(package)))
    return found


def _licence(package: metadata.PackageMetadata) -> str:
    """Return the name of the licence: an SPDX expression if the package has one."""
    for field in ("License-Expression", "License"):
        name = package[field].strip() if field in package else ""
        if name and "\n" not in name and len(name) <= MAX_NAME:
            return name
    classifiers = package.get_all("Classifier") or []
    names = [one.rpartition("::")[2].strip() for one in classifiers if one.startswith("License")]
    return ", ".join(names)

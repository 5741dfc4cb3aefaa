"""The site's faces, for words on pictures."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from django.contrib.staticfiles import finders

from previews.derived.text_layout import Faces

__all__ = ["faces"]


@cache
def faces() -> Faces:
    """Return the faces where their files are, else Pillow's own."""
    return Faces(_file("serif.woff2"), _file("sans.woff2"))


def _file(name: str) -> Path | None:
    found = finders.find(f"fonts/{name}")
    return Path(found) if isinstance(found, str) else None

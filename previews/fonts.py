"""The site's fonts, for text on pictures."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from django.contrib.staticfiles import finders

from previews.derived.text_layout import Fonts


@cache
def fonts() -> Fonts:
    """Return the site's fonts; without their files, Pillow's font is used."""
    return Fonts(_file("serif.woff2"), _file("sans.woff2"))


def _file(name: str) -> Path | None:
    found = finders.find(f"fonts/{name}")
    return Path(found) if isinstance(found, str) else None

"""Fonts, colours, shapes and text layout for drawings.

The site's fonts are Latin; other scripts appear as boxes. Text is laid out without raqm, so that it
looks the same on all machines.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, cast

from PIL import ImageFont

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

#: Longer text is cut; prompts have at most 2,000 characters.
MAX_TEXT = 2400


@dataclass(frozen=True, slots=True)
class Colours:
    """Colours of the site; paper, sheet and film are backgrounds."""

    paper: str = "#f6f4ee"
    sheet: str = "#fdfcf8"
    ink: str = "#1c1915"
    caption: str = "#544d43"
    bar: str = "#b8ae9d"
    strong_bar: str = "#6d6457"
    pencil: str = "#b91c2c"
    film: str = "#14120f"
    film_ink: str = "#d9b98a"


@dataclass(frozen=True, slots=True)
class Fonts:
    """Files of the two fonts, with weights 400 to 600; without them Pillow's font is used."""

    serif: Path | None = None
    sans: Path | None = None

    def serif_at(self, size: int, weight: int = 500) -> FreeTypeFont:
        """Return the font for titles."""
        return _font(self.serif, size, weight)

    def sans_at(self, size: int, weight: int = 400) -> FreeTypeFont:
        """Return the font for captions."""
        return _font(self.sans, size, weight)


@cache
def _font(path: Path | None, size: int, weight: int) -> FreeTypeFont:
    if path is None:
        return cast("FreeTypeFont", ImageFont.load_default(size))
    font = ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)
    font.set_variation_by_axes([weight])
    return font


def fitted(text: str, font: FreeTypeFont, width: float) -> str:
    """Return text on one line, cut with an ellipsis at ``width`` pixels."""
    return (lines(text, font, width, 1) or [""])[0]


def lines(text: str, font: FreeTypeFont, width: float, most: int) -> list[str]:
    """Return text in at most ``most`` lines; the last one is cut with an ellipsis."""
    words = " ".join(text[:MAX_TEXT].split()).split(" ")
    found: list[str] = []
    while words and words != [""] and len(found) < most:
        taken = max(1, _count(words, font, width))
        found.append(" ".join(words[:taken]))
        words = words[taken:]
    if words and words != [""] and found:
        found[-1] += " " + " ".join(words)
    return [_cut(line, font, width) for line in found]


def _count(words: list[str], font: FreeTypeFont, width: float) -> int:
    """Return the number of words that fit on a line."""
    for count in range(1, len(words) + 1):
        if font.getlength(" ".join(words[:count])) > width:
            return count - 1
    return len(words)


def _cut(line: str, font: FreeTypeFont, width: float) -> str:
    if font.getlength(line) <= width:
        return line
    low, high = 0, len(line)
    while low < high:
        middle = (low + high + 1) // 2
        if font.getlength(line[:middle].rstrip() + "…") <= width:
            low = middle
        else:
            high = middle - 1
    return line[:low].rstrip() + "…"


@dataclass(frozen=True, slots=True)
class Caption:
    """Text; its base line starts at (x, y)."""

    x: float
    y: float
    text: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar; its upper left corner is (x, y). A strong one is darker than the others."""

    x: float
    y: float
    width: float
    height: float
    is_strong: bool = False


Shape = Caption | Bar

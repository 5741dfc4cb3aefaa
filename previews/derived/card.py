"""Draws the card that other sites show for a link to an adapter.

```
┌──────────────────────────────┐   ┌──────────────────────────────┐
│ ▪▫▪ Lorary                   │   │ ▪▫▪ Lorary    ┌────────────┐ │
│ Noir                         │   │ Noir          │            │ │
│ ada · style · SDXL           │   │ ada · style   │ ▂▅▃▁▂█▆▃▂  │ │
│ ▓ □    □    □    □ ▓▓▓▓▓▓▓▓▓ │   │               └────────────┘ │
└──────────────────────────────┘   └──────────────────────────────┘
         with a sweep                   with a picture, or drawn
```
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageOps

from previews.derived.text_layout import Bar, Caption, Colours, Fonts, Shape, fitted, lines

if TYPE_CHECKING:
    from PIL.Image import Image as Pixels


#: Size that sites expect.
SIZE = (1200, 630)
#: Maximum number of pictures on the strip.
FRAMES = 4
MARGIN, GAP, CELL = 60, 13, 260
STRIP_TOP, EDGE = 276, 44
PLATE, PLATE_AT = 510, (630, 60)
#: Font sizes of the title with the maximum number of lines; the first that fits is used, otherwise
#: the last.
WIDE_TITLES = ((84, 1), (68, 1), (52, 2))
TALL_TITLES = ((84, 2), (68, 3), (52, 5))
#: Drawings are made larger by this factor, because Pillow has no anti-aliasing.
SMOOTH = 4

COLOURS = Colours()

#: The logo: three frames, the middle one circled in pencil.
_FRAMES = ((2, 7.5), (18.5, 7.5), (35, 7.5))
_LOOP = (
    ((15.5, 4), (20, 1), (28, 1.5), (31, 4.5)),
    ((31, 4.5), (32.5, 9.5), (32.5, 15.5), (30.5, 20.5)),
    ((30.5, 20.5), (26.5, 23), (19.5, 23), (15.5, 21)),
    ((15.5, 21), (14, 16), (14, 9), (16, 3.5)),
    ((16, 3.5), (19, 2), (24, 1.8), (27, 2.6)),
)


@dataclass(frozen=True, slots=True)
class Frame:
    """A picture on the strip with its label."""

    picture: Pixels
    label: str


@dataclass(frozen=True, slots=True)
class Card:
    """Contents of a card: ``frames``, or ``cover``, or ``shapes`` in an area of ``size``."""

    title: str
    facts: str
    prompt: str = ""
    frames: tuple[Frame, ...] = ()
    cover: Pixels | None = None
    shapes: tuple[Shape, ...] = ()
    size: tuple[int, int] = (640, 400)


def png(card: Card, fonts: Fonts) -> bytes:
    """Return the card as PNG, the same bytes for the same contents."""
    page = Image.new("RGB", SIZE, COLOURS.paper)
    pen = ImageDraw.Draw(page)
    page.paste(_mark(), (MARGIN, 42))
    pen.text((MARGIN + 90, 41), "Lorary", COLOURS.ink, fonts.serif_at(36))
    if card.frames:
        room = SIZE[0] - 2 * MARGIN
        _words(pen, card, fonts, room, y=98)
        _strip(page, pen, card, fonts)
    else:
        room = PLATE_AT[0] - 2 * MARGIN
        _words(pen, card, fonts, room, y=190)
        page.paste(_plate(card, fonts), PLATE_AT)
    stream = io.BytesIO()
    page.save(stream, "PNG", compress_level=6)
    return stream.getvalue()


def _words(pen: ImageDraw.ImageDraw, card: Card, fonts: Fonts, room: int, *, y: int) -> None:
    text_lines, size = _title(card, fonts, room)
    for line in text_lines:
        pen.text((MARGIN - 3, y), line, COLOURS.ink, fonts.serif_at(size))
        y += round(size * 1.12)
    small = fonts.sans_at(29)
    for index, line in enumerate(lines(card.facts, small, room, 1 if card.frames else 3)):
        pen.text((MARGIN, y + 10 + 40 * index), line, COLOURS.caption, small)


def _title(card: Card, fonts: Fonts, room: int) -> tuple[list[str], int]:
    """Return the lines of a title and its font size."""
    text_lines: list[str] = []
    size = 0
    for size, most in WIDE_TITLES if card.frames else TALL_TITLES:
        text_lines = lines(card.title, fonts.serif_at(size), room, most)
        if " ".join(text_lines) == " ".join(card.title.split()):
            break
    return text_lines, size


def _strip(page: Pixels, pen: ImageDraw.ImageDraw, card: Card, fonts: Fonts) -> None:
    pen.rectangle((0, STRIP_TOP, *SIZE), COLOURS.film)
    small, bold = fonts.sans_at(21), fonts.sans_at(24, 600)
    prompt = fitted(card.prompt, small, SIZE[0] - 2 * MARGIN)
    pen.text((MARGIN, STRIP_TOP + 10), prompt, COLOURS.film_ink, small)
    for index, frame in enumerate(card.frames[:FRAMES]):
        x = MARGIN + index * (CELL + GAP)
        fitting = ImageOps.fit(frame.picture, (CELL, CELL), Image.Resampling.LANCZOS)
        page.paste(fitting, (x, STRIP_TOP + EDGE))
        label = fitted(frame.label, bold, CELL)
        pen.text((x, STRIP_TOP + EDGE + CELL + 8), label, COLOURS.film_ink, bold)


def _plate(card: Card, fonts: Fonts) -> Pixels:
    """Return the cover: a picture, or a drawing."""
    if card.cover is not None:
        return ImageOps.fit(card.cover, (PLATE, PLATE), Image.Resampling.LANCZOS)
    return _drawn(card.shapes, card.size, fonts)


def _drawn(shapes: Sequence[Shape], size: tuple[int, int], fonts: Fonts) -> Pixels:
    plate = Image.new("RGB", (PLATE * SMOOTH,) * 2, COLOURS.sheet)
    pen = ImageDraw.Draw(plate)
    scale = PLATE * SMOOTH / size[0]
    font = fonts.sans_at(round(15 * scale), 500)
    above = (PLATE * SMOOTH - size[1] * scale) / 2
    for shape in shapes:
        x, y = shape.x * scale, above + shape.y * scale
        match shape:
            case Caption():
                pen.text((x, y), shape.text, COLOURS.caption, font, anchor="ls")
            case Bar():
                colour = COLOURS.strong_bar if shape.is_strong else COLOURS.bar
                pen.rectangle((x, y, x + shape.width * scale, y + shape.height * scale), colour)
    return plate.resize((PLATE, PLATE), Image.Resampling.LANCZOS)


def _mark() -> Pixels:
    """Return the logo, 78 pixels wide."""
    scale = 78 * SMOOTH / 46
    mark = Image.new("RGB", (78 * SMOOTH, round(25 * scale)), COLOURS.paper)
    pen = ImageDraw.Draw(mark)
    for x, y in _FRAMES:
        pen.rectangle((x * scale, y * scale, (x + 9) * scale, (y + 10) * scale), COLOURS.ink)
    points = [(x * scale, y * scale) for curve in _LOOP for x, y in _along(curve)]
    pen.line(points, COLOURS.pencil, round(2.2 * scale), joint="curve")
    return mark.resize((78, round(mark.height / SMOOTH)), Image.Resampling.LANCZOS)


def _along(curve: Sequence[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    """Yield points of a cubic Bézier curve."""
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = curve
    for step in range(17):
        t = step / 16
        a, b, c, d = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3
        yield a * ax + b * bx + c * cx + d * dx, a * ay + b * by + c * cy + d * dy

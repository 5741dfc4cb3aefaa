"""Draws contact sheets: all pictures of a render, with a strip for each prompt and seed.

Scenes are below each other, or in columns.

```
┌────────────────────────────────┐
│ Noir v1                        │  title
│ ada/noir@v1 · SDXL · 25 steps  │  facts
│ a cat on a chair               │  one scene per prompt
│ ▓ seed 7 ▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓ │
│ ▓ □   □   □   □   □ ▓          │  one strip per seed, strengths rising
│ ▓ 0   .25 .5  .75 1 ▓          │
└────────────────────────────────┘
```
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

from previews.derived.text_layout import Colours, Fonts, fitted, lines

if TYPE_CHECKING:
    from PIL.Image import Image as Pixels

#: Maximum number of strips on a sheet; a recipe may have 256. With 17 strengths, drawing takes 170
#: MB.
MAX_STRIPS = 32
#: Width of a picture, and maximum and minimum width of a sheet.
CELL, MAX_WIDTH, MIN_WIDTH = 256, 4096, 1100
#: Up to this number of strengths, pictures are larger.
FEW = 3
MARGIN, PAD, GAP, GUTTER = 56, 20, 10, 24
#: Height of the text above and below the pictures of a strip.
EDGE, FOOT = 40, 40
#: Maximum height of a picture.
TALLEST = 4096

COLOURS = Colours()


@dataclass(frozen=True, slots=True)
class Strip:
    """Pictures of one prompt and seed by strength; without ``strengths``, those of the sheet."""

    seed: int
    cells: dict[float, Pixels]
    strengths: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Scene:
    """A prompt with its strips."""

    prompt: str
    strips: tuple[Strip, ...]


@dataclass(frozen=True, slots=True)
class Contact:
    """Contents of a sheet; ``labels`` name strengths that are not shown as numbers."""

    title: str
    facts: tuple[str, ...]
    scenes: tuple[Scene, ...]
    strengths: tuple[float, ...]
    seed_label: str = "seed"
    control_label: str = "no adapter"
    labels: Mapping[float, str] = field(default_factory=dict)
    columns: int = 1


@dataclass(frozen=True, slots=True)
class _Block:
    """A part of a sheet; ``draw`` takes the pen, the sheet, and the left and the top edge."""

    height: int
    draw: Callable[[ImageDraw.ImageDraw, Pixels, int, int], None]


def thumbnail(picture: Pixels, count: int) -> Pixels:
    """Return a picture in the size for a sheet of ``count`` strengths."""
    side = 2 * CELL if count <= FEW else round(1.25 * CELL)
    small = picture.copy()
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    return small


def png(contact: Contact, fonts: Fonts) -> bytes:
    """Return the sheet as PNG, the same bytes for the same contents."""
    count = max(1, len(contact.strengths))
    column = 2 * PAD + count * CELL + (count - 1) * GAP
    width = 2 * MARGIN + contact.columns * (column + GUTTER) - GUTTER
    width = min(MAX_WIDTH, max(MIN_WIDTH, width))
    blocks = list(_blocks(contact, fonts, width))
    height = 2 * MARGIN + sum(block.height for block in blocks)
    stream = io.BytesIO()
    _drawn(blocks, (width, height)).save(stream, "PNG", compress_level=6)
    return stream.getvalue()


def _drawn(blocks: list[_Block], size: tuple[int, int]) -> Pixels:
    page = Image.new("RGB", size, COLOURS.paper)
    draw = ImageDraw.Draw(page)
    y = MARGIN
    for block in blocks:
        block.draw(draw, page, MARGIN, y)
        y += block.height
    return page


def _blocks(contact: Contact, fonts: Fonts, width: int) -> Iterator[_Block]:
    room = width - 2 * MARGIN
    yield _words(contact.title, fonts, room, is_title=True)
    for fact in contact.facts:
        yield _line(fact, fonts, room)
    across = (room + GUTTER) // contact.columns
    left = MAX_STRIPS
    for first in range(0, len(contact.scenes), contact.columns):
        columns = []
        for scene in contact.scenes[first : first + contact.columns]:
            columns.append(list(_scene(contact, scene, left, fonts, across - GUTTER)))
            left -= min(left, len(scene.strips))
        yield from (_beside(level, across) for level in zip_longest(*columns))


def _scene(contact: Contact, scene: Scene, left: int, fonts: Fonts, room: int) -> Iterator[_Block]:
    strips = scene.strips[:left]
    if strips:
        yield _words(scene.prompt, fonts, room)
    for strip in strips:
        yield _strip(contact, strip, fonts, room)


def _beside(blocks: Sequence[_Block | None], across: int) -> _Block:
    """Return blocks beside each other, each ``across`` pixels to the right of the one before."""
    there = [(place * across, block) for place, block in enumerate(blocks) if block is not None]

    def draw(pen: ImageDraw.ImageDraw, page: Pixels, x: int, y: int) -> None:
        for offset, block in there:
            block.draw(pen, page, x + offset, y)

    return _Block(max(block.height for _offset, block in there), draw)


def _words(text: str, fonts: Fonts, room: int, *, is_title: bool = False) -> _Block:
    size = 54 if is_title else 27
    font = fonts.serif_at(size)
    text_lines = lines(text, font, room, 2 if is_title else 4)
    step = round(size * 1.25)
    above, below = (0, 12) if is_title else (30, 12)

    def draw(pen: ImageDraw.ImageDraw, _page: Pixels, x: int, y: int) -> None:
        for index, line in enumerate(text_lines):
            pen.text((x, y + above + index * step), line, COLOURS.ink, font)

    return _Block(above + step * len(text_lines) + below, draw)


def _line(text: str, fonts: Fonts, room: int) -> _Block:
    font = fonts.sans_at(21)
    text_lines = fitted(text, font, room)

    def draw(pen: ImageDraw.ImageDraw, _page: Pixels, x: int, y: int) -> None:
        pen.text((x, y), text_lines, COLOURS.caption, font)

    return _Block(31, draw)


def _strip(contact: Contact, strip: Strip, fonts: Fonts, room: int) -> _Block:
    """Lay out one strip, at most ``room`` wide."""
    count = len(contact.strengths)
    cell = (room - 2 * PAD - (count - 1) * GAP) // max(1, count)
    ratio = next((one.height / one.width for one in strip.cells.values()), 1.0)
    cell = max(8, min(cell, round(TALLEST / ratio), 2 * CELL))
    tall = max(1, round(cell * ratio))
    small, bold = fonts.sans_at(19), fonts.sans_at(21, 600)
    strengths = strip.strengths or contact.strengths
    width = 2 * PAD + len(strengths) * cell + (len(strengths) - 1) * GAP
    height = EDGE + tall + FOOT

    def draw(pen: ImageDraw.ImageDraw, page: Pixels, edge: int, y: int) -> None:
        pen.rectangle((edge, y, edge + width, y + height), COLOURS.film)
        seed = f"{contact.seed_label} {strip.seed}"
        pen.text((edge + PAD, y + 9), seed, COLOURS.film_ink, small)
        for index, strength in enumerate(strengths):
            x = edge + PAD + index * (cell + GAP)
            picture = strip.cells.get(strength)
            if picture is not None:
                scaled = picture.resize((cell, tall), Image.Resampling.LANCZOS)
                page.paste(scaled, (x, y + EDGE))
            else:
                pen.rectangle((x, y + EDGE, x + cell, y + EDGE + tall), outline=COLOURS.film_ink)
            label = f"{strength:g}" + ("" if strength else f"  {contact.control_label}")
            label = contact.labels.get(strength, label)
            pen.text((x, y + EDGE + tall + 6), fitted(label, bold, cell), COLOURS.film_ink, bold)

    return _Block(height + 12, draw)

"""Draws the cover of a version from its weights, for versions without pictures.

```
┌──────────────────────┐
│ text_model.encoder   │  one row of dots for each stack of blocks;
│ ● ● •                │  a dot's area is the block's share of trained numbers
│ down_blocks          │
│ ● ⦿ ●                │  the ring is around the largest
│ ▏▎▍▌▋▊▉█▏▎▍▌▋▊▉█▏▎▍▌ │  the file's digest, a bar per digit
└──────────────────────┘
```
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.html import escape
from django.utils.translation import gettext as _

from previews.derived.text_layout import Bar, Caption, Shape, Spot
from registry.blobs import selectors as blob_selectors
from registry.models import Version

SIDE = 640
MARGIN = 44
#: Height of the digest's bars at the bottom.
FOOT = 76
CAPTION = 22
#: Largest dot.
MAX_CELL = 112
MIN_CAPTIONED_CELL = 14
MIN_CELL = 5
#: Further stacks are drawn as one, further dots are left out.
MAX_STACKS = 24
MAX_DOTS = 4000

_NUMBERED = re.compile(r"(?P<stack>.{0,512}?)[._](?P<number>\d{1,512})\Z")

_STYLE = (
    ".g{fill:#fdfcf8}.d,.b{fill:#1c1915}.r{fill:none;stroke:#b91c2c;stroke-width:3}"
    ".t{fill:#544d43;font:500 15px Inter,system-ui,sans-serif;letter-spacing:.04em}"
    "@media(prefers-color-scheme:dark){.g{fill:#26211d}.d,.b{fill:#f0ebe0}"
    ".r{stroke:#ff7a70}.t{fill:#bfb6a6}}"
)


@dataclass(frozen=True, slots=True)
class _Dot:
    number: int
    parameters: int


@dataclass(frozen=True, slots=True)
class _Stack:
    name: str
    dots: tuple[_Dot, ...]


def svg(version: Version) -> str:
    """Return the cover as an SVG document, the same text for the same version."""
    title = _("%(adapter)s %(version)s, drawn from its weights") % {
        "adapter": version.adapter.full_name,
        "version": version.name,
    }
    about = _("Each dot is a block of the base model; its area is the block's share of the "
              "trained parameters. The bars are the file's digest.")  # fmt: skip
    body = "".join(_markup(shape) for shape in shapes(version))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIDE} {SIDE}" width="{SIDE}" '
        f'height="{SIDE}" role="img" aria-labelledby="title about">'
        f'<title id="title">{escape(title)}</title><desc id="about">{escape(about)}</desc>'
        f"<style>{_STYLE}</style>"
        f'<rect class="g" width="{SIDE}" height="{SIDE}"/>{body}</svg>\n'
    )


def shapes(version: Version) -> list[Shape]:
    """Return the shapes of the cover, in a square of ``SIDE``."""
    primary = version.primary_file
    document = blob_selectors.document_of(primary.blob if primary else None)
    stacks = _stacks(document["layers"]["blocks"] if document else ())
    return [*_dots(stacks), *_bars(primary.sha256 if primary else "")]


def _markup(shape: Shape) -> str:
    match shape:
        case Caption():
            return (
                f'<text class="t" x="{_n(shape.x)}" y="{_n(shape.y)}">{escape(shape.text)}</text>'
            )
        case Bar():
            return (
                f'<rect class="b" x="{_n(shape.x)}" y="{_n(shape.y)}" '
                f'width="{_n(shape.width)}" height="{_n(shape.height)}"/>'
            )
        case Spot():
            place = f'cx="{_n(shape.x)}" cy="{_n(shape.y)}"'
            ring = f'<circle class="r" {place} r="{_n(shape.ring)}"/>' if shape.ring else ""
            return f'<circle class="d" {place} r="{_n(shape.radius)}"/>{ring}'


def _stacks(blocks: Iterable[dict[str, Any]]) -> list[_Stack]:
    """Group numbered blocks by stack, in the file's order."""
    found: dict[str, list[_Dot]] = {}
    for block in itertools.islice(blocks, MAX_DOTS):
        numbered = _NUMBERED.match(block["name"])
        name = numbered["stack"] if numbered else block["name"]
        number = int(numbered["number"]) if numbered else 0
        if name not in found and len(found) >= MAX_STACKS:
            name = "…"
        found.setdefault(name, []).append(_Dot(number, int(block["parameters"])))
    return [
        _Stack(name, tuple(sorted(dots, key=lambda dot: dot.number)))
        for name, dots in found.items()
    ]


def _dots(stacks: Sequence[_Stack]) -> Iterator[Caption | Spot]:
    if not stacks:
        return
    cell, columns, caption = _fit(stacks)
    most = max((dot.parameters for stack in stacks for dot in stack.dots), default=1) or 1
    is_ringed = False
    y = float(MARGIN)
    for stack in stacks:
        if caption:
            yield Caption(MARGIN, y + 14, stack.name[:44])
        y += caption
        for index, dot in enumerate(stack.dots):
            row, column = divmod(index, columns)
            x, middle = MARGIN + cell * (column + 0.5), y + cell * (row + 0.5)
            radius = max(1.0, cell * 0.4 * math.sqrt(dot.parameters / most))
            ring = 0.0
            if dot.parameters == most and not is_ringed:
                is_ringed = True
                ring = radius + max(3.0, cell * 0.07)
            yield Spot(x, middle, radius, ring)
        y += cell * math.ceil(len(stack.dots) / columns)


def _fit(stacks: Sequence[_Stack]) -> tuple[int, int, int]:
    """Return the largest cell size that fits, the cells in a row, and the height of a caption.

    Captions are left out if there is no room.
    """
    width, height = SIDE - 2 * MARGIN, SIDE - 2 * MARGIN - FOOT
    for caption, least in ((CAPTION, MIN_CAPTIONED_CELL), (0, MIN_CELL)):
        for cell in range(MAX_CELL, least, -1):
            columns = width // cell
            rows = sum(math.ceil(len(stack.dots) / columns) for stack in stacks)
            if rows * cell + caption * len(stacks) <= height:
                return cell, columns, caption
    return MIN_CELL, width // MIN_CELL, 0


def _bars(sha256: str) -> Iterator[Bar]:
    """Yield 64 bars whose heights are the digits of the digest."""
    step = (SIDE - 2 * MARGIN) / 64
    foot = SIDE - MARGIN
    for index, digit in enumerate(sha256):
        height = 4 + int(digit, 16) * 2.4
        yield Bar(MARGIN + index * step, foot - height, step * 0.55, height)


def _n(value: float) -> str:
    """Return a coordinate with at most two decimals."""
    return f"{value:.2f}".rstrip("0").rstrip(".")

"""A picture of a version made of nothing but its own file: no page is bare.

```
┌──────────────────────┐
│ text_model.encoder   │  one row of dots per stack of blocks;
│ ● ● •                │  a dot's area is the block's share of trained numbers
│ down_blocks          │
│ ● ⦿ ●                │  the ring is around the largest
│ ▏▎▍▌▋▊▉█▏▎▍▌▋▊▉█▏▎▍▌ │  the file's digest, a bar per digit
└──────────────────────┘
```
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.utils.html import escape
from django.utils.translation import gettext as _

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from registry.models import Version

__all__ = ["svg"]

SIDE = 640
MARGIN = 44
#: Height that the bars of the digest take at the foot.
FOOT = 76
CAPTION = 22
#: Dots are at most so large, however few blocks there are.
MAX_CELL = 112
MIN_CELL = 14

_NUMBERED = re.compile(r"(?P<stack>.*?)[._](?P<number>\d+)\Z")

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
    primary = version.primary_file
    anatomy = getattr(primary.blob, "anatomy", None) if primary else None
    stacks = _stacks(anatomy.document.get("blocks", ()) if anatomy else ())
    title = _("%(adapter)s %(version)s, drawn from its weights") % {
        "adapter": version.adapter.full_name,
        "version": version.name,
    }
    about = _("Each dot is a block of the base model; its area is the block's share of what was "
              "trained. The bars are the file's digest.")  # fmt: skip
    body = [
        *_dots(stacks),
        *_bars(primary.sha256 if primary else ""),
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIDE} {SIDE}" width="{SIDE}" '
        f'height="{SIDE}" role="img" aria-labelledby="title about">'
        f'<title id="title">{escape(title)}</title><desc id="about">{escape(about)}</desc>'
        f"<style>{_STYLE}</style>"
        f'<rect class="g" width="{SIDE}" height="{SIDE}"/>{"".join(body)}</svg>\n'
    )


def _stacks(blocks: Iterable[dict[str, Any]]) -> list[_Stack]:
    """Group blocks by the stack they are numbered in, in the file's order."""
    found: dict[str, list[_Dot]] = {}
    for block in blocks:
        numbered = _NUMBERED.match(block["name"])
        name = numbered["stack"] if numbered else block["name"]
        number = int(numbered["number"]) if numbered else 0
        found.setdefault(name, []).append(_Dot(number, int(block["parameters"])))
    return [
        _Stack(name, tuple(sorted(dots, key=lambda dot: dot.number)))
        for name, dots in found.items()
    ]


def _dots(stacks: Sequence[_Stack]) -> Iterator[str]:
    if not stacks:
        return
    cell, columns = _fit(stacks)
    most = max((dot.parameters for stack in stacks for dot in stack.dots), default=1) or 1
    is_ringed = False
    y = float(MARGIN)
    for stack in stacks:
        yield f'<text class="t" x="{MARGIN}" y="{_n(y + 14)}">{escape(stack.name[:44])}</text>'
        y += CAPTION
        for index, dot in enumerate(stack.dots):
            row, column = divmod(index, columns)
            x, middle = MARGIN + cell * (column + 0.5), y + cell * (row + 0.5)
            radius = max(1.0, cell * 0.4 * math.sqrt(dot.parameters / most))
            yield f'<circle class="d" cx="{_n(x)}" cy="{_n(middle)}" r="{_n(radius)}"/>'
            if dot.parameters == most and not is_ringed:
                is_ringed = True
                ring = radius + max(3.0, cell * 0.07)
                yield f'<circle class="r" cx="{_n(x)}" cy="{_n(middle)}" r="{_n(ring)}"/>'
        y += cell * math.ceil(len(stack.dots) / columns)


def _fit(stacks: Sequence[_Stack]) -> tuple[float, int]:
    """Return the largest cell with which all rows fit, and how many cells a row has."""
    width, height = SIDE - 2 * MARGIN, SIDE - 2 * MARGIN - FOOT - CAPTION * len(stacks)
    for cell in range(MAX_CELL, MIN_CELL, -1):
        columns = width // cell
        rows = sum(math.ceil(len(stack.dots) / columns) for stack in stacks)
        if rows * cell <= height:
            return cell, columns
    return MIN_CELL, width // MIN_CELL


def _bars(sha256: str) -> Iterator[str]:
    """Draw the digest: 64 bars, as high as their digit."""
    step = (SIDE - 2 * MARGIN) / 64
    foot = SIDE - MARGIN
    for index, digit in enumerate(sha256):
        height = 4 + int(digit, 16) * 2.4
        yield (
            f'<rect class="b" x="{_n(MARGIN + index * step)}" y="{_n(foot - height)}" '
            f'width="{_n(step * 0.55)}" height="{_n(height)}"/>'
        )


def _n(value: float) -> str:
    """Write a coordinate shortly, the same everywhere."""
    return f"{value:.2f}".rstrip("0").rstrip(".")

"""Draws the cover of a version from its weights, for versions without pictures.

```
┌──────────────────────────────┐
│ Energy by block              │
│ Drawn from the weights       │
│          ▃                   │  a bar for each block of the base model, in the file's order;
│ ▂▃    ▂▃██▃▂                 │  its height is the block's share of the energy
│ te    down_blocks   up_blocks│
└──────────────────────────────┘
```

The energy of a block is ‖ΔW‖² of its update. Files whose energy is not known show the block's share
of the trained parameters instead, and the title says so.

It is a plain diagram, so that a page of adapters without pictures does not look like one with
pictures. In lists it is too small for text; there, the cards label it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from django.utils.html import escape
from django.utils.translation import gettext as _

from previews.derived.text_layout import Bar, Caption, Shape
from registry.blobs import selectors as blob_selectors
from registry.models import Blob, Version

WIDTH, HEIGHT = 640, 400
#: Version of this drawing; a change makes caches fetch covers again.
FORM = 5
MARGIN = 44
#: Base lines of the two lines of text, and the top and bottom of the bars.
TITLE_Y, NOTE_Y, TOP, BOTTOM = 62, 86, 118, 326
NAMES_Y = BOTTOM + 24
#: Width of a character in a stack's name.
CHARACTER = 8
#: Space between stacks, as a share of a bar's place; maximum place and width of a bar.
GAP, MAX_PLACE, MAX_WIDTH = 1.0, 64, 26
#: Maximum number of blocks, others are left out; and of bars, beyond which neighbours share one.
MAX_BLOCKS, MAX_BARS = 4000, 140
#: Maximum number of stacks; further ones are drawn as one.
MAX_STACKS = 24

_NUMBERED = re.compile(r"(?P<stack>.{0,512}?)[._](?P<number>\d{1,512})\Z")

_STYLE = (
    ".g{fill:#f3f0e8}.b{fill:#b8ae9d}.s{fill:#6d6457}"
    ".t{fill:#544d43;font:500 15px Inter,system-ui,sans-serif;letter-spacing:.02em}"
    "@media(prefers-color-scheme:dark){.g{fill:#211c19}.b{fill:#5d544a}.s{fill:#a0968a}"
    ".t{fill:#bfb6a6}}@media(max-width:360px){.g{fill:none}.t{display:none}}"
)


@dataclass(frozen=True, slots=True)
class _Block:
    number: int
    amount: float


@dataclass(frozen=True, slots=True)
class _Stack:
    name: str
    blocks: tuple[_Block, ...]


def svg(version: Version) -> str:
    """Return the cover as an SVG document, the same text for the same version."""
    blob = _weights_of(version)
    title = _("%(adapter)s %(version)s, drawn from its weights") % {
        "adapter": version.adapter.full_name,
        "version": version.name,
    }
    about = (
        _("Each bar is a block of the base model; its height is the block's share of the energy.")
        if blob_selectors.energies_of(blob)
        else _(
            "Each bar is a block of the base model; its height is the block's share of the "
            "trained parameters."
        )
    )
    body = "".join(_markup(shape) for shape in _shapes(blob))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" role="img" aria-labelledby="title about">'
        f'<title id="title">{escape(title)}</title><desc id="about">{escape(about)}</desc>'
        f"<style>{_STYLE}</style>"
        f'<rect class="g" width="{WIDTH}" height="{HEIGHT}"/>{body}</svg>\n'
    )


def shows_energy(version: Version) -> bool:
    """Return whether the bars are energies; otherwise they are numbers of parameters."""
    rows = version.files.filter(is_primary=True)
    return bool(rows.values_list("blob__anatomy__energies", flat=True).first())


def shapes(version: Version) -> list[Shape]:
    """Return the shapes of the cover, ``WIDTH`` by ``HEIGHT``."""
    return _shapes(_weights_of(version))


def _weights_of(version: Version) -> Blob | None:
    primary = version.primary_file
    return primary.blob if primary else None


def _shapes(blob: Blob | None) -> list[Shape]:
    document, energies = blob_selectors.document_of(blob), blob_selectors.energies_of(blob)
    rows = document["layers"]["blocks"] if document else ()
    blocks = (
        (row["name"], energies.get(row["name"], 0.0) if energies else row["parameters"])
        for row in rows
    )
    title = _("Energy by block") if energies else _("Parameters by block")
    stacks = _stacks(blocks)
    return [*_texts(title if stacks else _("No diagram of the blocks")), *_bars(stacks)]


def _markup(shape: Shape) -> str:
    match shape:
        case Caption():
            return (
                f'<text class="t" x="{_n(shape.x)}" y="{_n(shape.y)}">{escape(shape.text)}</text>'
            )
        case Bar():
            style = "s" if shape.is_strong else "b"
            return (
                f'<rect class="{style}" x="{_n(shape.x)}" y="{_n(shape.y)}" '
                f'width="{_n(shape.width)}" height="{_n(shape.height)}"/>'
            )


def _texts(title: str) -> Iterator[Caption]:
    yield Caption(MARGIN, TITLE_Y, title)
    yield Caption(MARGIN, NOTE_Y, _("Drawn from the weights"))


def _stacks(blocks: Iterable[tuple[str, float]]) -> list[_Stack]:
    """Group numbered blocks by stack, in the file's order."""
    found: dict[str, list[_Block]] = {}
    for block, amount in itertools.islice(blocks, MAX_BLOCKS):
        numbered = _NUMBERED.match(block)
        name = numbered["stack"] if numbered else block
        number = int(numbered["number"]) if numbered else 0
        if name not in found and len(found) >= MAX_STACKS:
            name = "…"
        found.setdefault(name, []).append(_Block(number, float(amount)))
    return [
        _Stack(name, tuple(sorted(several, key=lambda block: block.number)))
        for name, several in found.items()
    ]


def _bars(stacks: Sequence[_Stack]) -> Iterator[Caption | Bar]:
    """Yield the bars of each stack with its name, if there is room for it."""
    if not stacks:
        return
    rows = [(stack.name, _heights(stack, _share(stacks))) for stack in stacks]
    most = max(itertools.chain.from_iterable(heights for _name, heights in rows)) or 1
    places = sum(len(heights) for _name, heights in rows) + GAP * (len(rows) - 1)
    place = min(MAX_PLACE, (WIDTH - 2 * MARGIN) / places)
    is_marked = False
    x = float(MARGIN)
    for name, heights in rows:
        width = place * len(heights)
        if len(name) * CHARACTER <= width + place * GAP:
            yield Caption(x, NAMES_Y, name)
        for amount in heights:
            height = max(2.0, (BOTTOM - TOP) * amount / most)
            is_strong = amount == most and not is_marked
            is_marked = is_marked or is_strong
            yield Bar(x, BOTTOM - height, min(MAX_WIDTH, place * 0.7), height, is_strong)
            x += place
        x += place * GAP


def _share(stacks: Sequence[_Stack]) -> int:
    """Return how many neighbouring blocks one bar represents."""
    return -(-sum(len(stack.blocks) for stack in stacks) // MAX_BARS)


def _heights(stack: _Stack, share: int) -> list[float]:
    """Return the mean of each group of ``share`` blocks."""
    numbers = [block.amount for block in stack.blocks]
    parts = (numbers[start : start + share] for start in range(0, len(numbers), share))
    return [sum(part) / len(part) for part in parts]


def _n(value: float) -> str:
    """Return a coordinate with at most two decimals."""
    return f"{value:.2f}".rstrip("0").rstrip(".")

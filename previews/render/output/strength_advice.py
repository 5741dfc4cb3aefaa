"""What a finished sweep says of strengths: where the change begins, is full, and comes apart.

Three measures, each a mean over prompts and seeds, on pictures reduced to 128 x 128 pixels:

* **distance**: mean absolute difference to the control (strength 0) over all RGB values, of 255;
* **seed distance**: the same between the controls of two seeds: how different two pictures of one
  prompt are without any adapter, and so the yardstick for what a change is;
* **likeness** of outlines: correlation of how much brightness changes from place to place, 1 for
  pictures whose edges lie in the same places.

The rules are in ``_side``, their reasons and figures in ``docs/previews.md``. Both sides of 0 are
judged alone, by how far a strength is from 0.
"""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass
from itertools import combinations, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    Measure = Callable[["_Seen", "_Seen"], float]

__all__ = ["METHOD", "Advice", "Side", "advise"]

#: Number of these rules; advice by another one is made again.
METHOD = 1

#: A change shows when it is this share of what another seed changes.
SHOWS = 0.2
#: The change is full where it grows by this share of its fastest.
SLOWS = 0.5
#: The suggested range starts at this share of the full change.
HALF = 0.5
#: Outlines have come apart where they are less alike than this to those at full change; where
#: seeds differ more, half-way to another seed's.
ALIKE = 0.7

#: Fewer strengths on the longer side of 0 say nothing of a line.
LEAST = 2

#: A picture as it is compared, reduced once more for its edges, and the cells they are summed in.
SMALL, EDGES, CELLS = (128, 128), (64, 64), (32, 32)

Key = tuple[int, int, float]
#: Values by how far a strength is from 0, the nearest first.
Line = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Side:
    """One direction from 0, in signed strengths; None where the sweep does not show it.

    ``suggested`` is the range to dial in, (low, high), and ``ends`` the outermost strength of the
    sweep: what is None may come beyond it.
    """

    begins: float | None
    saturates: float | None
    breaks: float | None
    suggested: tuple[float, float] | None
    ends: float


@dataclass(frozen=True, slots=True)
class Advice:
    """What a sweep says above 0, and below where it goes there.

    ``distances`` holds (strength, distance); they and ``seed_distance`` are of 255.
    """

    positive: Side | None
    negative: Side | None
    distances: tuple[tuple[float, float], ...]
    seed_distance: float
    method: int = METHOD

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Seen:
    """A picture as it is compared: small, and its outlines as a vector of length 1 (or 0)."""

    pixels: npt.NDArray[np.uint8]
    outlines: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Sweep:
    """Pictures of those prompts and seeds that have every strength."""

    seen: dict[Key, _Seen]
    cells: Sequence[tuple[int, int]]
    strengths: Sequence[float]

    def mean(self, measure: Measure, one: float, other: float) -> float:
        """Return a measure between two strengths."""
        pairs = [(self.seen[*cell, one], self.seen[*cell, other]) for cell in self.cells]
        return float(np.mean([measure(*pair) for pair in pairs]))

    def between_seeds(self, measure: Measure) -> float:
        """Return a measure between seeds of one prompt at strength 0."""
        pairs = [pair for pair in combinations(self.cells, 2) if pair[0][0] == pair[1][0]]
        values = [measure(self.seen[*one, 0.0], self.seen[*other, 0.0]) for one, other in pairs]
        return float(np.mean(values)) if values else 0.0


def advise(pictures: Iterable[tuple[Key, bytes]]) -> Advice | None:
    """Return what a sweep says; its keys are (prompt number, seed, strength).

    None where it is too small to say anything: it takes the control, two seeds that differ, and
    two strengths on one side of 0.
    """
    sweep = _sweep({key: _look(data) for key, data in pictures})
    seed_distance = sweep.between_seeds(_distance) if 0.0 in sweep.strengths else 0.0
    if not seed_distance:
        return None
    distances = {s: sweep.mean(_distance, s, 0.0) for s in sweep.strengths}
    lines = {
        sign: [(s * sign, distances[s]) for s in sweep.strengths[::sign] if s * sign >= 0]
        for sign in (1, -1)
    }
    if max(map(len, lines.values())) <= LEAST:
        return None
    sides = {
        sign: _signed(_side(sweep, sign, line, seed_distance), sign)
        for sign, line in lines.items()
        if len(line) > 1
    }
    return Advice(
        positive=sides.get(1),
        negative=sides.get(-1),
        distances=tuple((s, round(distances[s], 1)) for s in sweep.strengths),
        seed_distance=round(seed_distance, 1),
    )


def _sweep(seen: dict[Key, _Seen]) -> _Sweep:
    strengths = sorted({key[2] for key in seen})
    cells = sorted({key[:2] for key in seen})
    whole = [cell for cell in cells if all((*cell, strength) in seen for strength in strengths)]
    return _Sweep(seen, whole, strengths)


def _side(sweep: _Sweep, sign: int, line: Line, seed_distance: float) -> Side:
    """Judge one side, in distances from 0.

    It begins where the distance passes a share of the seed distance, and is full where it grows
    by half of its fastest. It breaks where outlines are no longer those of the full change.
    """
    ends = line[-1][0]
    begins = _passes(line, SHOWS * seed_distance)
    if begins is None:
        return Side(None, None, None, None, ends)
    full = _full(line)
    breaks = None if full is None else _breaks(sweep, sign, [x for x, _ in line if x >= full])
    most = np.interp(ends if full is None else full, [x for x, _ in line], [y for _, y in line])
    low = _passes(line, HALF * float(most)) or begins
    return Side(begins, full, breaks, (low, breaks or ends), ends)


def _signed(side: Side, sign: int) -> Side:
    """Return a side in signed strengths, to two decimals: nobody dials finer."""

    def told(reach: float | None) -> float | None:
        return None if reach is None else round(sign * reach, 2)

    near, far = map(told, side.suggested or (None, None))
    low, high = (near, far) if sign > 0 else (far, near)
    return Side(
        begins=told(side.begins),
        saturates=told(side.saturates),
        breaks=told(side.breaks),
        suggested=None if low is None or high is None else (low, high),
        ends=sign * side.ends,
    )


def _full(line: Line) -> float | None:
    """Return where a step changes half as much as the steepest one; steps lie at their middles."""
    steps = [((x + x1) / 2, (y1 - y) / (x1 - x)) for (x, y), (x1, y1) in pairwise(line)]
    steepest = max(range(len(steps)), key=lambda index: steps[index][1])
    return _falls(steps[steepest:], SLOWS * steps[steepest][1])


def _breaks(sweep: _Sweep, sign: int, reaches: Sequence[float]) -> float | None:
    """Return where outlines are no longer those of the first of these strengths."""
    full = sign * reaches[0]
    alike = [(reach, sweep.mean(_likeness, full, sign * reach)) for reach in reaches]
    return _falls(alike, min(ALIKE, (1 + sweep.between_seeds(_likeness)) / 2))


def _passes(line: Line, level: float) -> float | None:
    """Return where a line first rises to a level, between its points in a straight line."""
    for (x, y), (x1, y1) in pairwise(line):
        if y < level <= y1:
            return x + (level - y) / (y1 - y) * (x1 - x)
    return None


def _falls(line: Line, level: float) -> float | None:
    return _passes([(x, -y) for x, y in line], -level)


def _look(data: bytes) -> _Seen:
    with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
        small = picture.convert("RGB").resize(SMALL, Image.Resampling.BOX)
    grey = np.asarray(small.convert("L").resize(EDGES, Image.Resampling.BOX), np.float32)
    edges = np.hypot(np.diff(grey, axis=1)[:-1], np.diff(grey, axis=0)[:, :-1])
    cells = np.asarray(Image.fromarray(edges).resize(CELLS, Image.Resampling.BOX)).ravel()
    outlines = cells - cells.mean()
    return _Seen(np.asarray(small), outlines / max(float(np.linalg.norm(outlines)), 1e-6))


def _distance(one: _Seen, other: _Seen) -> float:
    return float(np.abs(one.pixels.astype(np.int16) - other.pixels).mean())


def _likeness(one: _Seen, other: _Seen) -> float:
    return float(one.outlines @ other.outlines)

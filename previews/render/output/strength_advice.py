"""Measures a finished sweep: the strengths at which the effect begins, saturates and breaks.

There are three measures. Each is a mean over prompts and seeds, on pictures of 128 x 128 pixels:

* **distance**: mean absolute difference to the picture at strength 0 over all RGB values, 0 to 255;
* **seed distance**: the same between two seeds at strength 0. It is how different two pictures of
  a prompt are without an adapter, and is the unit for a change;
* **likeness** of outlines: correlation of local changes in brightness, 1 for pictures with edges in
  the same places.

The rules are in ``_side``, their reasons and numbers in ``docs/previews.md``. Positive and negative
strengths are measured separately.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Measure = Callable[["_Reduced", "_Reduced"], float]

#: Version of the rules; advice by other versions is computed again.
METHOD = 1

#: The effect begins at this share of the seed distance.
SHOWS = 0.2
#: The effect saturates where it grows at this share of its maximum rate.
SLOWS = 0.5
#: The suggested range starts at this share of the saturated change.
HALF = 0.5
#: The picture breaks where the likeness to the saturated one is lower than this, or than the middle
#: between 1 and the likeness of two seeds if that is lower.
ALIKE = 0.7

#: Minimum number of strengths on a side of 0 for advice.
LEAST = 2

#: Sizes of a picture for its distance, for its edges, and for the cells in which edges are summed.
SMALL, EDGES, CELLS = (128, 128), (64, 64), (32, 32)

Key = tuple[int, int, float]
#: Pairs of absolute strength and value, by strength.
Line = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Side:
    """Advice for one side of 0, in signed strengths; None if the sweep does not show it.

    ``suggested`` is the range (low, high) of useful strengths; ``ends`` is the sweep's outermost
    strength.
    """

    begins: float | None
    saturates: float | None
    breaks: float | None
    suggested: tuple[float, float] | None
    ends: float


@dataclass(frozen=True, slots=True)
class Advice:
    """Advice for positive and negative strengths; ``distances`` are (strength, distance)."""

    positive: Side | None
    negative: Side | None
    distances: tuple[tuple[float, float], ...]
    seed_distance: float
    method: int = METHOD

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Reduced:
    """A reduced picture, and its outlines as a vector of length 1 (or 0)."""

    pixels: npt.NDArray[np.uint8]
    outlines: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Sweep:
    """Pictures of the prompts and seeds that have every strength."""

    seen: dict[Key, _Reduced]
    cells: Sequence[tuple[int, int]]
    strengths: Sequence[float]

    def mean(self, measure: Measure, one: float, other: float) -> float:
        """Return the mean of a measure between two strengths."""
        pairs = [(self.seen[*cell, one], self.seen[*cell, other]) for cell in self.cells]
        return float(np.mean([measure(*pair) for pair in pairs]))

    def between_seeds(self, measure: Measure) -> float:
        """Return the mean of a measure between seeds at strength 0."""
        pairs = [pair for pair in combinations(self.cells, 2) if pair[0][0] == pair[1][0]]
        values = [measure(self.seen[*one, 0.0], self.seen[*other, 0.0]) for one, other in pairs]
        return float(np.mean(values)) if values else 0.0


def advise(pictures: Iterable[tuple[Key, bytes]]) -> Advice | None:
    """Return advice for a sweep with keys (prompt number, seed, strength).

    Return None if it is too small: it needs strength 0, two seeds that differ, and two strengths on
    one side of 0.
    """
    sweep = _sweep({key: _reduced(data) for key, data in pictures})
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


def _sweep(seen: dict[Key, _Reduced]) -> _Sweep:
    strengths = sorted({key[2] for key in seen})
    cells = sorted({key[:2] for key in seen})
    whole = [cell for cell in cells if all((*cell, strength) in seen for strength in strengths)]
    return _Sweep(seen, whole, strengths)


def _side(sweep: _Sweep, sign: int, line: Line, seed_distance: float) -> Side:
    """Return the advice for one side, in absolute strengths."""
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
    """Return a side in signed strengths with two decimals."""

    def signed(reach: float | None) -> float | None:
        return None if reach is None else round(sign * reach, 2)

    near, far = map(signed, side.suggested or (None, None))
    low, high = (near, far) if sign > 0 else (far, near)
    return Side(
        begins=signed(side.begins),
        saturates=signed(side.saturates),
        breaks=signed(side.breaks),
        suggested=None if low is None or high is None else (low, high),
        ends=sign * side.ends,
    )


def _full(line: Line) -> float | None:
    """Return the strength, after the steepest step, at which the change saturates."""
    steps = [((x + x1) / 2, (y1 - y) / (x1 - x)) for (x, y), (x1, y1) in pairwise(line)]
    steepest = max(range(len(steps)), key=lambda index: steps[index][1])
    return _falls(steps[steepest:], SLOWS * steps[steepest][1])


def _breaks(sweep: _Sweep, sign: int, reaches: Sequence[float]) -> float | None:
    """Return the strength at which outlines are no longer like those at the first one."""
    full = sign * reaches[0]
    alike = [(reach, sweep.mean(_likeness, full, sign * reach)) for reach in reaches]
    return _falls(alike, min(ALIKE, (1 + sweep.between_seeds(_likeness)) / 2))


def _passes(line: Line, level: float) -> float | None:
    """Return where a line first rises to a level, with linear interpolation."""
    for (x, y), (x1, y1) in pairwise(line):
        if y < level <= y1:
            return x + (level - y) / (y1 - y) * (x1 - x)
    return None


def _falls(line: Line, level: float) -> float | None:
    return _passes([(x, -y) for x, y in line], -level)


def _reduced(data: bytes) -> _Reduced:
    with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
        small = picture.convert("RGB").resize(SMALL, Image.Resampling.BOX)
    grey = np.asarray(small.convert("L").resize(EDGES, Image.Resampling.BOX), np.float32)
    edges = np.hypot(np.diff(grey, axis=1)[:-1], np.diff(grey, axis=0)[:, :-1])
    cells = np.asarray(Image.fromarray(edges).resize(CELLS, Image.Resampling.BOX)).ravel()
    outlines = cells - cells.mean()
    return _Reduced(np.asarray(small), outlines / max(float(np.linalg.norm(outlines)), 1e-6))


def _distance(one: _Reduced, other: _Reduced) -> float:
    return float(np.abs(one.pixels.astype(np.int16) - other.pixels).mean())


def _likeness(one: _Reduced, other: _Reduced) -> float:
    return float(one.outlines @ other.outlines)

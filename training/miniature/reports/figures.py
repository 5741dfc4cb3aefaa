"""What the sheets cannot say: distances, evenness and silence of the adapters, as a table."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from training.miniature.drawing.looks import LOOKS
from training.miniature.reports.grids import as_images
from training.miniature.reports.trials import (
    SEED,
    STYLE_PROMPTS,
    Trial,
    as_pictures,
    decibels,
    distance,
    render,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from training.miniature.stock import Pipeline

COUNTED = (0.25, 0.5, 0.75, 1.0)
_HEAD = (
    "| adapter | distance at .25 / .5 / .75 / 1 | share of the way at .25 / .5 / .75 "
    "| base, dB | adapter at 1, dB "
    "| trigger alone | at 1 without trigger | at 0 equals the control |\n"
    "|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True)
class Figures:
    """How an adapter answers to its strength; distances are means of 0..255 levels."""

    name: str
    # To the base without the adapter, same prompts and seeds; one for each of `COUNTED`.
    distances: tuple[float, ...]
    # How far from strength 0 to strength 1; even growth gives the strength itself.
    progress: tuple[float, ...]
    # Peak signal-to-noise ratio in dB to the drawn look of the base's own pictures, without
    # and with the adapter. A character has no drawn look: it replaces the subject.
    nearness: tuple[float, float] | None
    # What the trigger does without the adapter, and the adapter at 1 without its trigger.
    trigger_alone: float
    leak: float
    zero_equals_control: bool

    @classmethod
    def of(cls, trial: Trial) -> Figures:
        """Return the figures of a trial."""
        shown, control = trial.by_strength, trial.control
        way = (shown[1.0] - control).ravel()
        shares = [((shown[s] - control).ravel() @ way) / (way @ way) for s in COUNTED]
        says_something = trial.plan.kind != "character"
        return cls(
            name=trial.plan.name,
            distances=tuple(distance(shown[strength], control) for strength in COUNTED),
            progress=tuple(map(float, shares[:-1])),
            nearness=_nearness(trial),
            trigger_alone=distance(control, trial.alone) if says_something else 0.0,
            leak=distance(trial.silent, trial.alone),
            zero_equals_control=shown[0.0].tobytes() == control.tobytes(),
        )

    @property
    def row(self) -> str:
        """The figures as a row of a Markdown table."""
        cells = [
            self.name,
            " / ".join(f"{value:.1f}" for value in self.distances),
            " / ".join(f"{value:.2f}".replace("0.", ".") for value in self.progress),
            *([f"{value:.1f}" for value in self.nearness] if self.nearness else ["-", "-"]),
            f"{self.trigger_alone:.1f}" if self.trigger_alone else "-",
            f"{self.leak:.1f}",
            "yes" if self.zero_equals_control else "NO",
        ]
        return f"| {' | '.join(cells)} |"


def _nearness(trial: Trial) -> tuple[float, float] | None:
    look = LOOKS.get(trial.plan.name)
    if look is None:
        return None
    drawn = as_pictures(look(image) for image in as_images(trial.alone))
    return decibels(trial.alone, drawn), decibels(trial.by_strength[1.0], drawn)


def seed_distance(pipeline: Pipeline, seeds: int = 4) -> float:
    """Return how far apart pictures of one prompt are that differ in nothing but the seed."""
    shown = [render(pipeline, STYLE_PROMPTS, SEED + 100 * index) for index in range(seeds)]
    return float(np.mean([distance(*pair) for pair in combinations(shown, 2)]))


def table(figures: Iterable[Figures], between_seeds: float) -> str:
    """Return the figures of all adapters as Markdown, above what seeds alone do."""
    rows = "\n".join(one.row for one in figures)
    return f"{_HEAD}\n{rows}\n\nBetween seeds of the base: {between_seeds:.1f}"

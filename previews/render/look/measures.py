"""Measures what an adapter does to pictures, from features of pictures with it and without it.

The input is a feature vector for each picture of the standard recipe (``look.recipes``), in pairs:
the same prompt and seed with the adapter at its recommended strength and without it. A *change* is
the difference of such a pair, *with* minus *without*. There are three parts: the *look* (with
trigger words), the *plain* prompts (the same subjects without them), and *unrelated* prompts.

The unit of distances is the **prompt distance**: the mean distance between the features of two
prompts without the adapter. The distance of two seeds is no good unit, because some bases give
nearly the same picture for every seed. It depends on the encoder and the base, and so do all
figures: they are comparable only for the same base, recipe and encoder.

Errors are jackknife estimates over prompts: how much a figure would vary with other prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]
Pairs = Sequence["Pair"]

#: Version of the measures; a report by another version is made again.
METHOD = 1

#: A look that changes less than this share of the prompt distance is too faint to be judged.
FAINT = 0.1


@dataclass(frozen=True, slots=True)
class Pair:
    """Features of a prompt and seed with the adapter and without it."""

    prompt: int
    seed: int
    without: Vector
    applied: Vector

    @property
    def change(self) -> Vector:
        """What the adapter changed."""
        return self.applied - self.without


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value with its standard error; None if there are too few prompts for one."""

    value: float
    error: float | None = None


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of a look; None where the pictures cannot say it.

    ``effect`` is 0 or more, the others are between 0 and 1. Each function below has its formula.
    """

    effect: Figure | None
    consistency: Figure | None
    leak: Figure | None
    drift: Figure | None
    subject_kept: Figure | None
    method: int = METHOD

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document."""
        return asdict(self)


def measure(look: Pairs, plain: Pairs, unrelated: Pairs) -> Figures:
    """Return the figures of the pictures of a report.

    Args:
        plain: Empty for an adapter without trigger words, which cannot leak.
    """
    unit = prompt_distance(look, plain, unrelated)
    if not unit:
        return Figures(None, None, None, None, None)
    is_faint = effect(look, unit) < FAINT
    return Figures(
        effect=_figure(lambda part: effect(part, unit), look),
        consistency=None if is_faint else _figure(consistency, look),
        leak=None if is_faint or not plain else _figure(leak, look, plain),
        drift=_figure(lambda part: drift(part, unit), unrelated),
        subject_kept=_figure(subject_kept, look),
    )


def prompt_distance(*parts: Pairs) -> float:
    """Return the mean distance between two prompts without the adapter, 0 with a single prompt.

    ``mean |without(p, s) - without(q, s)|`` over seeds s and pairs of prompts p, q of one part.
    """
    distances = [
        _norm(one.without - other.without)
        for part in parts
        for one, other in combinations(part, 2)
        if one.prompt != other.prompt and one.seed == other.seed
    ]
    return float(np.mean(distances)) if distances else 0.0


def effect(look: Pairs, unit: float) -> float:
    """Return how much the adapter changes with its trigger words; 0 or more.

    ``mean |change| / prompt distance``; at 1 it changes as much as another prompt does.
    """
    return _mean_size(look) / unit


def consistency(look: Pairs) -> float:
    """Return how alike the change is over subjects, from 0 (unrelated) to 1 (the same).

    The mean cosine between the changes of two prompts, each averaged over seeds; at least 0.
    """
    changes = [change / max(_norm(change), 1e-12) for change in _by_prompt(look)]
    if len(changes) < 2:
        return 0.0
    return _share(float(np.mean([one @ other for one, other in combinations(changes, 2)])))


def leak(look: Pairs, plain: Pairs) -> float:
    """Return how much of the change remains without trigger words, from 0 (nothing) to 1 (all).

    ``mean |change of plain| / mean |change of look|``, at most 1.
    """
    return _share(_mean_size(plain) / max(_mean_size(look), 1e-12))


def drift(unrelated: Pairs, unit: float) -> float:
    """Return how much unrelated prompts change: 0 (not at all) to 1 (as another prompt, or more).

    ``mean |change| / prompt distance``, at most 1.
    """
    return _share(_mean_size(unrelated) / unit)


def subject_kept(look: Pairs) -> float:
    """Return whether pictures still show what their prompts ask for: 0 (lost) to 1 (kept).

    The mean cosine between ``applied - mean of applied`` and ``without - mean of without``. The
    look itself is common to all pictures and falls out with their mean; what is left is how a
    picture differs from the others: its subject and surroundings. At least 0.
    """
    applied = np.stack([pair.applied for pair in look])
    without = np.stack([pair.without for pair in look])
    own, kept = applied - applied.mean(0), without - without.mean(0)
    sizes = np.linalg.norm(own, axis=1) * np.linalg.norm(kept, axis=1)
    return _share(float(np.mean((own * kept).sum(1) / np.maximum(sizes, 1e-12))))


def _figure(function: Callable[..., float], *parts: Pairs) -> Figure | None:
    """Return a figure of one or more parts with its jackknife error over prompts.

    Parts with the same number of prompts lose the same prompt at once.
    """
    if not all(parts):
        return None
    prompts = [list(dict.fromkeys(pair.prompt for pair in part)) for part in parts]
    value = round(function(*parts), 3)
    count = min(map(len, prompts))
    if count < 3:
        return Figure(value)
    left_out = [
        function(*(_without(part, names[at]) for part, names in zip(parts, prompts, strict=True)))
        for at in range(count)
    ]
    variance = (count - 1) * float(np.var(left_out))
    return Figure(value, round(variance**0.5, 3))


def _without(part: Pairs, prompt: int) -> Pairs:
    return [pair for pair in part if pair.prompt != prompt]


def _by_prompt(part: Pairs) -> list[Vector]:
    """Return the mean change of each prompt."""
    prompts = dict.fromkeys(pair.prompt for pair in part)
    return [np.mean([one.change for one in part if one.prompt == p], axis=0) for p in prompts]


def _mean_size(part: Pairs) -> float:
    return float(np.mean([_norm(pair.change) for pair in part]))


def _norm(vector: Vector) -> float:
    return float(np.linalg.norm(vector))


def _share(value: float) -> float:
    return min(1.0, max(0.0, value))

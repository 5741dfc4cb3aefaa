"""What errors of denoising tell about the lineage of an adapter.

Noise is added to the author's pictures, and each base model with the adapter predicts it. The
*error* is the mean square of ``predicted − added``, in the unit of the noise, whatever a base
predicts itself. Bases get the same pictures and noise at the same noise levels, so that errors are
compared in pairs:

    d = mean over levels of  ln(error with one base / error with another)     for each picture

The mean of d over pictures is the relative difference of the two errors; its standard error comes
from the variation between pictures: the pictures are the random sample, and each has its own noise.
A level counts as much as another, although errors are small where there is much noise.

A difference is significant if it is at least ``ALIKE``, and if Student's t, two-sided, gives a
probability below ``SIGNIFICANCE`` divided by the number of pairs of bases with different lineages
(Bonferroni): which base is the best is known only from the same errors. The best lineage is
identified if it differs significantly from every other one.

Source of the probability: Abramowitz and Stegun 1964, Handbook of mathematical functions, 26.7.3
and 26.7.4.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

#: Version of the measure; a record by another version is made again.
METHOD = 2
#: Pipelines of diffusers whose denoiser is called as ``denoising`` does.
PIPELINES = frozenset({"StableDiffusionPipeline", "StableDiffusionXLPipeline"})
#: Noise levels, as shares of the picture in the power of the noisy one (cumulative alphas).
LEVELS = (0.9, 0.7, 0.5, 0.3, 0.15, 0.06)
SEEDS = (1, 2)
#: Pictures that are needed, and that are used.
FEWEST, MOST = 3, 8
#: Probability that bases of equal quality give any significant difference.
SIGNIFICANCE = 0.01
#: Smaller relative differences are not significant: number formats and encoders alone make some.
ALIKE = 0.005

#: (pictures, levels, seeds)
Errors = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Measured:
    """A base model with its errors."""

    base: str
    lineage: str
    errors: Errors

    @property
    def error(self) -> float:
        """Mean error."""
        return float(self.errors.mean())


@dataclass(frozen=True, slots=True)
class Difference:
    """How much worse a base is than the best one.

    Attributes:
        difference: Relative difference of the errors, 0 for the best base.
        standard_error: That of the difference, over pictures.
        is_significant: Whether the difference is larger than chance and ``ALIKE``.
    """

    difference: float
    standard_error: float
    is_significant: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the errors tell.

    Attributes:
        lineage: The lineage that fits best; empty if none is identified.
        best: The base with the smallest error.
        differences: Base to its difference from the best one.
    """

    lineage: str
    best: str
    differences: Mapping[str, Difference]


def judge(bases: Sequence[Measured]) -> Verdict:
    """Return what the errors of bases tell.

    Raises:
        ValueError: there are too few bases or pictures, or their numbers differ.
    """
    shapes = {one.errors.shape for one in bases}
    if len(bases) < 2 or len(shapes) > 1 or not FEWEST <= len(bases[0].errors) <= MOST:
        msg = f"{len(bases)} bases with errors of {sorted(shapes)} cannot be compared"
        raise ValueError(msg)
    best = min(bases, key=lambda one: float(np.log(_by_level(one)).mean()))
    pairs = sum(one.lineage != other.lineage for one, other in combinations(bases, 2))
    level = SIGNIFICANCE / max(1, pairs)
    found = {one.base: compared(one, best, level) for one in bases}
    others = [found[one.base] for one in bases if one.lineage != best.lineage]
    is_identified = bool(others) and all(one.is_significant for one in others)
    return Verdict(best.lineage if is_identified else "", best.base, found)


def compared(one: Measured, best: Measured, level: float) -> Difference:
    """Return the relative difference of two bases with its standard error over pictures.

    Args:
        level: Probability below which the difference is significant.
    """
    logs = np.log(_by_level(one) / _by_level(best)).mean(axis=1)
    mean = float(logs.mean())
    error = float(logs.std(ddof=1)) / math.sqrt(len(logs))
    value = math.expm1(mean)
    is_significant = value >= ALIKE and chance(mean, error, len(logs) - 1) < level
    return Difference(round(value, 5), round(error * math.exp(mean), 5), is_significant)


def chance(mean: float, error: float, degrees: int) -> float:
    """Return the probability of a mean this far from 0 or farther, by Student's t.

    Args:
        error: Standard error of the mean.
        degrees: Degrees of freedom.
    """
    angle = math.atan2(abs(mean), error * math.sqrt(degrees))
    cosine, is_odd = math.cos(angle), degrees % 2
    term, total = (cosine, 0.0) if is_odd else (1.0, 0.0)
    for number in range(1 + is_odd, degrees, 2):
        total += term
        term *= cosine * cosine * number / (number + 1)
    share = math.sin(angle) * total
    return 1 - (2 / math.pi * (angle + share) if is_odd else share)


def _by_level(one: Measured) -> Errors:
    """Return the error of each picture and level, above 0."""
    found: Errors = np.maximum(one.errors.mean(axis=2), 1e-12)
    return found

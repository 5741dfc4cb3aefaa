"""What errors of denoising tell about the lineage of an adapter.

Noise is added to the author's pictures, and each base model with the adapter predicts it. The
*error* is the mean square of ``predicted − added``, in the unit of the noise, whatever a base
predicts itself. Bases get the same pictures and noise at the same noise levels, so that errors are
compared in pairs:

    d = mean over levels of  ln(error with one base / error with another)     for each picture

The mean of d over pictures is the relative difference of the two errors; its standard error comes
from the variation between pictures, which are what is drawn at random. A level counts as much as
another, although errors are small where there is much noise.

The best lineage is told only if every other one is worse by ``ALIKE`` at least, and by Student's t
at ``SIGNIFICANCE``, two-sided.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

#: Version of the measure; a record by another version is made again.
METHOD = 1
#: Pipelines of diffusers whose denoiser is called as ``denoising`` does.
PIPELINES = frozenset({"StableDiffusionPipeline", "StableDiffusionXLPipeline"})
#: Noise levels, as shares of the picture in the power of the noisy one (cumulative alphas).
LEVELS = (0.9, 0.7, 0.5, 0.3, 0.15, 0.06)
SEEDS = (1, 2)
#: Pictures that are needed, and that are used.
FEWEST, MOST = 3, 8
#: Probability by which a difference that is told arises by chance.
SIGNIFICANCE = 0.01
#: Relative differences below this are not told: number formats and encoders alone make some.
ALIKE = 0.005

#: Quantile of Student's t at 0.995 for n − 1 degrees of freedom, n from 3 to ``MOST``.
_QUANTILES = (9.925, 5.841, 4.604, 4.032, 3.707, 3.499)

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
        told: Whether the difference is significant and large enough.
    """

    difference: float
    standard_error: float
    told: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the errors tell.

    Attributes:
        lineage: The lineage that fits best; empty if that cannot be told.
        best: The base with the smallest error.
        differences: Base to its difference from the best one.
    """

    lineage: str
    best: str
    differences: Mapping[str, Difference]


def judge(bases: Sequence[Measured]) -> Verdict:
    """Return what the errors of bases tell.

    Raises:
        ValueError: there are too few bases or pictures, or other numbers of them.
    """
    shapes = {one.errors.shape for one in bases}
    if len(bases) < 2 or len(shapes) > 1 or not FEWEST <= len(bases[0].errors) <= MOST:
        msg = f"{len(bases)} bases with errors of {sorted(shapes)} cannot be compared"
        raise ValueError(msg)
    best = min(bases, key=lambda one: float(np.log(_by_level(one)).mean()))
    found = {one.base: compared(one, best) for one in bases}
    others = [found[one.base] for one in bases if one.lineage != best.lineage]
    is_told = bool(others) and all(one.told for one in others)
    return Verdict(best.lineage if is_told else "", best.base, found)


def compared(one: Measured, best: Measured) -> Difference:
    """Return the relative difference of two bases with its standard error over pictures."""
    logs = np.log(_by_level(one) / _by_level(best)).mean(axis=1)
    mean = float(logs.mean())
    error = float(logs.std(ddof=1)) / math.sqrt(len(logs))
    quantile = _QUANTILES[len(logs) - FEWEST]
    value = math.expm1(mean)
    is_told = value >= ALIKE and mean > quantile * error
    return Difference(round(value, 5), round(error * math.exp(mean), 5), is_told)


def _by_level(one: Measured) -> Errors:
    """Return the error of each picture and level, above 0."""
    found: Errors = np.maximum(one.errors.mean(axis=2), 1e-12)
    return found

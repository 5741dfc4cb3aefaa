"""Says how two files are related, by the sketches of their weights.

Sketches estimate the cosine of two updates and the ratio of their norms. For copies they are exact
up to rounding: the same weights have the same sketch, whatever their rank, number format and names.
A truncated copy B of A is the projection of A on fewer directions, so that ⟨A, B⟩ = |B|².
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np

from lorary.algebra.recognition.sketch import DEPTH, WeightSketches

Kind = Literal[
    "same_weights", "number_format", "renamed", "strength", "resized", "part", "same_run", "related"
]
KINDS: tuple[Kind, ...] = (
    "same_weights", "number_format", "renamed", "strength", "resized", "part", "same_run", "related"
)  # fmt: skip
COPIES: frozenset[Kind] = frozenset(KINDS) - {"same_run", "related"}
"""Relations of files that have the same origin without further training."""

Direction = Literal["", "from", "to"]

SAME = 1 - 1e-6
"""Cosine from which sketches differ by rounding alone."""

COPY, COPY_F8 = 0.999, 0.995
"""Cosine of copies, and of those in fp8: rounding to it leaves about 0.999 or 0.997."""

RELATED = 0.5
"""Least cosine that is reported."""

STRENGTH, STRENGTH_F8 = 0.005, 0.03
"""Difference of norms of copies from which the strength counts as changed."""

_DEVIATIONS = 6.0  # of the cosine of unrelated files, whose standard deviation is 1 / √numbers
_ROUNDING = 0.99  # of sketches in half precision
_SLACK = 0.03  # of the condition of truncated copies

# Number formats from the most exact one; fp16 and bf16 each lose digits that the other keeps.
_PRECISION = {"F64": 0, "F32": 1, "F16": 2, "BF16": 2}
_LEAST_PRECISION = 3


class Facts(NamedTuple):
    """What the header says about a file.

    Attributes:
        dtype: Most frequent number format.
        naming: Convention of its names.
        run: When its training began; "" if it doesn't say.
    """

    dtype: str = ""
    naming: str = ""
    run: str = ""

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Facts:
        """Return the facts in an anatomy document."""
        dtypes: Mapping[str, int] = document.get("dtypes") or {}
        training: Mapping[str, Any] = document.get("training") or {}
        return cls(
            max(dtypes, key=dtypes.__getitem__, default=""),
            document.get("convention") or "",
            str(training.get("started_at") or ""),
        )


class Relation(NamedTuple):
    """How a file is related to another one.

    Attributes:
        kind: The relation.
        direction: `from` if the file was made from the other one, `to` if the other was made from
            it; "" if that can't be told.
        cosine: Estimate of the cosine of the two updates, -1 to 1.
        strength: Norm of the file's update divided by that of the other; negative for an inverse.
    """

    kind: Kind
    direction: Direction
    cosine: float
    strength: float

    @property
    def inverse(self) -> Relation:
        """The relation of the other file to this one."""
        swapped: Mapping[Direction, Direction] = {"from": "to", "to": "from", "": ""}
        return self._replace(
            direction=swapped[self.direction],
            strength=1 / self.strength if self.strength else math.inf,
        )


class _Overlap(NamedTuple):
    """Two files on the weights that both change.

    Attributes:
        dot: Estimate of ⟨A, B⟩, where both files have norm 1.
        squares: Shares of both files' energy in the common weights.
        weights: Number of common weights.
        is_whole: Both change the same weights.
        ranks: Sums of both files' ranks.
    """

    dot: float
    squares: tuple[float, float]
    weights: int
    is_whole: bool
    ranks: tuple[int, int]


def _overlap(one: WeightSketches, two: WeightSketches, least: float) -> _Overlap | None:
    """Return the overlap; None if the cosine is certainly less, or no weight is common."""
    is_whole = np.array_equal(one.keys, two.keys)
    mine = theirs = slice(None)
    if not is_whole:
        _, mine, theirs = np.intersect1d(
            one.keys, two.keys, assume_unique=True, return_indices=True
        )
    first, second = one.numbers[mine].ravel(), two.numbers[theirs].ravel()
    # Both have about norm √16, so that most pairs are told apart in single precision.
    if not len(first) or abs(float(np.dot(first, second))) < least * DEPTH * _ROUNDING:
        return None
    exact = first.astype(np.float64), second.astype(np.float64)
    totals = (_square(one.numbers), _square(two.numbers))
    return _Overlap(
        float(np.dot(*exact)) / math.sqrt(math.prod(totals)),
        (_square(exact[0]) / totals[0], _square(exact[1]) / totals[1]),
        len(first) // DEPTH,
        is_whole,
        (int(one.ranks[mine].sum()), int(two.ranks[theirs].sum())),
    )


def _square(numbers: np.ndarray[Any, np.dtype[Any]]) -> float:
    exact = numbers.astype(np.float64).ravel()
    return float(np.dot(exact, exact))


def relation(
    one: WeightSketches, two: WeightSketches, first: Facts, second: Facts
) -> Relation | None:
    """Return how a file is related to another one; None if it is not.

    Args:
        first: Facts of the file `one`.
        second: Facts of the file `two`.
    """
    common = _overlap(one, two, RELATED)
    if common is None:
        return None
    least = max(RELATED, _DEVIATIONS / math.sqrt(DEPTH * common.weights))
    cosine = common.dot
    partial = cosine / math.sqrt(math.prod(common.squares))
    copy = COPY_F8 if _is_f8(first) != _is_f8(second) else COPY
    if abs(cosine) < min(least, copy):
        return None
    ratio = one.norm / two.norm
    if abs(cosine) >= copy:
        kind, direction = _copy(common, math.copysign(ratio, cosine), first, second)
    elif _is_truncated(common, ratio):
        kind, direction = "resized", _by_size(*common.ranks)
    elif not common.is_whole and partial >= copy:
        kind, direction = "part", _by_size(len(one.keys), len(two.keys))
    else:
        is_same_run = bool(first.run) and first.run == second.run
        kind, direction = ("same_run" if is_same_run else "related"), ""
    return Relation(kind, direction, cosine, math.copysign(ratio, cosine))


def _copy(common: _Overlap, strength: float, first: Facts, second: Facts) -> tuple[Kind, Direction]:
    if common.ranks[0] != common.ranks[1]:
        return "resized", _by_size(*common.ranks)
    if abs(strength - 1) > (STRENGTH_F8 if _is_f8(first) != _is_f8(second) else STRENGTH):
        return "strength", ""
    if _differ(first.dtype, second.dtype):
        return "number_format", _by_size(_exactness(second), _exactness(first))
    if _differ(first.naming, second.naming):
        return "renamed", ""
    if common.dot >= SAME and common.is_whole:
        return "same_weights", ""
    if not common.is_whole:
        return "part", ""
    return ("same_run" if first.run and first.run == second.run else "related"), ""


def _is_f8(facts: Facts) -> bool:
    return facts.dtype.startswith("F8")


def _differ(one: str, two: str) -> bool:
    """Return whether two facts are known and differ."""
    return bool(one and two) and one != two


def _is_truncated(common: _Overlap, ratio: float) -> bool:
    """Return whether the file of lower rank is a projection of the other, which has more energy."""
    one, two = common.ranks
    if one == two or 0 in (one, two):
        return False
    smaller = ratio if one < two else 1 / ratio
    # ⟨A, B⟩ / |B|², with an error that grows as the files differ.
    fit = common.dot / smaller
    error = math.sqrt(max(0.0, 1 - common.dot**2) / (DEPTH * common.weights))
    return abs(fit - 1) <= _SLACK + 4 * error / common.dot


def _by_size(one: int, two: int) -> Direction:
    """Return the direction of two files of which the smaller was made from the larger."""
    return "" if one == two else "from" if one < two else "to"


def _exactness(facts: Facts) -> int:
    return _PRECISION.get(facts.dtype, _LEAST_PRECISION)

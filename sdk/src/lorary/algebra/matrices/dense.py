"""Approximates whole matrices by factors, for updates that have none.

Randomized subspace iteration: a random matrix is multiplied by W and Wᵀ several times, so that its
columns turn towards the largest singular vectors; the decomposition inside that space is exact. An
update that has the wanted rank or less is found exactly. For one with a slowly falling spectrum the
error is slightly above the smallest possible one; it is measured, not estimated.

Source: Halko, Martinsson and Tropp 2011, “Finding structure with randomness”, algorithm 4.4.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lorary.algebra.files import Array
from lorary.algebra.matrices.gram import Factors, decompose, finite, relative_error, truncated

_EXTRA = 16  # columns beside the wanted rank
_ITERATIONS = 4
_SEED = 20  # the same update always gives the same factors


class Approximation(NamedTuple):
    """Factors of a matrix, with its energy and that of the factors."""

    factors: Factors
    energy: float
    kept: float

    @property
    def relative_error(self) -> float:
        """‖W − factors‖ / ‖W‖."""
        return relative_error(self.energy, self.kept)


def energy_of(matrix: Array) -> float:
    """Return the squared Frobenius norm of a matrix.

    Raises:
        AlgebraError: `not_finite`.
    """
    return finite(float(np.einsum("ij,ij->", matrix, matrix, dtype=np.float64)))


def approximate(matrix: Array, rank: int) -> Approximation:
    """Return factors of a rank for a matrix `(out, fan_in)` of F32 or F64.

    Raises:
        AlgebraError: `not_finite`.
    """
    energy = energy_of(matrix)
    columns = min(rank + _EXTRA, *matrix.shape)
    start = np.random.default_rng(_SEED).standard_normal((matrix.shape[1], columns))
    space = matrix @ start.astype(matrix.dtype)
    for _ in range(_ITERATIONS):
        other, _ = np.linalg.qr(matrix.T @ np.linalg.qr(space)[0])
        space = matrix @ other
    base, _ = np.linalg.qr(space.astype(np.float64))
    inside = base.astype(matrix.dtype).T @ matrix
    found = decompose(Factors(base, inside.astype(np.float64), 1.0))
    kept = float((found.values[:rank] ** 2).sum())
    return Approximation(truncated(found, min(rank, columns)), energy, kept)

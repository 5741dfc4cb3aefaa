"""Computes with the update of a module by its two factors, in double precision.

The update of a weight is ΔW = s · U · D, with up U `(out, r)`, down D `(r, fan_in)` and scale s.
It is not formed, unless it is smaller than its factors: everything follows from the Gram matrices
UᵀU and D·Dᵀ, which are r × r.

    ‖ΔW‖²        = s² · Σᵢⱼ (UᵀU)ᵢⱼ (D·Dᵀ)ᵢⱼ
    ⟨ΔW₁, ΔW₂⟩   = s₁ s₂ · Σᵢⱼ (U₁ᵀU₂)ᵢⱼ (D₁D₂ᵀ)ᵢⱼ
    D·Dᵀ = R·Rᵀ,  Rᵀ (UᵀU) R = Z Σ² Zᵀ

Σ are the singular values of U·D. The best approximation of rank k (Eckart and Young 1936) is
(U · R Z_k) · (Σ_k⁻² Z_kᵀ Rᵀ UᵀU · D): its left factor has the columns σᵢuᵢ, its right factor the
rows vᵢᵀ. Only the kept singular values are divided by, so rank-deficient factors need no special
case.

Singular values are square roots of eigenvalues, which are exact to ε of the largest one. So their
absolute error is at most about √ε · ‖U‖·‖D‖ = 1.5e-8 · ‖U‖·‖D‖, and ε/2 · (‖U‖·‖D‖)² / σ where that
is less; smaller ones can't be told from zero.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lorary.algebra.errors import AlgebraError

Matrix = npt.NDArray[np.float64]

MOST_RANK = 4_096
"""Largest inner size of factors, after compaction: their Gram matrices take 128 MiB each."""

MOST_ELEMENTS = 2**28
"""Largest size of a matrix that is formed, four times the largest weights of known models."""

_NEGLIGIBLE = 2.0**-26  # √ε, below which a singular value can't be told from zero


class Factors(NamedTuple):
    """The update s · U · D of a weight, seen as a matrix `(out, fan_in)`."""

    up: Matrix  # (out, rank)
    down: Matrix  # (rank, fan_in)
    scale: float

    @property
    def rank(self) -> int:
        """Number of columns of `up` and rows of `down`."""
        return int(self.up.shape[1])

    def dense(self) -> Matrix:
        """Return ΔW, `(out, fan_in)`.

        Raises:
            AlgebraError: `rank_too_large`; it has more than `MOST_ELEMENTS` elements.
        """
        require_size(self.up.shape[0] * self.down.shape[1])
        return self.scale * (self.up @ self.down)


def require_size(elements: int) -> None:
    """Refuse to form a matrix that a small file can make as large as it likes.

    Raises:
        AlgebraError: `rank_too_large`.
    """
    if elements > MOST_ELEMENTS:
        message = f"The update has {elements:,} numbers, which is too large to compute with."
        raise AlgebraError(message, code="rank_too_large", elements=elements)


def with_core(down: npt.NDArray[Any], mid: npt.NDArray[Any]) -> Matrix:
    """Return the down factor with the kernel of its Tucker core, `(rank, in, *kernel)`.

    Args:
        down: `(inner, in, 1, …)`.
        mid: `(rank, inner, *kernel)`.

    Raises:
        AlgebraError: `rank_too_large`.
    """
    require_size(mid.shape[0] * down.shape[1] * math.prod(mid.shape[2:]))
    inner = down.reshape(down.shape[:2]).astype(np.float64)
    product = np.tensordot(mid.astype(np.float64), inner, axes=([1], [0]))  # (rank, *kernel, in)
    return np.ascontiguousarray(np.moveaxis(product, -1, 1))


class Decomposition(NamedTuple):
    """The singular value decomposition of s · U · D.

    Attributes:
        values: Singular values of the update, largest first, `(r,)`.
        factors: The factors that `left` and `right` apply to.
        left: `(r, r)`: the columns of U · `left` are σᵢuᵢ, without the scale.
        right: `(r, r)`: the rows of `right` · D are vᵢᵀ; zero where σᵢ is negligible.
    """

    values: Matrix
    factors: Factors
    left: Matrix
    right: Matrix


def compact(factors: Factors) -> Factors:
    """Return factors of the same update whose rank is at most the smaller side of the weight.

    Raises:
        AlgebraError: `rank_too_large`; their Gram matrices would not fit memory.
    """
    up, down, scale = factors
    out, fan_in = up.shape[0], down.shape[1]
    if min(factors.rank, out, fan_in) > MOST_RANK:
        message = f"Factors have more than {MOST_RANK:,} rows and columns, which is too large."
        raise AlgebraError(message, code="rank_too_large", rank=factors.rank)
    if factors.rank <= min(out, fan_in):
        return factors
    # The update itself is smaller than its factors.
    if out <= fan_in:
        return Factors(np.eye(out), up @ down, scale)
    return Factors(up @ down, np.eye(fan_in), scale)


def energy(factors: Factors) -> float:
    """Return ‖ΔW‖², the squared Frobenius norm."""
    small = compact(factors)
    return max(inner(small, small), 0.0)


def inner(first: Factors, second: Factors) -> float:
    """Return ⟨ΔW₁, ΔW₂⟩, the sum of the products of their elements.

    Raises:
        AlgebraError: `not_finite` or `rank_too_large`.
    """
    first, second = compact(first), compact(second)
    ups, downs = first.up.T @ second.up, first.down @ second.down.T
    return finite(first.scale * second.scale * float(np.vdot(ups, downs)))


def decompose(factors: Factors) -> Decomposition:
    """Return the singular value decomposition of an update.

    Raises:
        AlgebraError: `not_finite` or `rank_too_large`.
    """
    factors = compact(factors)
    up, down, scale = factors
    gram, other = up.T @ up, down @ down.T
    size = np.sqrt(finite(float(np.trace(gram)) * float(np.trace(other))))
    squares, vectors = np.linalg.eigh(other)
    root = vectors * np.sqrt(np.maximum(squares, 0))
    squares, vectors = np.linalg.eigh(root.T @ gram @ root)
    values = np.sqrt(np.maximum(squares[::-1], 0))
    left = root @ vectors[:, ::-1]
    floor = max(_NEGLIGIBLE * size, 1e-150)  # its square is still a number
    inverse = np.where(values > floor, np.maximum(values, floor) ** -2.0, 0)
    return Decomposition(abs(scale) * values, factors, left, (gram @ left * inverse).T)


def finite(value: float) -> float:
    """Return a number that depends on all weights of a module, if it is finite.

    Raises:
        AlgebraError: `not_finite`.
    """
    if not np.isfinite(value):
        message = "The weights have numbers that are not finite, or too large to compute with."
        raise AlgebraError(message, code="not_finite")
    return value


def relative_error(whole: float, kept: float) -> float:
    """Return ‖W − factors‖ / ‖W‖ of an approximation, from the energies of both."""
    return math.sqrt(max(whole - kept, 0.0) / whole) if whole > 0 else 0.0


def truncated(found: Decomposition, rank: int) -> Factors:
    """Return the best approximation of an update by factors of a rank, with the same scale.

    Each singular value is shared equally between both factors, so that both keep their precision in
    formats of few bits.
    """
    balance = np.sqrt(found.values[:rank] / (abs(found.factors.scale) or 1.0))
    inverse = np.where(balance > 0, 1 / np.maximum(balance, np.finfo(float).tiny), 0)
    up = found.factors.up @ (found.left[:, :rank] * inverse)
    down = (found.right[:rank] * balance[:, None]) @ found.factors.down
    return Factors(up, down, found.factors.scale)


def singular_values(factors: Factors) -> Matrix:
    """Return the singular values of an update, largest first.

    Raises:
        AlgebraError: `not_finite` or `rank_too_large`.
    """
    return decompose(factors).values


def rank_for_share(values: Matrix, share: float) -> int:
    """Return the smallest rank whose directions have a share of the energy.

    Args:
        values: Singular values, largest first.
        share: Share of the energy to keep, in (0, 1].

    Returns:
        A rank of at least 1. kohya's `sv_fro` compares norms instead, and adds 1 to the rank.
    """
    kept = np.cumsum(values**2)
    if kept[-1] <= 0:
        return 1
    # A sum of many small terms may miss the total by a rounding error.
    needed = share * kept[-1] * (1 - len(values) * np.finfo(float).eps)
    return int(np.searchsorted(kept, needed) + 1)


def joined(parts: list[Factors]) -> Factors:
    """Return factors of the sum of updates: columns beside columns, rows below rows.

    The scale is `joint_scale`; the factors `up` carry the quotients, which are at most 1.
    """
    scale = joint_scale([part.scale for part in parts])
    ups = [part.up if part.scale == scale else part.up * (part.scale / scale) for part in parts]
    return Factors(np.hstack(ups), np.vstack([part.down for part in parts]), scale)


def joint_scale(scales: list[float]) -> float:
    """Return the scale of joined factors: the largest size, because an alpha is not negative."""
    return max(map(abs, scales)) or 1.0

"""Computing with the factors of one module."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorary.algebra.errors import AlgebraError
from lorary.algebra.matrices import gram
from lorary.algebra.matrices.gram import Factors, compact, decompose, energy, inner, truncated
from tests.builders.factors import distance


def _factors(out: int, fan_in: int, rank: int, seed: int = 0, scale: float = 0.5) -> Factors:
    random = np.random.default_rng(seed)
    up = random.standard_normal((out, rank)) * np.logspace(0, -4, rank)
    return Factors(up, random.standard_normal((rank, fan_in)), scale)


SIZES = ((48, 64, 8), (64, 48, 32), (5, 40, 16), (40, 5, 16), (1, 1, 1))


@pytest.mark.parametrize("size", SIZES)
def test_singular_values_and_truncation_are_those_of_the_dense_update(
    size: tuple[int, int, int],
) -> None:
    factors = _factors(*size, scale=-0.3)
    left, values, right = np.linalg.svd(factors.dense(), full_matrices=False)
    found = decompose(factors)
    count = min(len(values), len(found.values))
    # An eigenvalue of a Gram matrix has an error of ε·σ₁², its root one of ε·σ₁²/σ; the constant
    # depends on the processor.
    error = 32 * np.finfo(float).eps * values[0] ** 2 / values[:count]
    assert (np.abs(found.values[:count] - values[:count]) <= error).all()
    assert np.abs(values[count:]).max(initial=0) <= 1e-12 * values[0]
    for rank in {1, (count + 1) // 2, count}:
        best = (left[:, :rank] * values[:rank]) @ right[:rank]
        near = truncated(found, rank)
        assert near.up.shape[1] == rank
        assert distance(near.dense(), best) <= 1e-10


def test_energy_and_inner_product_are_those_of_the_dense_updates() -> None:
    first, second = _factors(30, 40, 8), _factors(30, 40, 3, seed=1, scale=-2.0)
    assert energy(first) == pytest.approx((first.dense() ** 2).sum(), rel=1e-13)
    assert inner(first, second) == pytest.approx((first.dense() * second.dense()).sum(), rel=1e-12)


def test_rank_deficient_and_zero_factors_need_no_special_case() -> None:
    factors = _factors(30, 40, 6)
    factors.up[:, 3:] = factors.up[:, :3]
    found = decompose(factors)
    assert (found.values[3:] <= 1e-7 * found.values[0]).all()
    assert distance(truncated(found, 6).dense(), factors.dense()) <= 1e-12
    nothing = decompose(factors._replace(up=np.zeros((30, 6))))
    assert nothing.values.tolist() == [0] * 6
    assert not truncated(nothing, 2).dense().any()
    assert not truncated(decompose(factors._replace(scale=0.0)), 2).dense().any()


def test_the_rank_for_a_share_is_the_smallest_one() -> None:
    values = np.array([3.0, 2, 1, 0])
    assert [gram.rank_for_share(values, share) for share in (1e-9, 9 / 14, 0.65, 1)] == [1, 1, 2, 3]
    assert gram.rank_for_share(np.zeros(3), 0.9) == 1


def test_numbers_that_are_not_finite_are_refused() -> None:
    for value in (np.nan, np.inf, 1e200):
        factors = _factors(8, 8, 2)
        factors.up[0, 0] = value
        with np.errstate(all="ignore"), pytest.raises(AlgebraError) as caught:
            decompose(factors)
        assert caught.value.code == "not_finite"


def test_a_huge_rank_costs_no_more_than_the_update(monkeypatch: pytest.MonkeyPatch) -> None:
    factors = _factors(3, 4, 20_000)
    assert compact(factors).rank == 3
    assert distance(compact(factors).dense(), factors.dense()) <= 1e-12
    monkeypatch.setattr(gram, "MOST_RANK", 2)
    with pytest.raises(AlgebraError) as caught:
        decompose(factors)
    assert caught.value.code == "rank_too_large"


@given(
    st.integers(1, 12), st.integers(1, 12), st.integers(1, 8), st.integers(0, 99), st.integers(1, 8)
)
@settings(max_examples=40, deadline=None)
def test_truncation_loses_exactly_the_energy_of_the_other_directions(
    out: int, fan_in: int, inner_size: int, seed: int, rank: int
) -> None:
    factors = _factors(out, fan_in, inner_size, seed)
    found = decompose(factors)
    rank = min(rank, len(found.values))
    lost = ((truncated(found, rank).dense() - factors.dense()) ** 2).sum()
    assert lost == pytest.approx((found.values[rank:] ** 2).sum(), abs=1e-12 * energy(factors))


def test_factors_whose_product_is_too_large_are_refused() -> None:
    large = Factors(np.full((4, 2), 1e100), np.full((2, 4), 1e100), 1.0)
    with np.errstate(all="ignore"), pytest.raises(AlgebraError) as caught:
        decompose(large)
    assert caught.value.code == "not_finite"

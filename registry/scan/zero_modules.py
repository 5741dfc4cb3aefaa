"""Which modules of an adapter change nothing at all, by which of their tensors are all zero.

A module counts only where every way in which it could change the base is known to be zero. DoRA's
magnitudes, for one, change the base also beside a pair of zeros.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["NEUTRAL_ONES", "is_silent"]

#: Tensors that are multiplied with each other: one of zeros makes the product zero.
_PRODUCTS: tuple[frozenset[str], ...] = (
    frozenset({"down", "up", "mid", "part_down", "part_up", "singular"}),
    frozenset({"embedding_down", "embedding_up"}),
    frozenset({f"hada_{part}" for part in ("w1_a", "w1_b", "w2_a", "w2_b", "t1", "t2")}),
    frozenset(
        {f"lokr_{part}" for part in ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b", "t1", "t2")}
    ),
    frozenset({"glora_a1", "glora_a2"}),
    frozenset({"glora_b1", "glora_b2"}),
)
#: Tensors that change nothing where they are zero: differences, and rotations before training.
_NEUTRAL_ZEROS = frozenset(
    {"diff", "diff_b", "w_norm", "b_norm", "up_bias", "ia3_weight", "oft_blocks", "oft_r", "boft_r"}
)
#: Tensors that change nothing where they are one: they multiply.
NEUTRAL_ONES = frozenset({"ia3_l", "rescale", "boft_s"})
#: Tensors that change nothing by themselves.
_INERT = frozenset({"alpha", "on_input"})


def is_silent(neutral: Mapping[str, bool]) -> bool:
    """Tell whether a module changes nothing.

    Args:
        neutral: Role of each of its tensors, and whether all of its numbers are zero (or one, of
            those in ``NEUTRAL_ONES``).
    """
    rest = set(neutral) - _INERT - {"scalar"}
    is_scaled_away = neutral.get("scalar", False)
    products = [own for group in _PRODUCTS if (own := rest & group)]
    if not all(is_scaled_away or _any(neutral, own) for own in products):
        return False
    for own in products:
        rest -= own
    single = rest <= _NEUTRAL_ZEROS | NEUTRAL_ONES and all(neutral[role] for role in rest)
    return single and bool(products or rest)


def _any(neutral: Mapping[str, bool], roles: Iterable[str]) -> bool:
    return any(neutral[role] for role in roles)

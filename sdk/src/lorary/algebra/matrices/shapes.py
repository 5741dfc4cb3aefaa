"""Shapes of the tensors of a module, and of the update that they make."""

from __future__ import annotations

import math

Shape = tuple[int, ...]


def pair_shape(up: Shape, down: Shape, mid: Shape | None = None) -> tuple[Shape, int] | None:
    """Return the shape `(out, in, *kernel)` of the update of two factors, and its rank.

    Args:
        up: `(out, rank, 1, …)`.
        down: `(rank, in, *kernel)`; with a core `(inner, in, 1, …)`.
        mid: A Tucker core `(rank, inner, *kernel)`.

    Returns:
        None if the shapes don't fit together.
    """
    if len(up) < 2 or len(down) < 2 or 0 in (*up, *down, *(mid or ())) or math.prod(up[2:]) != 1:
        return None
    inner, kernel = down[0], down[2:]
    if mid is not None:
        if len(mid) < 3 or math.prod(kernel) != 1 or mid[1] != inner:
            return None
        inner, kernel = mid[0], mid[2:]
    return ((up[0], down[1], *kernel), inner) if up[1] == inner else None


def product_shape(first: Shape, second: Shape, core: Shape | None = None) -> Shape | None:
    """Return the shape of a product of two factors as LyCORIS stores them, None without a fit.

    Args:
        first: `(out, rank)`; with a core `(rank, out)`.
        second: `(rank, in)` or `(rank, in · area)`; with a core `(inner, in)`.
        core: `(rank, inner, *kernel)`.
    """
    if core is not None:
        is_fit = len(core) > 2 and len(first) == 2 == len(second)
        found = (first[1], second[1], *core[2:]) if is_fit else ()
        is_fit = is_fit and core[:2] == (first[0], second[0])
    else:
        is_fit = len(first) == 2 <= len(second) and first[1] == second[0]
        found = (first[0], *second[1:]) if is_fit else ()
    return found if is_fit and 0 not in (*found, *first, *second) else None

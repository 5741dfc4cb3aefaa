"""Crossings of two lists: a part of them in ``make test``, all of them in ``make test-matrix``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

Row = TypeVar("Row")
Column = TypeVar("Column")

#: Whether everything is crossed with everything.
IS_WHOLE = os.environ.get("LORARY_TEST_WHOLE") == "1"


def crossed(
    rows: Sequence[Row], columns: Sequence[Column], each: int = 1
) -> list[tuple[Row, Column]]:
    """Return each row with some of the columns, by turns; in a whole run with all of them.

    Args:
        rows: The longer list.
        columns: The shorter list.
        each: Number of columns that a row gets in ``make test``.
    """
    pairs = []
    for turn, row in enumerate(rows):
        pairs += [(row, column) for column in by_turns(columns, turn, each)]
    return pairs


def by_turns(values: Sequence[Column], turn: int, each: int = 1) -> list[Column]:
    """Return some of the values, others at each turn; in a whole run all of them."""
    if IS_WHOLE:
        return list(values)
    # Rows often come in pairs: without the second term, one half of a pair would always get the
    # same values.
    first = turn * each + turn // len(values)
    return [values[(first + number) % len(values)] for number in range(min(each, len(values)))]

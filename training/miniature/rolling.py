"""The newest drawings: a set that forgets its oldest pictures and draws others instead.

A picture of a fixed set is seen again and again; here it is gone after a few looks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Item = TypeVar("Item")
CHUNK = 200


class RollingSet(Generic[Item]):
    """The items made of `size` successive numbers, of which each step brings `fresh` new ones."""

    def __init__(self, size: int, fresh: int, make: Callable[[range], list[Item]]) -> None:
        self._size, self._fresh, self._make = size, fresh, make
        self._items: dict[int, Item] = {}
        self._made = 0

    def advance(self, step: int) -> None:
        """Hold what step `step` sees: the same, whichever steps were taken before."""
        end = step * self._fresh + self._size
        first = max(self._made, end - self._size)
        for start in range(first, end, CHUNK):
            numbers = range(start, min(start + CHUNK, end))
            for number, item in zip(numbers, self._make(numbers), strict=True):
                self._items[number % self._size] = item
        self._made = end

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, place: int) -> Item:
        return self._items[place]

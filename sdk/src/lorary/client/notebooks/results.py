"""Results of a search: an iterator that notebooks show as a list with pictures."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Protocol, TypeVar

from lorary.client.errors import Invalid, LoraryError
from lorary.client.notebooks.tiles import MOST_TILES, Tile, listed


class Shown(Protocol):
    """A value that has a tile."""

    def tile(self) -> Tile:
        """Return what a notebook shows of it."""
        ...


T_co = TypeVar("T_co", bound=Shown, covariant=True)


def require_limit(limit: int | None) -> None:
    """Refuse a negative number of results.

    Raises:
        Invalid: it is negative.
    """
    if limit is not None and limit < 0:
        msg = f"limit is {limit}, but must be 0 or more, or None for all."
        raise Invalid(msg)


class Results(Iterator[T_co]):
    """Adapters or packs, requested from the hub as they are needed.

    It can be iterated over once. A notebook shows the first of the remaining ones, which are still
    returned afterwards.
    """

    def __init__(
        self, found: Iterator[T_co], first_page: Mapping[str, object] | None = None
    ) -> None:
        self._found = found
        self._first_page = {} if first_page is None else first_page
        self._ahead: deque[T_co] = deque()
        self._failure: LoraryError | None = None

    @property
    def corrected(self) -> str:
        """The corrected query of which these are the results, if nothing matched the one asked for.

        It is known once the first result has been requested; it is empty before that, or if there
        was no correction.
        """
        value = self._first_page.get("corrected")
        return value if isinstance(value, str) else ""

    def __next__(self) -> T_co:
        if self._ahead:
            return self._ahead.popleft()
        if self._failure is not None:
            raise self._failure
        return next(self._found)

    def __repr__(self) -> str:
        """Return the items that were requested already; it asks the hub for none."""
        if not self._ahead:
            return "<Results: loop over them, or call list(); nothing is requested until then>"
        return f"<Results: {', '.join(str(one.tile().name) for one in self._ahead)}, …>"

    def _repr_html_(self) -> str:
        try:
            self._ahead.extend(islice(self._found, max(0, MOST_TILES + 1 - len(self._ahead))))
        except LoraryError as error:
            self._failure = error  # for the loop that reaches it
        tiles = [one.tile() for one in islice(self._ahead, MOST_TILES)]
        failure = "" if self._failure is None else self._failure.detail
        return listed(tiles, has_more=len(self._ahead) > MOST_TILES, failure=failure)

"""What a header says of one tensor, and of all."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from lorary.safetensors.dtypes import DTYPE_BITS

if TYPE_CHECKING:
    from collections.abc import ItemsView, Iterator, KeysView, Sequence, ValuesView

__all__ = ["MOST_BYTES", "MOST_ELEMENTS", "Content", "TensorInfo", "Tensors"]

MOST_ELEMENTS = 2**64 - 1
"""Elements of a tensor that every reader can count."""

MOST_BYTES = 2**64 - 1
"""Bytes of data that every reader can count."""


class TensorInfo(NamedTuple):
    """One tensor: what it is and where its bytes lie.

    A named tuple, because a header makes thousands and a frozen dataclass costs four times as
    much to build.

    Attributes:
        dtype: A key of `DTYPE_BITS`.
        shape: Elements per dimension; `()` is a scalar.
        begin: First byte, counted from the start of the data section.
        end: Byte after the last.
    """

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def size_bytes(self) -> int:
        """Bytes of the tensor."""
        return self.end - self.begin

    @property
    def elements(self) -> int:
        """Numbers in the tensor."""
        return (self.end - self.begin) * 8 // DTYPE_BITS[self.dtype]


_new: partial[TensorInfo] = partial(tuple.__new__, TensorInfo)


class Tensors(Mapping[str, TensorInfo]):
    """Tensors by name, kept as columns; rows are made when somebody asks for them.

    Thousands of rows take as long as reading the header, and counting needs only the columns.

    Args:
        names: Their names, all different.
        dtypes: Number format of each.
        shapes: Shape of each.
        begins: First byte of each.
        ends: Byte after the last of each.
    """

    __slots__ = ("_rows", "begins", "dtypes", "ends", "names", "shapes")

    def __init__(
        self,
        names: tuple[str, ...] = (),
        dtypes: Sequence[str] = (),
        shapes: Sequence[tuple[int, ...]] = (),
        begins: Sequence[int] = (),
        ends: Sequence[int] = (),
    ) -> None:
        self.names = names
        self.dtypes, self.shapes, self.begins, self.ends = dtypes, shapes, begins, ends
        self._rows: dict[str, TensorInfo] | None = None

    @classmethod
    def of(cls, tensors: Mapping[str, TensorInfo]) -> Tensors:
        """The same tensors as columns."""
        if isinstance(tensors, cls):
            return tensors
        return cls(tuple(tensors), *zip(*tensors.values(), strict=True))

    def row(self, at: int) -> TensorInfo:
        """One of them by its place."""
        return TensorInfo(self.dtypes[at], self.shapes[at], self.begins[at], self.ends[at])

    def at(self, places: Sequence[int]) -> list[TensorInfo]:
        """Rows at some places."""
        columns = (self.dtypes, self.shapes, self.begins, self.ends)
        return list(map(_new, zip(*([c[at] for at in places] for c in columns), strict=True)))

    def _by_name(self) -> dict[str, TensorInfo]:
        if self._rows is None:
            rows = zip(self.dtypes, self.shapes, self.begins, self.ends, strict=True)
            self._rows = dict(zip(self.names, map(_new, rows), strict=True))
        return self._rows

    def __getitem__(self, name: str) -> TensorInfo:
        return self._by_name()[name]

    def __contains__(self, name: object) -> bool:
        return name in self._by_name()

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._by_name()!r})"

    def keys(self) -> KeysView[str]:
        """Names."""
        return self._by_name().keys()

    def values(self) -> ValuesView[TensorInfo]:
        """Rows."""
        return self._by_name().values()

    def items(self) -> ItemsView[str, TensorInfo]:
        """Names and rows."""
        return self._by_name().items()


class Content(NamedTuple):
    """The JSON of a header, checked.

    Attributes:
        tensors: Name to tensor, in the header's order.
        metadata: The `__metadata__` map; empty when there is none.
    """

    tensors: Mapping[str, TensorInfo]
    metadata: Mapping[str, str]

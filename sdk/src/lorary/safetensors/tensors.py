"""The tensors of a header: `TensorInfo` for one, `Tensors` for all of them."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, Mapping, Sequence, ValuesView
from functools import partial
from typing import Final, NamedTuple

# Number formats of safetensors.
#
# Source: safetensors 0.8 `Dtype`; formats smaller than a byte are packed.


DTYPE_BITS: Final[dict[str, int]] = {
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "BOOL": 8,
    "U8": 8,
    "I8": 8,
    "F8_E5M2": 8,
    "F8_E4M3": 8,
    "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "F64": 64,
    "I64": 64,
    "U64": 64,
    "C64": 64,
}
"""Format name to bits per element. Names are case-sensitive."""

FLOAT_DTYPES = frozenset(
    {"F64", "F32", "F16", "BF16", "F8_E5M2", "F8_E4M3", "F8_E4M3FNUZ", "F8_E5M2FNUZ"}
)
"""Formats in which adapter weights are stored."""


MOST_ELEMENTS = MOST_BYTES = 2**64 - 1
"""The maximum number of elements or bytes that fits the 64-bit integers of other readers."""


class TensorInfo(NamedTuple):
    """Format, shape and byte range of one tensor.

    This is a named tuple because a header has thousands of them, and a frozen dataclass takes four
    times as long to build.

    Attributes:
        dtype: A key of `DTYPE_BITS`.
        shape: Elements per dimension; `()` for a scalar.
        begin: First byte, counted from the start of the data section.
        end: Byte after the last one.
    """

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def size_bytes(self) -> int:
        """Size in bytes."""
        return self.end - self.begin

    @property
    def elements(self) -> int:
        """Number of elements."""
        return (self.end - self.begin) * 8 // DTYPE_BITS[self.dtype]


_new: partial[TensorInfo] = partial(tuple.__new__, TensorInfo)


class Tensors(Mapping[str, TensorInfo]):
    """Maps names to tensors. Stored as columns; rows are built on first access.

    Building thousands of rows takes as long as reading the header, and most questions need only the
    columns. Names are unique, and all columns have the same order.
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
        """Return the same tensors as columns."""
        if isinstance(tensors, cls):
            return tensors
        return cls(tuple(tensors), *zip(*tensors.values(), strict=True))

    def row(self, index: int) -> TensorInfo:
        """Return the tensor at a position in the header."""
        return self.at([index])[0]

    def at(self, indices: Sequence[int]) -> list[TensorInfo]:
        """Return the tensors at some positions in the header."""
        columns = (self.dtypes, self.shapes, self.begins, self.ends)
        return list(
            map(_new, zip(*([c[index] for index in indices] for c in columns), strict=True))
        )

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
        """Return the names."""
        return self._by_name().keys()

    def values(self) -> ValuesView[TensorInfo]:
        """Return the tensors."""
        return self._by_name().values()

    def items(self) -> ItemsView[str, TensorInfo]:
        """Return pairs of name and tensor."""
        return self._by_name().items()


class Content(NamedTuple):
    """The checked tensors and metadata of a header. `metadata` is empty if the header has none."""

    tensors: Mapping[str, TensorInfo]
    metadata: Mapping[str, str]

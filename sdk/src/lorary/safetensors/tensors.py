"""What a header says of one tensor, and of all."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lorary.safetensors.dtypes import DTYPE_BITS

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MOST_BYTES", "MOST_ELEMENTS", "Content", "TensorInfo"]

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


class Content(NamedTuple):
    """The JSON of a header, checked.

    Attributes:
        tensors: Name to tensor, in the header's order.
        metadata: The `__metadata__` map; empty when there is none.
    """

    tensors: Mapping[str, TensorInfo]
    metadata: Mapping[str, str]

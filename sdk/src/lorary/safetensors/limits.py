"""Bounds that are checked before anything is allocated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["DEFAULT_LIMITS", "FORMAT_HEADER_BYTES", "Limits"]

FORMAT_HEADER_BYTES: Final = 100_000_000
"""The format's own bound on a header. Source: safetensors `MAX_HEADER_SIZE`."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one header.

    The defaults suit adapters: real headers stay below 1 MiB with their metadata and below
    6,000 tensors.

    Attributes:
        header_bytes: Longest accepted JSON header.
        tensors: Most tensors in a file.
        metadata_bytes: Most UTF-8 bytes of keys and values of `__metadata__` together.
        metadata_keys: Most keys of `__metadata__`.
        name_chars: Longest tensor name.
        dimensions: Most dimensions of a tensor.
        depth: Most objects and lists inside each other; the format itself needs three.
    """

    header_bytes: int = 16 * 1024 * 1024
    tensors: int = 100_000
    metadata_bytes: int = 8 * 1024 * 1024
    metadata_keys: int = 4_096
    name_chars: int = 512
    dimensions: int = 8
    depth: int = 4


DEFAULT_LIMITS = Limits()

"""Limits on a header, checked before memory is allocated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

FORMAT_HEADER_BYTES: Final = 100_000_000
"""The format's own limit on a header. Source: safetensors `MAX_HEADER_SIZE`."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on one header.

    The defaults suit adapters: real headers stay below 1 MiB with their metadata and below 6,000
    tensors.

    Attributes:
        header_bytes: Maximum length of the JSON header.
        tensors: Maximum number of tensors.
        metadata_bytes: Maximum UTF-8 bytes of all keys and values of `__metadata__`.
        metadata_keys: Maximum number of keys of `__metadata__`.
        name_chars: Maximum length of a tensor name.
        dimensions: Maximum dimensions of a tensor.
        depth: Maximum nesting of objects and lists; the format needs three levels.
    """

    header_bytes: int = 16 * 1024 * 1024
    tensors: int = 100_000
    metadata_bytes: int = 8 * 1024 * 1024
    metadata_keys: int = 4_096
    name_chars: int = 512
    dimensions: int = 8
    depth: int = 4


DEFAULT_LIMITS = Limits()

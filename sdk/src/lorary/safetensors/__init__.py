"""Strict, bounded reader of safetensors headers.

`UrlSource` is imported on first use, because it needs HTTP.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lorary.lazy import names_of
from lorary.safetensors.errors import HeaderError, SourceError
from lorary.safetensors.header import Header, parse_header, read_header, read_scalar, read_scalars
from lorary.safetensors.rules import DEFAULT_LIMITS, Limits
from lorary.safetensors.source import BytesSource, FileSource, Source, open_source
from lorary.safetensors.tensors import TensorInfo

if TYPE_CHECKING:
    from lorary.safetensors.remote import UrlSource

__all__ = [
    "DEFAULT_LIMITS",
    "BytesSource",
    "FileSource",
    "Header",
    "HeaderError",
    "Limits",
    "Source",
    "SourceError",
    "TensorInfo",
    "UrlSource",
    "open_source",
    "parse_header",
    "read_header",
    "read_scalar",
    "read_scalars",
]

__getattr__, __dir__ = names_of(__name__, {"lorary.safetensors.remote": ["UrlSource"]})

"""Strict, bounded reader of safetensors headers."""

from lorary.safetensors.errors import HeaderError
from lorary.safetensors.header import Header, parse_header, read_header
from lorary.safetensors.limits import DEFAULT_LIMITS, Limits
from lorary.safetensors.remote import SourceError, UrlSource
from lorary.safetensors.scalars import read_scalar, read_scalars
from lorary.safetensors.source import BytesSource, FileSource, Source, open_source
from lorary.safetensors.tensors import TensorInfo

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

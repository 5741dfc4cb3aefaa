"""Number formats that results can have, without numpy: the commands list them in their help."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

DTYPES: Mapping[str, str] = MappingProxyType(
    {
        "fp32": "F32", "fp16": "F16", "bf16": "BF16",
        "fp8_e4m3": "F8_E4M3", "fp8_e5m2": "F8_E5M2",
    }
)  # fmt: skip
"""Word for a number format to its name in safetensors."""


def word_of(dtype: str) -> str:
    """Return the word for a format with either name; anything else as it is."""
    return next((word for word, name in DTYPES.items() if dtype == name), dtype)

"""The error of the algebra: what it refuses, with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

ALGEBRA_CODES: Mapping[str, str] = MappingProxyType(
    {
        "config_invalid": "The adapter_config.json beside the file can't be read.",
        "dtype_unsupported": "The file has tensors in a number format that can't be computed with.",
        "family_unknown": "The names of the base model's modules are not known.",
        "not_an_adapter": "The file isn't a LoRA adapter.",
        "not_convertible": "The target can't hold a module exactly.",
        "same_file": "The output is the input.",
    }
)
"""Code to meaning. Codes are part of the API: add, never rename."""


class AlgebraError(ValueError):
    """Raised for files and settings from which no exact result can be made.

    Attributes:
        code: One of `ALGEBRA_CODES`.
        message: One or two sentences for people.
        facts: JSON values that support the message, such as the module.
    """

    def __init__(self, message: str, *, code: str, **facts: object) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.facts = facts

"""Checks values of ModelSpec 1.0.1, the standard for descriptions in a safetensors header.

Source: https://github.com/Stability-AI/ModelSpec; `unet_dtype` and `vae_dtype` are in use by
sd-scripts, `lora_default_weight` and `lora_default_confinement` by SwarmUI.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from datetime import date

from lorary.algebra.errors import AlgebraError
from lorary.algebra.files import DATA_HASH

PREFIX = "modelspec."
VERSION = "1.0.1"
REQUIRED = ("sai_model_spec", "architecture", "implementation", "title")
"""Keys without which the metadata doesn't count as ModelSpec."""

MOST_THUMBNAIL_BYTES = 256 * 1024


def _matches(pattern: str) -> Callable[[str], bool]:
    form = re.compile(pattern)
    return lambda value: form.fullmatch(value) is not None


def _is_date(value: str) -> bool:
    try:
        date.fromisoformat(value[:10])
    except ValueError:
        return False
    return (
        re.fullmatch(r"[T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?|", value[10:])
        is not None
    )


def _is_thumbnail(value: str) -> bool:
    found = re.match(r"data:image/(?:jpeg|png|webp);base64,", value)
    if found is None:
        return False
    try:
        data = base64.b64decode(value[found.end() :], validate=True)
    except binascii.Error:
        return False
    return 0 < len(data) <= MOST_THUMBNAIL_BYTES


def _is_number(value: str) -> bool:
    return re.fullmatch(r"-?\d{1,3}(\.\d{1,6})?", value) is not None


_TEXT = ("any text", lambda value: bool(value.strip()))
_KEYS: Mapping[str, tuple[str, Callable[[str], bool]]] = {
    "sai_model_spec": ("a version such as 1.0.1", _matches(r"1\.\d{1,2}\.\d{1,2}")),
    "architecture": (
        "an identifier such as stable-diffusion-xl-v1-base/lora",
        _matches(r"[\w.+-]{1,100}(/[\w.+-]{1,100})?"),
    ),
    "implementation": _TEXT,
    "implementation_version": _TEXT,
    "title": _TEXT,
    "description": _TEXT,
    "author": _TEXT,
    "date": ("a date such as 2025-01-31", _is_date),
    "license": _TEXT,
    "usage_hint": _TEXT,
    "tags": _TEXT,
    "category": _TEXT,
    "thumbnail": (
        f"a data URL of a JPEG, PNG or WebP image of at most {MOST_THUMBNAIL_BYTES // 1024} KiB",
        _is_thumbnail,
    ),
    "merged_from": _TEXT,
    "trigger_phrase": _TEXT,
    "resolution": ("a size such as 1024x1024", _matches(r"\d{1,5}x\d{1,5}")),
    "prediction_type": _TEXT,
    "timestep_range": ("two numbers such as 0,499", _matches(r"\d{1,5},\d{1,5}")),
    "encoder_layer": ("a whole number", _matches(r"\d{1,3}")),
    "preprocessor": _TEXT,
    "is_negative_embedding": ("true or false", _matches("true|false")),
    "unet_dtype": _TEXT,
    "vae_dtype": _TEXT,
    "lora_default_weight": ("a number", _is_number),
    "lora_default_confinement": _TEXT,
}
"""Key without its prefix to what it is, and to the test of its values."""


def require_valid(key: str, value: str) -> None:
    """Refuse a new value of a `modelspec.` key that breaks the specification.

    Raises:
        AlgebraError: `metadata_invalid`.
    """
    name = key.removeprefix(PREFIX)
    if name == key:
        return
    if key == DATA_HASH:
        message = f"{key} is computed from the weights: leave it out."
        raise AlgebraError(message, code="metadata_invalid", key=key)
    if name not in _KEYS:
        message = f"ModelSpec {VERSION} has no key “{name}”. Its keys: {', '.join(_KEYS)}."
        raise AlgebraError(message, code="metadata_invalid", key=key)
    what, is_valid = _KEYS[name]
    if not is_valid(value):
        message = f"{key} must be {what}."
        raise AlgebraError(message, code="metadata_invalid", key=key)


def missing_keys(metadata: Mapping[str, str]) -> list[str]:
    """Return the required keys that metadata with any `modelspec.` key lacks."""
    if not any(key.startswith(PREFIX) for key in metadata):
        return []
    return [f"{PREFIX}{key}" for key in REQUIRED if f"{PREFIX}{key}" not in metadata]

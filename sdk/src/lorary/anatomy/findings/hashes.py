"""Hashes in the metadata: those that can be none, and those that can be checked.

A trainer writes the hash of the base model, and of its own tensors. Where the base is a folder or
is missing, sd-scripts writes a word in place of the hash; hashing nothing gives `e3b0c442…`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lorary.anatomy.findings.finding import Finding, finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["claimed_hashes", "embedded_hashes", "hash_findings"]

_SHA256 = 64
_LENGTHS: Mapping[str, frozenset[int]] = {
    "ss_new_sd_model_hash": frozenset({_SHA256}),
    "ss_new_vae_hash": frozenset({_SHA256}),
    "ss_sd_model_hash": frozenset({8, 10, 12, _SHA256}),
    "ss_vae_hash": frozenset({8, 10, 12, _SHA256}),
    "sshs_model_hash": frozenset({_SHA256}),
    "sshs_legacy_hash": frozenset({8}),
    "modelspec.hash_sha256": frozenset({_SHA256}),
}
"""Metadata key to the numbers of hexadecimal digits that its value may have."""

_OF_WEIGHTS = ("sshs_model_hash", "sshs_legacy_hash", "modelspec.hash_sha256")

_NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
# The old hash covers 64 KiB behind the first mebibyte, which small adapters do not have.
_MAY_BE_OF_NOTHING = frozenset({"sshs_legacy_hash"})
_HEX = re.compile(r"[0-9a-f]+")
_ABSENT = frozenset({"", "none", "null", "nan", "-"})
_ONETRAINER = frozenset({"ot_branch", "ot_config", "ot_revision"})


def _digits(metadata: Mapping[str, str], key: str) -> str | None:
    """The value without `0x`, in lower case; None when it is absent."""
    value = metadata.get(key)
    if value is None:
        return None
    value = value[: 2 * _SHA256].strip().lower()
    return None if value in _ABSENT else value.removeprefix("0x")


def hash_findings(metadata: Mapping[str, str]) -> Iterator[Finding]:
    """Values that stand where a hash should be, and are none."""
    odd = []
    for key, lengths in _LENGTHS.items():
        value = _digits(metadata, key)
        kind = None if value is None else _oddity(value, lengths, key)
        if kind is not None:
            odd.append({"key": key, "kind": kind})
    if odd:
        message = (
            "The metadata holds placeholders where hashes should be, so that nobody finds the "
            "file or its base model by them. Leave them out, or write the real ones."
        )
        yield finding("hash_placeholder", message, count=len(odd), hashes=odd)


def _oddity(value: str, lengths: frozenset[int], key: str) -> str | None:
    if not _HEX.fullmatch(value):
        return "not_hexadecimal"
    if len(value) not in lengths:
        return "wrong_length"
    if _NOTHING.startswith(value) and key not in _MAY_BE_OF_NOTHING:
        return "hash_of_nothing"
    return "one_digit" if len(set(value)) == 1 else None


def claimed_hashes(metadata: Mapping[str, str]) -> dict[str, str]:
    """Hashes of the file's own weights that the metadata names, whether or not they are right.

    Returns:
        Metadata key (`sshs_model_hash`, `sshs_legacy_hash`, `modelspec.hash_sha256`) to its
        hexadecimal digits, in lower case and without `0x`; placeholders are left out.
    """
    found = {}
    for key in _OF_WEIGHTS:
        value = _digits(metadata, key)
        is_one = value is not None and _oddity(value, _LENGTHS[key], key) is None
        if value is not None and is_one and not _NOTHING.startswith(value):
            found[key] = value
    return found


def embedded_hashes(metadata: Mapping[str, str]) -> dict[str, str]:
    """Hashes in the metadata that the SHA-256 of the data section has to equal.

    Left out is what other bytes were hashed for: `sshs_legacy_hash` is taken of a file that holds
    only the `ss_*` metadata, and OneTrainer hashes the tensors in the order of their names.

    Returns:
        Metadata key (`sshs_model_hash`, `modelspec.hash_sha256`) to 64 hexadecimal digits.
    """
    found = claimed_hashes(metadata)
    found.pop("sshs_legacy_hash", None)
    if not _ONETRAINER.isdisjoint(metadata):
        found.pop("modelspec.hash_sha256", None)
    return found

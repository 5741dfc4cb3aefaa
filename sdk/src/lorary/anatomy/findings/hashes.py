"""Hashes in the metadata: placeholders, and hashes that can be checked.

Trainers write the hash of the base model and of their own tensors. If the base model is a folder or
missing, sd-scripts writes a word instead of the hash. The hash of no bytes is `e3b0c442…`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from lorary.anatomy.findings.finding import Finding, finding

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
"""Metadata key to the allowed numbers of hexadecimal digits."""

_OF_WEIGHTS = ("sshs_model_hash", "sshs_legacy_hash", "modelspec.hash_sha256")

_EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
# The old hash covers 64 KiB after the first mebibyte, which small adapters don't have.
_MAY_BE_EMPTY = frozenset({"sshs_legacy_hash"})
_HEX = re.compile(r"[0-9a-f]+")
_ABSENT = frozenset({"", "none", "null", "nan", "-"})
_ONETRAINER = frozenset({"ot_branch", "ot_config", "ot_revision"})


def _digits(metadata: Mapping[str, str], key: str) -> str | None:
    """Return the value in lower case and without `0x`, or None if it is absent."""
    value = metadata.get(key)
    if value is None:
        return None
    value = value[: 2 * _SHA256].strip().lower()
    return None if value in _ABSENT else value.removeprefix("0x")


def hash_findings(metadata: Mapping[str, str]) -> Iterator[Finding]:
    """Yield a finding about values that can't be hashes."""
    placeholders = []
    for key, lengths in _LENGTHS.items():
        value = _digits(metadata, key)
        kind = None if value is None else _fault(value, lengths, key)
        if kind is not None:
            placeholders.append({"key": key, "kind": kind})
    if placeholders:
        message = (
            "The metadata has placeholders instead of hashes, so people can't find the file or its "
            "base model by hash. Remove them, or replace them with the real hashes."
        )
        yield finding("hash_placeholder", message, count=len(placeholders), hashes=placeholders)


def _fault(value: str, lengths: frozenset[int], key: str) -> str | None:
    if not _HEX.fullmatch(value):
        return "not_hexadecimal"
    if len(value) not in lengths:
        return "wrong_length"
    if _EMPTY_SHA256.startswith(value) and key not in _MAY_BE_EMPTY:
        return "hash_of_nothing"
    return "one_digit" if len(set(value)) == 1 else None


def claimed_hashes(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return the hashes of the file's own weights that the metadata names, right or wrong.

    Returns:
        Metadata key (`sshs_model_hash`, `sshs_legacy_hash`, `modelspec.hash_sha256`) to hexadecimal
        digits in lower case and without `0x`. Placeholders are left out.
    """
    found = {}
    for key in _OF_WEIGHTS:
        value = _digits(metadata, key)
        if value is None or _fault(value, _LENGTHS[key], key) is not None:
            continue
        if not _EMPTY_SHA256.startswith(value):
            found[key] = value
    return found


def embedded_hashes(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return the hashes in the metadata that must equal the SHA-256 of the data section.

    Hashes of other bytes are left out: `sshs_legacy_hash` covers a file that has only the `ss_*`
    metadata, and OneTrainer hashes the tensors in the order of their names.

    Returns:
        Metadata key (`sshs_model_hash`, `modelspec.hash_sha256`) to 64 hexadecimal digits.
    """
    found = claimed_hashes(metadata)
    found.pop("sshs_legacy_hash", None)
    if not _ONETRAINER.isdisjoint(metadata):
        found.pop("modelspec.hash_sha256", None)
    return found

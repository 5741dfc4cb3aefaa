"""Findings: the results of checks.

`ANATOMY_CODES` lists the codes of this package; those of the header reader are in
`lorary.safetensors.errors.HEADER_CODES`. `docs/findings.md` explains all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from lorary.safetensors import HeaderError
from lorary.safetensors.errors import HEADER_CODES

Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One result of a check.

    Attributes:
        code: Stable slug.
        severity: `error` refuses the file; everyone sees a `warning`, unless it is about private
            data; the owner sees an `info`.
        message: One or two sentences for people.
        evidence: JSON values that support the message.
    """

    code: str
    severity: Severity
    message: str
    evidence: dict[str, object] = field(default_factory=dict)

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON values."""
        return {
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
            "evidence": dict(self.evidence),
        }


_CODES: Mapping[Severity, tuple[str, ...]] = {
    "error": (
        "magnitude_mismatch", "not_an_adapter", "pair_incomplete", "rank_mismatch", "tensor_empty",
        "tensor_not_float",
    ),
    "warning": (
        "alpha_invalid", "checkpoint_leftovers", "config_conflict", "config_unreadable",
        "full_weights", "fused_and_split", "hash_differs", "hostile_text", "metadata_conflict",
        "module_twice", "modules_unknown", "prefix_repeated", "privacy_config", "privacy_email",
        "privacy_path", "privacy_secret", "privacy_user",
    ),
    "info": (
        "adapter_leftovers", "alpha_differs", "alpha_orphan", "claims_conflict",
        "family_ambiguous", "family_unknown", "hash_placeholder", "metadata_large",
        "metadata_unreadable", "modules_saved", "rank_differs", "thumbnail_left_out",
        "unknown_keys",
    ),
}  # fmt: skip
ANATOMY_CODES: Mapping[str, Severity] = {
    code: severity for severity, codes in _CODES.items() for code in codes
}
"""Code to severity."""


def finding_codes() -> frozenset[str]:
    """Return every code that an inspection can give."""
    return HEADER_CODES | frozenset(ANATOMY_CODES)


def finding(code: str, message: str, **evidence: object) -> Finding:
    """Return a finding with the severity of its code."""
    return Finding(code, ANATOMY_CODES[code], message, evidence)


def counted(count: int, noun: str, one: str, many: str) -> str:
    """Return a number with its noun and verb: `1 module has`, `1,200 modules have`."""
    return f"1 {noun} {one}" if count == 1 else f"{count:,} {noun}s {many}"


def from_error(error: HeaderError) -> Finding:
    """Return the finding for a refused header."""
    evidence = dict(error.facts)
    if error.offset is not None:
        evidence["offset"] = error.offset
    return Finding(error.code, "error", error.detail, evidence)

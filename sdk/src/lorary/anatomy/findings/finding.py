"""Findings: results of checks, as values.

The catalogue holds the codes of this package; the header reader's codes are in
`lorary.safetensors.errors.HEADER_CODES`. `docs/findings.md` explains each.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from lorary.safetensors.errors import HEADER_CODES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lorary.safetensors import HeaderError

__all__ = [
    "ANATOMY_CODES",
    "Finding",
    "Severity",
    "counted",
    "finding",
    "finding_codes",
    "from_error",
]

Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One result of a check.

    Attributes:
        code: Stable slug.
        severity: `error` refuses the file, `warning` is shown to everyone (but for what is
            private), `info` to its owner.
        message: One or two sentences for people.
        evidence: Plain JSON values that support the message.
    """

    code: str
    severity: Severity
    message: str
    evidence: dict[str, object] = field(default_factory=dict)

    def to_dict(self) -> dict[str, object]:
        """Plain JSON values."""
        return {
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
            "evidence": dict(self.evidence),
        }


ANATOMY_CODES: Mapping[str, tuple[Severity, str]] = MappingProxyType(
    {
        "adapter_leftovers": ("info", "Tensors of an adapter lie in a file that is none."),
        "alpha_differs": ("info", "The stored alpha is not the one that the metadata names."),
        "alpha_invalid": ("warning", "An alpha is zero, negative, not finite or absurdly large."),
        "alpha_orphan": ("info", "An alpha stands alone, without the pair that it would scale."),
        "checkpoint_leftovers": ("warning", "Tensors of a whole model lie beside the adapter's."),
        "claims_conflict": ("info", "The metadata names several base models that exclude another."),
        "config_conflict": ("warning", "adapter_config.json does not describe these tensors."),
        "config_unreadable": ("warning", "adapter_config.json cannot be read."),
        "family_ambiguous": ("info", "Several base models fit, and the tensors cannot tell them."),
        "family_unknown": ("info", "No known base model has these modules."),
        "full_weights": ("warning", "Full weights take a large part of the file."),
        "fused_and_split": ("warning", "One projection is adapted both fused and in its parts."),
        "hash_differs": ("warning", "A hash in the metadata is not the hash of the tensors."),
        "hash_placeholder": ("info", "A hash in the metadata can be no hash of a file."),
        "hostile_text": ("warning", "Texts hold markup, scripts or invisible characters."),
        "magnitude_mismatch": ("error", "A magnitude of DoRA fits neither side of its module."),
        "metadata_conflict": ("warning", "The metadata names another base model than the tensors."),
        "metadata_large": ("info", "The metadata is unusually large."),
        "metadata_unreadable": ("info", "A metadata value that should be JSON is not."),
        "module_twice": ("warning", "One module of the base model is adapted under two names."),
        "modules_saved": ("info", "A few full weights, such as a head, lie beside the adapter's."),
        "modules_unknown": ("warning", "A few modules do not belong to the base model."),
        "not_an_adapter": ("error", "The file is a valid safetensors file, but no adapter."),
        "pair_incomplete": ("error", "A module lacks a tensor that its algorithm needs."),
        "privacy_config": ("warning", "Metadata holds a whole configuration of a program."),
        "privacy_email": ("warning", "Metadata holds an e-mail address."),
        "privacy_path": ("warning", "Metadata holds paths of somebody's computer."),
        "privacy_secret": ("warning", "Metadata holds what looks like a password or token."),
        "privacy_user": ("warning", "Metadata names a user or a computer."),
        "rank_differs": ("info", "The tensors' rank is not the one that the metadata names."),
        "rank_mismatch": ("error", "The two halves of a pair have different ranks."),
        "tensor_empty": ("error", "A tensor has no elements."),
        "tensor_not_float": ("error", "Adapter weights are stored as whole numbers."),
        "thumbnail_left_out": ("info", "A picture inside the metadata is not shown."),
        "unknown_keys": ("info", "Tensors that no known adapter method uses."),
    }
)
"""Code to severity and meaning."""


def finding_codes() -> frozenset[str]:
    """Every code that an inspection can give."""
    return frozenset(HEADER_CODES) | frozenset(ANATOMY_CODES)


def finding(code: str, message: str, **evidence: object) -> Finding:
    """Make a finding with its catalogued severity."""
    return Finding(code, ANATOMY_CODES[code][0], message, evidence)


def counted(count: int, noun: str, one: str, many: str) -> str:
    """A number with its noun and verb: `1 module has`, `1,200 modules have`."""
    return f"1 {noun} {one}" if count == 1 else f"{count:,} {noun}s {many}"


def from_error(error: HeaderError) -> Finding:
    """The finding of a refused header, with the error's code and facts."""
    evidence = dict(error.facts)
    if error.offset is not None:
        evidence["offset"] = error.offset
    return Finding(error.code, "error", error.message, evidence)

"""Anatomy of adapter files: what a header proves, what it claims, and what is wrong with it.

Names are imported at their first use, so that what reads one field does not load all rules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lorary.lazy import names_of

if TYPE_CHECKING:
    from lorary.anatomy.assembly import file_name
    from lorary.anatomy.claims.triggers import CommonTag, TriggerWord
    from lorary.anatomy.families import FAMILIES, family_title
    from lorary.anatomy.findings.finding import Finding, Severity, finding_codes
    from lorary.anatomy.findings.hygiene import privacy_findings
    from lorary.anatomy.inspection import (
        Inspection,
        Refusal,
        analyse,
        inspect_bytes,
        inspect_file,
        inspect_source,
        inspect_url,
        url_name,
    )
    from lorary.anatomy.keys.algorithms import ALGORITHM_TITLES, algorithm_title
    from lorary.anatomy.keys.kinds import KIND_TITLES
    from lorary.anatomy.report import Anatomy, Base, Block

__all__ = [
    "ALGORITHM_TITLES",
    "FAMILIES",
    "KIND_TITLES",
    "Anatomy",
    "Base",
    "Block",
    "CommonTag",
    "Finding",
    "Inspection",
    "Refusal",
    "Severity",
    "TriggerWord",
    "algorithm_title",
    "analyse",
    "family_title",
    "file_name",
    "finding_codes",
    "inspect_bytes",
    "inspect_file",
    "inspect_source",
    "inspect_url",
    "privacy_findings",
    "url_name",
]

__getattr__, __dir__ = names_of(
    __name__,
    {
        "lorary.anatomy.assembly": ["file_name"],
        "lorary.anatomy.claims.triggers": ["CommonTag", "TriggerWord"],
        "lorary.anatomy.families": ["FAMILIES", "family_title"],
        "lorary.anatomy.findings.finding": ["Finding", "Severity", "finding_codes"],
        "lorary.anatomy.findings.hygiene": ["privacy_findings"],
        "lorary.anatomy.inspection": [
            "Inspection",
            "Refusal",
            "analyse",
            "inspect_bytes",
            "inspect_file",
            "inspect_source",
            "inspect_url",
            "url_name",
        ],
        "lorary.anatomy.keys.algorithms": ["ALGORITHM_TITLES", "algorithm_title"],
        "lorary.anatomy.keys.kinds": ["KIND_TITLES"],
        "lorary.anatomy.report": ["Anatomy", "Base", "Block"],
    },
)

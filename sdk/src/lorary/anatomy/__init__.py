"""Anatomy of adapter files: what a header proves, what it claims, and what is wrong with it."""

from lorary.anatomy.assembly import file_name
from lorary.anatomy.claims.triggers import CommonTag, TriggerWord
from lorary.anatomy.families import FAMILIES, family_title
from lorary.anatomy.findings.finding import Finding, Severity, finding_codes
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
    "url_name",
]

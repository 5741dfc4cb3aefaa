"""What lies behind the tabs of an adapter page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _

from hub.pages import links
from registry.selectors import blobs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lorary.anatomy import Finding as Result
    from registry.models import File, Finding, Version

    Document = Mapping[str, Any]

__all__ = ["FileLine", "Remark", "Tab", "files_of", "remarks_of", "tabs_of"]


@dataclass(frozen=True, slots=True)
class FileLine:
    """A file with its address."""

    path: str
    role: str
    layout: str
    dtype: str
    size_bytes: int
    sha256: str
    is_primary: bool
    url: str


@dataclass(frozen=True, slots=True)
class Remark:
    """A finding in the page's words."""

    level: str
    message: str
    evidence: str
    is_loud: bool


@dataclass(frozen=True, slots=True)
class Tab:
    """One tab; ``count`` is None where a number says nothing."""

    name: str
    title: str
    count: int | None
    is_chosen: bool

    @property
    def template(self) -> str:
        """Template of its panel."""
        return f"adapter/tab_{self.name}.html"


def files_of(version: Version, files: Iterable[File]) -> list[FileLine]:
    """Return the manifest with addresses."""
    return [_file_line(file, links.download(version, file.path)) for file in files]


def _file_line(file: File, url: str) -> FileLine:
    document: Document = blobs.document_of(file.blob)
    dtypes = document.get("dtypes") or {}
    return FileLine(
        path=file.path,
        role=file.get_role_display(),
        layout=document.get("convention") or "",
        dtype=", ".join(dtype.lower() for dtype in list(dtypes)[:3]),
        size_bytes=file.size_bytes,
        sha256=file.sha256,
        is_primary=file.is_primary,
        url=url,
    )


def remarks_of(findings: Iterable[Finding | Result], *, is_owner: bool) -> list[Remark]:
    """Return findings as remarks; notes of little weight are for the owner."""
    words = {
        "error": _("Refused"),
        "warning": _("Your call") if is_owner else _("Careful"),
        "info": _("Noted"),
    }
    return [
        Remark(words[f.severity], str(f.message), _evidence(f.evidence), f.severity != "info")
        for f in findings
        if is_owner or f.severity != "info"
    ]


def _evidence(evidence: Mapping[str, object]) -> str:
    """Return short, plain evidence; lists and long texts stay in the API."""
    told = [
        f"{name.replace('_', ' ')}: {f'{value:g}' if isinstance(value, float) else value}"
        for name, value in evidence.items()
        if isinstance(value, str | int | float) and len(str(value)) <= 120
    ]
    return "; ".join(told[:6])


def tabs_of(wanted: str, counts: Mapping[str, int | None]) -> list[Tab]:
    """Return the tabs in their order; an unknown wish falls back to the first."""
    titles = {
        "anatomy": _("Anatomy"),
        "files": _("Files"),
        "versions": _("Versions"),
        "card": _("Card"),
        "findings": _("Findings"),
    }
    chosen = wanted if wanted in titles else "anatomy"
    return [Tab(name, text, counts.get(name), name == chosen) for name, text in titles.items()]

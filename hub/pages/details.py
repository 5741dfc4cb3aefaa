"""What lies behind the tabs of an adapter page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _

from hub.pages import links
from hub.pages.verdicts import count
from lorary.anatomy import ALGORITHM_TITLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lorary.anatomy import Finding as Result
    from registry.models import File, Finding, Version

    Document = Mapping[str, Any]

__all__ = ["FileLine", "Remark", "Tab", "anatomy_of", "files_of", "remarks_of", "tabs_of"]

MAX_BLOCKS = 80


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


@dataclass(frozen=True, slots=True)
class Block:
    """What a block of the base model holds."""

    name: str
    modules: str
    parameters: str


@dataclass(frozen=True, slots=True)
class Fact:
    """A word about the file."""

    title: str
    text: str


def files_of(version: Version, files: Iterable[File]) -> list[FileLine]:
    """Return the manifest with addresses."""
    return [_file_line(file, links.download(version, file.path)) for file in files]


def _file_line(file: File, url: str) -> FileLine:
    document: Document = file.blob.anatomy.document if hasattr(file.blob, "anatomy") else {}
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


def anatomy_of(document: Document) -> dict[str, object]:
    """Return the anatomy panel: blocks, the one that holds most, facts."""
    blocks: Sequence[Mapping[str, Any]] = document.get("blocks") or ()
    strongest = max(blocks, key=lambda block: block["parameters"], default=None)
    return {
        "blocks": [
            Block(b["name"], count(b["modules"]), count(b["parameters"]))
            for b in blocks[:MAX_BLOCKS]
        ],
        "strongest": strongest["name"] if strongest else "",
        "facts": _facts(document),
    }


def _facts(document: Document) -> list[Fact]:
    training: Mapping[str, Any] = document.get("training") or {}
    parts: Mapping[str, int] = document.get("parts") or {}
    told = [
        (_("Method"), ALGORITHM_TITLES.get(document.get("algorithm") or "")),
        (_("Written as"), document.get("convention")),
        (_("Parameters"), count(document["parameters"]) if document.get("parameters") else ""),
        (_("Parts"), ", ".join(f"{part} ({n})" for part, n in parts.items())),
        (_("Trained with"), training.get("trainer")),
        (_("Trained on"), training.get("base_model")),
        (_("Steps"), training.get("steps")),
        (_("Pictures"), training.get("images")),
        (_("Learning rate"), training.get("learning_rate")),
        (_("Resolution"), " × ".join(str(side) for side in training.get("resolution") or ())),
    ]
    return [Fact(title, str(text)) for title, text in told if text]

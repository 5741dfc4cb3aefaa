"""Contents of the tabs of an adapter page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext as _

from hub.pages import links
from lorary.anatomy import Finding as Result
from lorary.library.variants import HIGH, LOW
from registry.blobs import selectors as blob_selectors
from registry.models import Blob, File, Finding, HashKind, Version
from registry.scan import checks
from registry.scan.hashes import swapped

Document = Mapping[str, Any]

MAX_ITEMS, MAX_TEXT = 3, 120


@dataclass(frozen=True, slots=True)
class HashLine:
    """A hash of a file; claimed ones are from its metadata."""

    title: str
    value: str
    is_claimed: bool = False


@dataclass(frozen=True, slots=True)
class FileLine:
    """A file with its URL."""

    path: str
    role: str
    layout: str
    dtype: str
    size_bytes: int
    sha256: str
    is_primary: bool
    url: str
    variant: str = ""
    hashes: tuple[HashLine, ...] = ()


@dataclass(frozen=True, slots=True)
class Remark:
    """A finding as shown on the page.

    Attributes:
        places: Name and URL of each version that already has these weights.
    """

    level: str
    message: str
    evidence: str = ""
    is_loud: bool = False
    code: str = ""
    places: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Tab:
    """One tab; ``count`` is None if it shows no number."""

    name: str
    title: str
    count: int | None
    is_chosen: bool

    @property
    def template(self) -> str:
        """Return the template of its panel."""
        return f"adapter/tab_{self.name}.html"


def files_of(version: Version, files: Iterable[File]) -> list[FileLine]:
    """Return the files of the manifest with their URLs."""
    return [_file_line(file, links.download(version, file.path)) for file in files]


def _file_line(file: File, url: str) -> FileLine:
    document: Document = blob_selectors.document_of(file.blob)
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
        variant=file.variant,
        hashes=tuple(_hashes_of(file.blob)),
    )


def _hashes_of(blob: Blob) -> Iterator[HashLine]:
    """Yield the hashes of weights; other files have none."""
    for kind in HashKind:
        value = blob.sha256 if kind == HashKind.SHA256 else blob.hashes.get(kind)
        if value and blob.hashes:
            yield HashLine(str(kind.label), value)
        if value and kind == HashKind.CRC32:
            yield HashLine(_("CRC-32, reversed byte order"), swapped(value))
    for key, value in sorted(blob.claimed_hashes.items()):
        yield HashLine(key, value, is_claimed=True)


def partner_of(files: Iterable[FileLine]) -> FileLine | None:
    """Return the low-noise file of a pair whose primary file is for high noise, otherwise None."""
    listed = list(files)
    is_half = any(file.is_primary and file.variant == HIGH for file in listed)
    lows = [file for file in listed if file.variant == LOW]
    return lows[0] if is_half and len(lows) == 1 else None


def remarks_of(findings: Iterable[Finding | Result]) -> list[Remark]:
    """Return findings as remarks."""
    words = {
        "error": _("Refused"),
        "warning": _("Warning"),
        "info": _("Note"),
    }
    return [
        Remark(
            level=words[f.severity],
            message=str(f.message),
            evidence=_evidence(_details(f)),
            is_loud=f.severity != "info",
            code=f.code,
            places=_places(f.evidence) if checks.is_uploaders(f.code) else (),
        )
        for f in findings
    ]


def _places(evidence: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (
            f"{place['adapter']} {place['version']}",
            f"{reverse('adapter', args=place['adapter'].split('/'))}?v={place['version']}",
        )
        for place in evidence["places"]
    )


def _details(found: Finding | Result) -> Mapping[str, object]:
    """Return details that the message lacks; for a refusal, only lists of names."""
    if found.severity != "error":
        return found.evidence
    return {name: value for name, value in found.evidence.items() if isinstance(value, list)}


def _evidence(evidence: Mapping[str, object]) -> str:
    """Return short evidence as text; long lists and texts are only in the API."""
    has_list = any(isinstance(value, list) and value for value in evidence.values())
    parts = [
        (name, _value(value))
        for name, value in evidence.items()
        if not (name == "count" and has_list)  # it is in the message
    ]
    shown = [f"{name.replace('_', ' ')}: {value}" for name, value in parts if value]
    return "; ".join(shown[:6])


def _value(value: object) -> str:
    """Return a number, a text or the beginning of a list; "" for long or nested values."""
    if isinstance(value, list):
        texts = [_item(item) for item in value[:MAX_ITEMS]]
        more = " …" if len(value) > MAX_ITEMS else ""
        return f"{', '.join(texts)}{more}" if all(texts) else ""
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if isinstance(value, str | int | float) and len(text) <= MAX_TEXT else ""


def _item(item: object) -> str:
    """Return a text, or the key and kind of a finding about a metadata key."""
    if isinstance(item, dict) and {"key", "kind"} <= set(item):
        return f"{item['key']} ({str(item['kind']).replace('_', ' ')})"[:MAX_TEXT]
    return item[:MAX_TEXT] if isinstance(item, str) else ""


def tabs_of(wanted: str, counts: Mapping[str, int | None]) -> list[Tab]:
    """Return the tabs in order; the first is selected if the requested one is unknown."""
    titles = {
        "anatomy": _("Anatomy"),
        "files": _("Files"),
        "versions": _("Versions"),
        "card": _("Card"),
        "findings": _("Findings"),
    }
    chosen = wanted if wanted in titles else "anatomy"
    return [Tab(name, text, counts.get(name), name == chosen) for name, text in titles.items()]

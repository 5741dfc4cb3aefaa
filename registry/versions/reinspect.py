"""Reads headers again, so that published files get anatomies of the current release.

Bytes, digests and users' descriptions do not change. Each blob is updated in its own transaction
and a second run changes nothing, so a run can be interrupted at any point.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet

from lorary.anatomy import Finding as Result
from registry import events, storage
from registry.blobs import anatomies
from registry.models import SCHEMA, Blob, BlobAnatomy, Finding, Upload, UploadState, Version
from registry.scan import checks
from registry.uploads import check
from registry.versions import details
from registry.versions import services as versions

_NAMELESS = "adapter" + checks.WEIGHTS


@dataclass(slots=True)
class Reinspected:
    """The result of a run.

    Attributes:
        refused: Digests of files that would be refused today; they stay published.
    """

    read: int = 0  # headers that were read
    changed: int = 0  # files whose anatomy or findings changed (or would change)
    versions: int = 0  # versions whose columns in lists changed
    refused: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)  # digests of files whose bytes are missing


def stale() -> QuerySet[BlobAnatomy]:
    """Return the anatomies of stored files with an older schema."""
    is_older = ~Q(document__schema=SCHEMA) | Q(document__schema__isnull=True)
    return BlobAnatomy.objects.filter(is_older, blob__is_stored=True)


def run(
    *,
    is_dry: bool = False,
    includes_current: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Reinspected:
    """Read the headers of stored weights again and update anatomies and findings.

    Args:
        is_dry: Only report what would change.
        includes_current: Also read files whose document has the current schema, after an update
            that knows more base models.
        progress: Called with files done and total, after each file.
    """
    chosen = BlobAnatomy.objects.filter(blob__is_stored=True) if includes_current else stale()
    keys = list(chosen.order_by("pk").values_list("blob", flat=True))
    result = Reinspected()
    for done, key in enumerate(keys, start=1):
        _renew(Blob.objects.select_related("anatomy").get(pk=key), result, is_dry=is_dry)
        if progress is not None:
            progress(done, len(keys))
    if not is_dry and result.changed:
        events.record(actor=None, verb="files_reinspected", count=result.changed)
    return result


def _renew(blob: Blob, result: Reinspected, *, is_dry: bool) -> None:
    """Read one header, update its anatomy and findings, and count the changes."""
    try:
        with storage.store().open(blob.sha256) as handle:
            subject = checks.Subject(_path(blob), blob.size_bytes, handle)
            results = checks.run_quick(subject)
    except FileNotFoundError:
        result.missing.append(blob.sha256)
        return
    result.read += 1
    if checks.is_refused(results):
        result.refused.append(blob.sha256)
    anatomy = subject.inspection.anatomy if subject.inspection else None
    if anatomy is None:
        return
    document = anatomies.document_of(anatomy)
    with transaction.atomic():
        is_other = document != blob.anatomy.document
        if is_other and not is_dry:
            anatomies.save(blob=blob, document=document)
        has_new_findings = not checks.is_refused(results) and _update_findings(
            blob, results, is_dry=is_dry
        )
        result.changed += is_other or has_new_findings
    for version in _versions(blob):
        result.versions += _renew_version(version, document, is_dry=is_dry)


def _path(blob: Blob) -> str:
    """Return a file name, preferably a published one, because some claims come from names."""
    names = (rows.order_by("pk").values_list("path", flat=True).first()
             for rows in (blob.files, blob.uploads))  # fmt: skip
    return next((name for name in names if name and checks.is_weights(name)), _NAMELESS)


def _versions(blob: Blob) -> Iterator[Version]:
    chosen = Version.objects.filter(revision__files__blob=blob, revision__files__is_primary=True)
    yield from chosen.select_related("adapter").order_by("pk")


def _renew_version(version: Version, document: dict[str, Any], *, is_dry: bool) -> bool:
    """Update the anatomy and columns of a version; return whether lists show a change."""
    pair = anatomies.read_pair(version.files)
    read = pair or document
    facts = details.facts_of_file(read, version.primary_file, version.declared_family)
    is_other = facts != anatomies.Facts.of(version)
    if not is_dry:
        if pair is not None:
            anatomies.save_pair(version=version, document=pair)
        if is_other:
            versions.remeasure(version=version)
    return is_other


def _update_findings(blob: Blob, results: list[Result], *, is_dry: bool) -> bool:
    """Update the header's findings of each upload of a blob; return whether any changed."""
    is_other = False
    for upload in Upload.objects.filter(blob=blob, state=UploadState.ACCEPTED):
        rows = list(upload.findings.all())
        before = [_key(row) for row in rows if checks.comes_from_header(row.code)]
        if before == [_key(one) for one in results]:
            continue
        is_other = True
        if not is_dry:
            kept: list[Any] = [row for row in rows if not checks.comes_from_header(row.code)]
            check.save_findings(upload, [*results, *kept], blob)
    return is_other


def _key(found: Finding | Result) -> tuple[str, str, str]:
    return found.code, found.severity, str(found.message)

"""The result of an upload's checks: its findings, and whether it becomes a blob.

Runs on the ``checks`` queue and may be repeated at any point: each change is conditional on the
state it starts from. The bytes have the upload's private key until their digest is computed;
the digest is written to the upload before the bytes are renamed to it, and the bytes are renamed
before the row that refers to them is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from django.db import transaction
from django.utils import timezone

from lorary.algebra.recognition.relating import Facts
from lorary.anatomy import Finding as Result
from registry import events, storage
from registry.blobs import anatomies, promote, relatives, sketches
from registry.blobs import by_hash as blobs_by_hash
from registry.blobs.relatives import Relative
from registry.models import Blob, Finding, HashKind, Upload, UploadState, User
from registry.scan import checks
from registry.uploads import receive

#: Related versions that a finding names.
MAX_PLACES = 5

#: Sketches that a check relates to others: its own, and some that were left by a killed process.
MAX_RELATED = 50

_FIELDS = ("code", "severity", "message", "evidence")


def run_checks(*, upload: Upload, progress: Callable[[int, int], None] | None = None) -> Upload:
    """Run the deep checks, then accept or refuse; may be repeated or run twice at once.

    Raises:
        FileNotFoundError: the bytes are missing, or their disk is not mounted.
    """
    if upload.state != UploadState.CHECKING:
        return upload
    try:
        subject, results = _examine(upload, progress)
    except FileNotFoundError:
        upload.refresh_from_db()
        if upload.state != UploadState.CHECKING:  # finished by another worker, or cancelled
            return upload
        raise
    if checks.is_refused(results):
        refuse(upload, results, from_state=UploadState.CHECKING)
    else:
        owner = upload.owner
        owner.access_token = upload.token  # so that a bound token sees only its own adapters
        known = _published_already(owner, subject.hashes)
        _accept(upload, subject, [*results, *known, *_resembling(upload, subject, known)])
    upload.refresh_from_db()
    return upload


def _examine(
    upload: Upload, progress: Callable[[int, int], None] | None
) -> tuple[checks.Subject, list[Result]]:
    """Read every byte; the anatomy comes from the quick checks, which stored it in the upload."""
    with storage.store().open(_stored_name(upload)) as handle:
        subject = checks.Subject(
            upload.path, upload.size_bytes, handle, upload.sha256, upload.declared_sha256
        )
        # Uploads that the previous release completed have none.
        is_known = upload.anatomy is not None or not subject.is_weights
        known = results_of(upload) if is_known else None
        results = checks.run_deep(subject, known=known, progress=progress)
    if not is_known:
        upload.anatomy = document_of(subject)
    return subject, results


def document_of(subject: checks.Subject) -> dict[str, Any] | None:
    """Return the anatomy found by the quick checks as a document; None for other files."""
    inspection = subject.inspection
    if inspection is None or inspection.anatomy is None:
        return None
    return anatomies.document_of(inspection.anatomy)


def _published_already(owner: User, hashes: Mapping[str, str]) -> list[Result]:
    """Return a finding if the same weights are published where the uploader's token can read."""
    places = blobs_by_hash.places_of_weights(owner, hashes)
    return [checks.weights_known(places)] if places else []


def _resembling(upload: Upload, subject: checks.Subject, known: Iterable[Result]) -> list[Result]:
    """Return a finding if other weights that the uploader's token can read are related to these."""
    if subject.sketch is None:
        return []
    facts = Facts.of(upload.anatomy or {})
    return _related(relatives.of_sketch(upload.owner, subject.sketch, facts), known)


def _related(found: Iterable[Relative], known: Iterable[Result]) -> list[Result]:
    """Return a finding about relatives, without those that a finding names already."""
    named = {
        (place["adapter"], place["version"])
        for result in known
        for place in result.evidence["places"]  # type: ignore[attr-defined]  # JSON
    }
    new = [one for one in found if (one.version.adapter.full_name, one.version.name) not in named]
    if not new:
        return []
    places = [
        {
            "adapter": one.version.adapter.full_name,
            "version": one.version.name,
            "relation": one.kind,
            "cosine": round(one.cosine, 4),
        }
        for one in new[:MAX_PLACES]
    ]
    return [checks.weights_related(places, is_copy=new[0].is_copy)]


def _stored_name(upload: Upload) -> str:
    """Return the name of the stored bytes; a worker may have died after promoting them."""
    try:
        storage.store().open(upload.storage_key).close()
    except FileNotFoundError:
        upload.refresh_from_db(fields=["sha256"])  # maybe written by another worker
        return upload.sha256 or upload.storage_key
    return upload.storage_key


def _accept(upload: Upload, subject: checks.Subject, results: list[Result]) -> None:
    """Write the digest, promote the bytes, then write the row that refers to them."""
    mine = Upload.objects.filter(pk=upload.pk, state=UploadState.CHECKING)
    if not mine.update(sha256=subject.sha256):
        return
    written = storage.Written(upload.size_bytes, subject.sha256)
    promote.move_to_digest(key=upload.storage_key, written=written)
    _record(upload, written, subject, results)
    sketches.relate_new(most=MAX_RELATED)


def _record(
    upload: Upload, written: storage.Written, subject: checks.Subject, results: list[Result]
) -> None:
    """Write the blob, its hashes, anatomy and findings in one transaction.

    An upload that was cancelled meanwhile stays cancelled, and its owner's until it is swept.
    """
    with transaction.atomic():
        blob = promote.mark_stored(written)
        anatomies.save_hashes(blob=blob, subject=subject)
        if upload.anatomy is not None:
            anatomies.save(blob=blob, document=upload.anatomy)
            anatomies.save_energies(blob=blob, energies=subject.energies)
            sketches.save(blob=blob, sketch=subject.sketch, document=upload.anatomy)
        mine, now = Upload.objects.filter(pk=upload.pk, blob=None), timezone.now()
        is_open = mine.filter(state=UploadState.CHECKING)
        if is_open.update(state=UploadState.ACCEPTED, blob=blob, anatomy=None, updated_at=now):
            save_findings(upload, results, blob)
            events.record(actor=upload.owner, verb="upload_accepted", subject=upload.path)
        else:
            mine.update(blob=blob, updated_at=now)


def refuse(upload: Upload, results: list[Result], *, from_state: UploadState) -> None:
    """Save the findings and delete the bytes, unless the upload's state has changed."""
    is_mine = False
    with transaction.atomic():
        mine = Upload.objects.filter(pk=upload.pk, state=from_state)
        if mine.update(state=UploadState.REFUSED, anatomy=None, updated_at=timezone.now()):
            is_mine = True
            save_findings(upload, results)
            codes = [result.code for result in results if result.severity == "error"]
            events.record(
                actor=upload.owner, verb="upload_refused", subject=upload.path, codes=codes
            )
    if is_mine:
        receive.discard(upload)


def save_findings(upload: Upload, results: Iterable[Result], blob: Blob | None = None) -> None:
    """Replace the findings of an upload; call it in the transaction that changes its state.

    Findings that only the uploader may see have no blob, because others may publish the same blob.
    """
    upload.findings.all().delete()
    Finding.objects.bulk_create(
        Finding(
            upload=upload,
            blob=None if checks.is_uploaders(result.code) else blob,
            code=result.code,
            severity=result.severity,
            message=result.message,
            evidence=dict(result.evidence),
            position=position,
        )
        for position, result in enumerate(results)
    )


def adopt_findings(upload: Upload, blob: Blob) -> None:
    """Give an upload that was accepted without its bytes the findings of their blob.

    Call it in the transaction that changes its state.
    """
    rows: Iterable[dict[str, Any]] = blob.findings.values(*_FIELDS)
    known = {(row["code"], row["message"]): Result(**row) for row in rows}
    hashes = {**blob.hashes, HashKind.SHA256: blob.sha256} if blob.hashes else {}
    published = _published_already(upload.owner, hashes)
    related = _related(relatives.of_blob(upload.owner, blob), published)
    save_findings(upload, [*known.values(), *published, *related], blob)


def results_of(upload: Upload) -> list[Result]:
    """Return the findings of an upload."""
    rows: Iterable[dict[str, Any]] = upload.findings.values(*_FIELDS)
    return [Result(**row) for row in rows]


def headline(results: list[Result]) -> str:
    """Return the sentence of the first error."""
    return next(str(result.message) for result in results if result.severity == "error")


def fail_check(*, upload: Upload, reason: str) -> None:
    """End an upload whose checks could not run; the file may be sent again."""
    refuse(upload, [checks.check_failed(reason)], from_state=UploadState.CHECKING)

"""The way of a file: receive → complete → check → accepted or refused.

No transaction spans reading, hashing or checking: rows change before and after, each change is
conditional on the state it starts from, and every step may be repeated.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Q, Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from registry import checks, locks, queue, storage
from registry.errors import (
    DigestMismatch,
    Invalid,
    SizeMismatch,
    StateConflict,
    TooLarge,
    UploadIncomplete,
    UploadRefused,
)
from registry.models import (
    Blob,
    Upload,
    UploadPart,
    UploadState,
)
from registry.names import check_path
from registry.selectors import blobs as known_blobs
from registry.services import access, endings, judging, quotas

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol

    from registry.models import User

    class Readable(Protocol):
        """What a request body offers."""

        def read(self, size: int, /) -> bytes:
            """Return up to ``size`` bytes, b"" at the end."""


__all__ = [
    "CHECK_TASK",
    "cancel",
    "complete",
    "create",
    "expire",
    "receive",
    "receive_part",
]

CHECK_TASK = "check_upload"
CHECKS_QUEUE = "checks"
MAX_OPEN_UPLOADS = 200


def create(*, actor: User, path: str, size_bytes: int, sha256: str | None = None) -> Upload:
    """Announce a file; a digest the actor can already read is accepted without its bytes.

    Args:
        actor: Who uploads.
        path: File name in the manifest, by the rules of ``registry.names.check_path``.
        size_bytes: Length of the whole file.
        sha256: Its digest, when known; enforced on completion.

    Raises:
        PathInvalid, Invalid, TooLarge, QuotaExceeded: what was announced does not fit.
    """
    user = access.require_scope(actor, "write")
    path = check_path(path)
    declared = _digest(sha256)
    _require_size(size_bytes)
    _require_room(user, size_bytes)
    blob = _known(user, path, size_bytes, declared)
    upload = Upload(
        owner=user,
        path=path,
        size_bytes=size_bytes,
        part_bytes=settings.LORARY.part_bytes,
        declared_sha256=declared,
        storage_key=storage.new_key(),
        expires_at=timezone.now() + timedelta(days=settings.LORARY.upload_days),
    )
    if blob is not None:
        upload.state, upload.blob, upload.sha256 = UploadState.ACCEPTED, blob, blob.sha256
    upload.save()
    return upload


def _known(user: User, path: str, size_bytes: int, declared: str) -> Blob | None:
    """Return the bytes of a digest that need not be sent, or None.

    The quick checks run again: bytes that were accepted as a text are no adapter by another name.

    Raises:
        UploadRefused: the bytes do not fit the name.
    """
    blob = known_blobs.readable_by(user, declared) if declared else None
    if blob is None or blob.size_bytes != size_bytes:
        return None
    if checks.is_weights(path) != hasattr(blob, "anatomy"):
        return None
    try:
        with storage.store().open(blob.sha256) as handle:
            results = checks.run_quick(checks.Subject(path, size_bytes, handle))
    except FileNotFoundError:
        return None
    if checks.is_refused(results):
        raise UploadRefused(judging.headline(results), findings=results)
    kept = Blob.objects.filter(pk=blob.pk, is_stored=True).update(unreferenced_since=None)
    return blob if kept else None


def _digest(sha256: str | None) -> str:
    declared = (sha256 or "").lower()
    if declared and (len(declared) != 64 or set(declared) - set("0123456789abcdef")):
        raise Invalid(_("A sha256 has 64 hex digits."), fields={"sha256": [declared[:80]]})
    return declared


def _require_size(size_bytes: int) -> None:
    limit = settings.LORARY.max_file_bytes
    if size_bytes > limit:
        raise TooLarge(
            _("A file has at most %(limit)d bytes here.") % {"limit": limit}, limit=limit
        )
    if size_bytes < 1:
        finding = checks.empty_file()
        raise UploadRefused(finding.message, findings=[finding])


def _require_room(user: User, size_bytes: int) -> None:
    """Refuse what would not fit beside what is open, or accepted and not published."""
    is_open = Q(state__in=[UploadState.RECEIVING, UploadState.CHECKING])
    is_loose = Q(state=UploadState.ACCEPTED, blob__files__isnull=True, blob__is_stored=True)
    now = user.uploads.filter(is_open | is_loose).aggregate(
        n=Count("pk", filter=is_open), size=Sum("size_bytes")
    )
    if now["n"] >= MAX_OPEN_UPLOADS:
        text = _("You have %(n)d open uploads. Finish or cancel some.")
        raise Invalid(text % {"n": MAX_OPEN_UPLOADS}, limit=MAX_OPEN_UPLOADS)
    quotas.require_room(namespace=user.namespace, size_bytes=size_bytes + (now["size"] or 0))


def receive(*, actor: User, upload: Upload, stream: Readable) -> Upload:
    """Take the whole file as one body and complete it.

    Raises:
        SizeMismatch: fewer or more bytes than announced; the upload stays open.
        UploadRefused: see ``complete``.
    """
    _require_open(actor, upload)
    with locks.holding(upload.storage_key):
        _require_still_open(upload)
        # What came by parts is written over: if this body is cut off, they are missing.
        upload.parts.all().delete()
        whole = storage.Measured(_exactly(stream, upload.size_bytes))
        storage.store().write(upload.storage_key, whole)
        return _complete(upload, whole.written.sha256)


def receive_part(
    *, actor: User, upload: Upload, number: int, stream: Readable, sha256: str | None = None
) -> UploadPart:
    """Take one part (from 1 on), in any order, as often as wanted.

    Args:
        actor: Who uploads.
        upload: Of the actor, still open.
        number: Which part.
        stream: Its bytes.
        sha256: Digest of this part, when the sender knows it.

    Raises:
        Invalid: no such part.
        SizeMismatch: the part has not exactly the bytes it must have.
        DigestMismatch: the part is damaged; it counts as missing.
    """
    _require_open(actor, upload)
    if not 1 <= number <= upload.part_count:
        raise Invalid(_("Parts are numbered 1 to %(n)d.") % {"n": upload.part_count})
    declared = _digest(sha256)
    with locks.holding(upload.storage_key, is_shared=True):
        _require_still_open(upload)
        # Until all of it is here again, this part is missing.
        upload.parts.filter(number=number).delete()
        written = _write_part(upload, number, stream)
        if declared and declared != written.sha256:
            finding = checks.digest_differs(declared, written.sha256)
            raise DigestMismatch(finding.message, declared=declared, computed=written.sha256)
        part, _created = UploadPart.objects.update_or_create(
            upload=upload,
            number=number,
            defaults={"size_bytes": written.size, "sha256": written.sha256},
        )
    return part


def _write_part(upload: Upload, number: int, stream: Readable) -> storage.Written:
    part = part_of(upload, number)
    measured = storage.Measured(_exactly(stream, part.size))
    storage.store().write(upload.storage_key, measured, part=part)
    return measured.written


def part_of(upload: Upload, number: int) -> storage.Part:
    """Return where a part lies in its file and how many bytes it must have."""
    offset = (number - 1) * upload.part_bytes
    return storage.Part(number, offset, min(upload.part_bytes, upload.size_bytes - offset))


def _exactly(stream: Readable, size: int) -> Iterator[bytes]:
    """Yield ``size`` bytes.

    Raises:
        SizeMismatch: there are fewer or more; the last bytes are held back until that is known.
    """
    left = size
    while left:
        chunk = stream.read(min(storage.CHUNK, left))
        if not chunk:
            raise _size_fault(size, size - left)
        left -= len(chunk)
        if not left and stream.read(1):
            raise _size_fault(size, size + 1)
        yield chunk


def _size_fault(expected: int, got: int) -> SizeMismatch:
    text = _("Announced were %(expected)d bytes; more arrived.")
    if got < expected:
        text = _("Announced were %(expected)d bytes; %(got)d arrived. Send them again.")
    return SizeMismatch(text % {"expected": expected, "got": got}, expected=expected, received=got)


def complete(*, actor: User, upload: Upload) -> Upload:
    """Say that every part is there; hashes, reads the header, queues the deep checks.

    Completing again returns the upload as it is.

    Raises:
        UploadIncomplete: ``facts["missing"]`` lists the part numbers.
        DigestMismatch, UploadRefused: the file is refused and its bytes are gone.
    """
    _require_own(actor, upload)
    if upload.state in {UploadState.CHECKING, UploadState.ACCEPTED}:
        return upload
    with locks.holding(upload.storage_key):
        upload.refresh_from_db()
        if upload.state in {UploadState.CHECKING, UploadState.ACCEPTED}:
            return upload
        _require_open(actor, upload)
        _require_parts(upload)
        parts = [part_of(upload, number) for number in range(1, upload.part_count + 1)]
        storage.store().assemble(upload.storage_key, parts)
        with storage.store().open(upload.storage_key) as handle:
            sha256 = checks.digest(storage.chunks_of(handle))
        return _complete(upload, sha256)


def _require_parts(upload: Upload) -> None:
    here = set(upload.parts.values_list("number", flat=True))
    missing = sorted(set(range(1, upload.part_count + 1)) - here)
    if missing:
        raise UploadIncomplete(
            _("%(n)d of %(all)d parts are missing.")
            % {"n": len(missing), "all": upload.part_count},
            missing=missing[:1000],
        )


def _complete(upload: Upload, sha256: str) -> Upload:
    """Judge the bytes by what is quickly known, then queue the rest; the caller holds the lock."""
    if upload.declared_sha256 and upload.declared_sha256 != sha256:
        finding = checks.digest_differs(upload.declared_sha256, sha256)
        judging.refuse(upload, [finding], from_state=UploadState.RECEIVING)
        raise DigestMismatch(
            finding.message, findings=[finding], declared=upload.declared_sha256, computed=sha256
        )
    with storage.store().open(upload.storage_key) as handle:
        results = checks.run_quick(checks.Subject(upload.path, upload.size_bytes, handle))
    if checks.is_refused(results):
        judging.refuse(upload, results, from_state=UploadState.RECEIVING)
        raise UploadRefused(judging.headline(results), findings=results)
    with transaction.atomic():
        mine = Upload.objects.filter(pk=upload.pk, state=UploadState.RECEIVING)
        if mine.update(state=UploadState.CHECKING, sha256=sha256, updated_at=timezone.now()):
            judging.save_findings(upload, results)
            queue.enqueue(
                queue=CHECKS_QUEUE,
                task=CHECK_TASK,
                args={"upload_id": upload.pk},
                key=f"{CHECK_TASK}:{upload.pk}",
                priority=queue.INTERACTIVE,
                owner=upload.owner.username,
            )
    upload.refresh_from_db()
    return upload


def cancel(*, actor: User, upload: Upload) -> None:
    """Drop an upload that no version holds; cancelling twice is no error.

    Bytes that were accepted are the sweeper's: others may rely on the same ones.

    Raises:
        StateConflict: when it is published.
    """
    _require_own(actor, upload)
    loose = Upload.objects.filter(pk=upload.pk, state=UploadState.ACCEPTED)
    if loose.filter(blob__files__isnull=True).update(state=UploadState.CANCELLED):
        return
    if loose.exists():
        raise StateConflict(_("A version holds this file already."), state=UploadState.ACCEPTED)
    open_states = [UploadState.RECEIVING, UploadState.CHECKING]
    mine = Upload.objects.filter(pk=upload.pk, state__in=open_states)
    if mine.update(state=UploadState.CANCELLED, updated_at=timezone.now()):
        queue.cancel(f"{CHECK_TASK}:{upload.pk}")
        storage.store().delete(upload.storage_key)


def expire() -> int:
    """Drop what nobody finished in time; returns how many."""
    stale = Upload.objects.filter(state=UploadState.RECEIVING, expires_at__lt=timezone.now())
    count = 0
    for upload in stale:
        mine = Upload.objects.filter(pk=upload.pk, state=UploadState.RECEIVING)
        if mine.update(state=UploadState.EXPIRED):
            storage.store().delete(upload.storage_key)
            count += 1
    return count


def _require_own(actor: User, upload: Upload) -> User:
    user = access.require_scope(actor, "write")
    if upload.owner_id != user.pk:
        raise StateConflict(_("This upload is another's."), state=upload.state)
    return user


def _require_still_open(upload: Upload) -> None:
    """Refuse bytes that come after the end; call it with the upload's lock held."""
    upload.refresh_from_db(fields=["state"])
    if upload.state != UploadState.RECEIVING:
        raise endings.closed(upload)


def _require_open(actor: User, upload: Upload) -> None:
    _require_own(actor, upload)
    _require_still_open(upload)

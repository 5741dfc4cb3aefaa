"""Uploads: receive → complete → check → accepted or refused.

No transaction spans reading, hashing or checking: rows change before and after, each change is
conditional on the state it starts from, and every step can be repeated.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, Q
from django.utils import timezone
from django.utils.translation import gettext as _

from registry import events, locks, storage
from registry.accounts import permissions, quotas
from registry.blobs import selectors as blob_selectors
from registry.database.row_locks import locked
from registry.errors import (
    DigestMismatch,
    Invalid,
    SizeMismatch,
    StateConflict,
    StorageAway,
    TooLarge,
    UploadIncomplete,
    UploadRefused,
)
from registry.jobs import queue
from registry.models import Blob, Namespace, Upload, UploadState, User
from registry.names import check_path
from registry.scan import checks
from registry.uploads import check, parts
from registry.uploads import receive as receiving
from registry.uploads import selectors as upload_selectors
from registry.uploads.parts import part_of, receive_part
from registry.uploads.receive import Readable

__all__ = [
    "CHECK_TASK",
    "cancel",
    "complete",
    "create",
    "fill",
    "open_deposit",
    "part_of",
    "receive",
    "receive_part",
]

CHECK_TASK = "check_upload"
CHECKS_QUEUE = "checks"
MAX_OPEN_UPLOADS = 200


def create(*, actor: User, path: str, size_bytes: int, sha256: str | None = None) -> Upload:
    """Create an upload; bytes that the actor can already read are accepted without being sent.

    Args:
        path: File name in the manifest; see ``registry.names.check_path``.
        sha256: Its digest, if known; the checks refuse other bytes.

    Raises:
        PathInvalid, Invalid, TooLarge, QuotaExceeded: a value is invalid or over a limit.
        SizeMismatch: the stored bytes of this digest have another length.
        UploadRefused: files of this kind, or of this kind and size, are not accepted.
    """
    user = permissions.require_scope(actor, "write")
    path = check_path(path)
    _require_kind(path, size_bytes)
    declared = receiving.digest_of(sha256)
    _require_size(size_bytes, may_be_empty=not checks.is_weights(path))
    blob = _readable_blob(user, path, size_bytes, declared)
    upload = _new_upload(user, path, size_bytes, declared)
    if blob is not None and _accept_stored(upload, blob):
        return upload
    return _open(upload, most=MAX_OPEN_UPLOADS)


def _require_kind(path: str, size_bytes: int) -> None:
    """Refuse files that the checks would refuse, before gigabytes are sent."""
    findings = checks.check_declared(path, size_bytes)
    if checks.is_refused(findings):
        raise UploadRefused(check.headline(findings), findings=findings)


def open_deposit(user: User, digest: str, size_bytes: int, *, most: int) -> Upload:
    """Create an upload that has a digest and no path yet (``by_digest``).

    Args:
        digest: Sha256 of the whole file.
        most: Maximum number of open deposits of the user.

    Raises:
        Invalid, TooLarge, QuotaExceeded, UploadRefused: it is empty or over a limit.
        StorageAway: the store cannot be reached.
    """
    _require_size(size_bytes)
    return _open(_new_upload(user, digest, size_bytes, digest), most=most)


def _new_upload(user: User, path: str, size_bytes: int, declared: str) -> Upload:
    """Return an unsaved upload."""
    token = user.access_token
    return Upload(
        owner=user,
        token=token if token is not None and token.is_bound else None,
        path=path,
        size_bytes=size_bytes,
        part_bytes=parts.part_size(size_bytes, settings.LORARY.part_bytes),
        declared_sha256=declared,
        storage_key=storage.new_key(),
        expires_at=timezone.now() + timedelta(days=settings.LORARY.upload_days),
    )


def _open(upload: Upload, *, most: int) -> Upload:
    """Save a new upload within the limits, and open it for its bytes.

    The namespace's row stays locked between the comparison and the insertion, so that the limits
    also hold for simultaneous requests.
    """
    with transaction.atomic():
        namespace = locked(Namespace.objects.all()).get(user=upload.owner)
        _require_open_limit(upload, most)
        quotas.require_room_to_send(namespace=namespace, size_bytes=upload.size_bytes)
        upload.save()
        _record(upload, "upload_created")
    try:
        parts.open_for_parts(upload)
    except StorageAway:
        upload.delete()
        raise
    return upload


def _accept_stored(upload: Upload, blob: Blob) -> bool:
    """Accept an upload whose bytes are stored; return False if the sweeper released them.

    The bytes need room unless they count already, as if they were sent.
    """
    with transaction.atomic():
        stored = Blob.objects.filter(pk=blob.pk, is_stored=True)
        if not stored.update(unreferenced_since=None):
            return False
        # After the blob, as in a publication: otherwise the two could wait for each other.
        namespace = locked(Namespace.objects.all()).get(user=upload.owner)
        before = quotas.used_by(namespace)
        upload.state, upload.blob, upload.sha256 = UploadState.ACCEPTED, blob, blob.sha256
        upload.save()
        quotas.require_room_since(before, namespace=namespace)
        check.adopt_findings(upload, blob)
        _record(upload, "upload_created", is_stored=True)
    return True


def _record(upload: Upload, verb: str, **facts: Any) -> None:  # noqa: ANN401 - JSON
    events.record(
        actor=upload.owner, verb=verb, subject=upload.path, upload=str(upload.public_id), **facts
    )


def _readable_blob(user: User, path: str, size_bytes: int, declared: str) -> Blob | None:
    """Return the stored blob of a declared digest if the user may read it, otherwise None.

    The quick checks run again, because the same bytes may be invalid under another name.
    """
    blob = upload_selectors.readable_by(user, declared) if declared else None
    if blob is None:
        return None
    receiving.require_length(path, size_bytes, blob.size_bytes)
    if checks.is_weights(path) != hasattr(blob, "anatomy"):
        return None
    try:
        with storage.store().open(blob.sha256) as handle:
            results = checks.run_quick(checks.Subject(path, size_bytes, handle))
    except FileNotFoundError:
        return None
    if checks.is_refused(results):
        raise UploadRefused(check.headline(results), findings=results)
    return blob


def _require_size(size_bytes: int, *, may_be_empty: bool = False) -> None:
    limit = settings.LORARY.max_file_bytes
    if size_bytes > limit:
        raise TooLarge(
            _("A file can have at most %(limit)d bytes.") % {"limit": limit}, limit=limit
        )
    if size_bytes < 1 and not may_be_empty:
        finding = checks.empty_file()
        raise UploadRefused(finding.message, findings=[finding])


def _require_open_limit(upload: Upload, most: int) -> None:
    """Refuse more than ``most`` open uploads; deposits are counted separately."""
    is_nameless = Q(path=F("declared_sha256"))
    is_deposit = upload.path == upload.declared_sha256
    rows = Upload.objects.filter(
        is_nameless if is_deposit else ~is_nameless,
        owner=upload.owner_id,
        state__in=quotas.OPEN_STATES,
    )
    if rows.count() >= most:
        text = _("You have %(n)d open uploads. Finish or cancel some.")
        raise Invalid(text % {"n": most}, limit=most)


def receive(*, actor: User, upload: Upload, stream: Readable) -> Upload:
    """Receive the whole file as one body and complete the upload.

    If the connection breaks, the received parts are kept and the rest can be sent in parts.

    Raises:
        SizeMismatch: the length differs from the announced one; the upload stays open.
        UploadIncomplete: a part that was stored before was lost.
        DigestMismatch, UploadRefused: the file is refused and its bytes are deleted.
    """
    receiving.require_open(actor, upload)
    with locks.holding(upload.storage_key):
        receiving.require_still_open(upload)
        body = receiving.Body(stream, upload.size_bytes)
        sent = fill(upload, body)  # may give the upload another key
        with receiving.explaining(upload):
            _join(upload, sent)
            _require_declared(upload, body.sha256)
            return _complete(upload, sha256=body.sha256)


def fill(upload: Upload, body: receiving.Body) -> list[storage.Part]:
    """Store a whole body as the parts of an upload, and return them; the caller holds the lock.

    A stored part is replaced only by a complete one with another digest.

    Raises:
        SizeMismatch, DigestMismatch: see ``receive.Body``; earlier parts are kept.
        StateConflict: the upload is not open, or ended while the bytes arrived.
    """
    if upload.parts.exists():
        parts.record_listed(upload)
    sent = []
    for part in parts.parts_of(upload):
        with receiving.writing(upload):
            sent.append(_fill_one(upload, body, part))
    return sent


def _fill_one(upload: Upload, body: receiving.Body, part: storage.Part) -> storage.Part:
    before, chunks = upload.parts.filter(number=part.number).first(), body.section(part.size)
    with ExitStack() as kept:
        if before is not None:
            file = kept.enter_context(storage.spooled(chunks)).file
            if before.sha256 and before.sha256 == checks.digest(storage.chunks_of(file)):
                return replace(part, tag=before.tag)
            file.seek(0)
            chunks = storage.chunks_of(file)
            before.delete()
        try:
            tag = _write(upload, chunks, part)
        except FileExistsError as error:
            if before is not None:
                raise parts.record_joined(upload, before) from error
            raise _completed_by_another(upload) from error
    parts.record(upload, part, tag=tag, sha256="")
    return replace(part, tag=tag)


def _write(upload: Upload, chunks: Iterator[bytes], part: storage.Part) -> str:
    """Store a part; the first part gets a new key if the old one accepts no more parts.

    That happens if a process joined all parts and died before it saved the new state.
    """
    try:
        return storage.store().write(upload.storage_key, chunks, part=part)
    except FileExistsError:  # none of the chunks were read
        if part.number > 1:
            raise
    _replace_key(upload)
    return storage.store().write(upload.storage_key, chunks, part=part)


def _completed_by_another(upload: Upload) -> StateConflict:
    return StateConflict(_("Another request just completed this upload."), state=upload.state)


def _replace_key(upload: Upload) -> None:
    """Give an upload a new key, without parts."""
    old, new = upload.storage_key, storage.new_key()
    mine = Upload.objects.filter(pk=upload.pk, state=UploadState.RECEIVING, storage_key=old)
    with transaction.atomic():
        if not mine.update(storage_key=new):
            raise _completed_by_another(upload)
        upload.parts.all().delete()
    upload.storage_key = new
    storage.discard(old)


def complete(*, actor: User, upload: Upload) -> Upload:
    """Join the parts, run the quick checks and queue the deep checks, which compute the digest.

    Does nothing if the upload is already complete.

    Raises:
        UploadIncomplete: ``facts["missing"]`` lists the part numbers.
        UploadRefused: the file is refused and its bytes are deleted.
    """
    receiving.require_own(actor, upload)
    if upload.state in {UploadState.CHECKING, UploadState.ACCEPTED}:
        return upload
    with locks.holding(upload.storage_key):
        upload.refresh_from_db()
        if upload.state in {UploadState.CHECKING, UploadState.ACCEPTED}:
            return upload
        receiving.require_open(actor, upload)
        with receiving.explaining(upload):
            _assemble(upload)
            return _complete(upload)


def _assemble(upload: Upload) -> None:
    """Join the parts after comparing their lengths with those in the store."""
    try:
        parts.require_short(upload)
        parts.require_all(upload)
        _join(upload, parts.parts_of(upload))
    except SizeMismatch as refusal:
        check.refuse(upload, [parts.too_long(refusal)], from_state=UploadState.RECEIVING)
        raise


def _join(upload: Upload, sent: list[storage.Part]) -> None:
    """Join the parts; delete the rows of those that the store does not have."""
    try:
        storage.store().assemble(upload.storage_key, sent)
    except UploadIncomplete as refusal:
        upload.parts.filter(number__in=refusal.facts["missing"]).delete()
        raise parts.incomplete(upload, refusal.facts["missing"]) from refusal


def _require_declared(upload: Upload, sha256: str) -> None:
    """Refuse a body whose digest differs from the declared one."""
    if upload.declared_sha256 and upload.declared_sha256 != sha256:
        finding = checks.digest_differs(upload.declared_sha256, sha256)
        check.refuse(upload, [finding], from_state=UploadState.RECEIVING)
        raise DigestMismatch(
            finding.message, findings=[finding], declared=upload.declared_sha256, computed=sha256
        )


def _complete(upload: Upload, *, sha256: str = "") -> Upload:
    """Run the quick checks and queue the deep ones; the caller holds the lock.

    Args:
        upload: An upload whose bytes are joined under its private key.
        sha256: Their digest, if it was computed while they were received.
    """
    with storage.store().open(upload.storage_key) as handle:
        subject = checks.Subject(upload.path, upload.size_bytes, handle)
        results = checks.run_quick(subject)
    if checks.is_refused(results):
        check.refuse(upload, results, from_state=UploadState.RECEIVING)
        raise UploadRefused(check.headline(results), findings=results)
    known = {"sha256": sha256, "anatomy": check.document_of(subject)}
    with transaction.atomic():
        mine = Upload.objects.filter(
            pk=upload.pk, state=UploadState.RECEIVING, storage_key=upload.storage_key
        )
        if mine.update(state=UploadState.CHECKING, updated_at=timezone.now(), **known):
            check.save_findings(upload, results)
            _record(upload, "upload_received")
            queue.enqueue(
                queue=CHECKS_QUEUE,
                task=CHECK_TASK,
                args={"upload_id": upload.pk},
                key=f"{CHECK_TASK}:{upload.pk}",
                priority=queue.INTERACTIVE,
                owner=upload.owner.username,
            )
    receiving.require_not_over(upload)
    upload.refresh_from_db()
    return upload


def cancel(*, actor: User, upload: Upload) -> None:
    """Cancel an upload that no version uses; cancelling twice is not an error.

    Accepted bytes are left to the sweeper, because others may use the same ones.

    Raises:
        StateConflict: a version uses it.
    """
    receiving.require_own(actor, upload)
    loose = Upload.objects.filter(pk=upload.pk, state=UploadState.ACCEPTED)
    ended = {"state": UploadState.CANCELLED, "anatomy": None, "updated_at": timezone.now()}
    with transaction.atomic():
        if loose.filter(~Exists(blob_selectors.kept_for_owner())).update(**ended):
            _record(upload, "upload_cancelled")
            return
    if loose.exists():
        raise StateConflict(_("A version already contains this file."), state=UploadState.ACCEPTED)
    open_states = [UploadState.RECEIVING, UploadState.CHECKING]
    mine = Upload.objects.filter(pk=upload.pk, state__in=open_states)
    with transaction.atomic():
        is_mine = mine.update(**ended)
        if is_mine:
            _record(upload, "upload_cancelled")
    if is_mine:
        queue.cancel(f"{CHECK_TASK}:{upload.pk}")
        upload.refresh_from_db(fields=["storage_key"])  # may have been replaced in the meantime
        receiving.discard(upload)

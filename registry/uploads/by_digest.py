"""Uploads without a path: Hugging Face clients send the path last.

A deposit is an upload whose path is its digest. It receives bytes in parts or as one body, and
expires, like any upload. When a commit assigns its path, it is completed, checked, and accepted or
refused under that path. Only its owner can use a deposit.

```
begin ─▶ receiving ─receive_body, receive_part─▶ whole ─assign_path─▶ checking ─▶ accepted, refused
 └─ None: the bytes are already stored             └─ no path in time: expired, bytes deleted
```
"""

from __future__ import annotations

import hashlib
import io

from django.utils import timezone
from django.utils.translation import gettext as _

from registry import locks, storage
from registry.accounts import permissions
from registry.errors import (
    DigestMismatch,
    Invalid,
    UploadIncomplete,
    UploadNotReady,
    UploadRefused,
)
from registry.models import Blob, Upload, UploadState, User
from registry.names import check_path
from registry.uploads import check, parts, receive
from registry.uploads import selectors as upload_selectors
from registry.uploads import services as uploads
from registry.uploads.receive import Readable

#: Maximum open deposits of a user; a commit of the Hub's clients has up to 1000 files.
MAX_DEPOSITS = 1000
#: Seconds after which a commit that came too early should be repeated.
SOON_S = 2


def begin(*, actor: User, sha256: str, size_bytes: int) -> Upload | None:
    """Return a new or open deposit, or None if no bytes need to be sent.

    Args:
        sha256: Digest of the whole file; compared when all bytes are stored.

    Raises:
        Invalid: it is not a digest, or too many deposits are open.
        SizeMismatch: the stored bytes of this digest have another length.
        TooLarge, QuotaExceeded, UploadRefused: see ``uploads.create``.
    """
    user = permissions.require_scope(actor, "write")
    digest = _digest(sha256)
    if _need_not_send(user, digest, size_bytes):
        return None
    found = (
        upload_selectors.deposits(user, digest).filter(path=digest, size_bytes=size_bytes).first()
    )
    if found is not None:
        return None if found.is_whole else found
    return uploads.open_deposit(user, digest, size_bytes, most=MAX_DEPOSITS)


def receive_body(*, actor: User, upload: Upload, stream: Readable) -> None:
    """Receive the whole body of a deposit; may be repeated until it has a path.

    If the connection breaks, the received parts are kept. If the digest differs, none are kept.

    Raises:
        SizeMismatch: the length differs from the announced one.
        DigestMismatch: the digest differs from the announced one.
        StateConflict: it belongs to another user, or is not open.
    """
    receive.require_open(actor, upload)
    with locks.holding(upload.storage_key):
        receive.require_still_open(upload)
        body = receive.Body(stream, upload.size_bytes, declared=upload.declared_sha256)
        try:
            uploads.fill(upload, body)
        except DigestMismatch:
            upload.parts.all().delete()
            raise


def finish_parts(*, actor: User, upload: Upload) -> None:
    """Require that every part of a deposit is stored; the digest is compared by the checks.

    Raises:
        UploadIncomplete: ``facts["missing"]`` lists the missing numbers.
        StateConflict: it belongs to another user, or has ended.
    """
    receive.require_own(actor, upload)
    if upload.state in {UploadState.CHECKING, UploadState.ACCEPTED}:
        return
    parts.record_sent(actor=actor, upload=upload)
    parts.require_all(upload)


def assign_path(*, actor: User, sha256: str, path: str, size_bytes: int | None = None) -> Upload:
    """Check stored bytes under a path; may be repeated, and then finds the same upload.

    Args:
        actor: A user who sent the bytes, or can download them.
        size_bytes: Their length, if the client sends it.

    Returns:
        An upload that is checking or accepted. It has another path if the same bytes are still
        being checked under that path; call again when those checks have ended.

    Raises:
        UploadIncomplete: bytes are missing.
        UploadNotReady: another request is completing them.
        UploadRefused, SizeMismatch: the file is refused, or was refused before.
        PathInvalid, Invalid: the path or the digest is invalid.
    """
    user = permissions.require_scope(actor, "write")
    path, digest = check_path(path), _digest(sha256)
    upload = (
        upload_selectors.checked_at(user, path, digest)
        or _complete_deposit(user, path, digest)
        or _accept_stored(user, path, digest)
        or upload_selectors.checking(user, digest)
    )
    if upload is None:
        raise _why_missing(user, path, digest)
    if size_bytes is not None:
        receive.require_length(path, size_bytes, upload.size_bytes)
    return upload


def upload_bytes(*, actor: User, path: str, data: bytes) -> Upload:
    """Upload a small file that is in memory; may be repeated, and then finds the same upload."""
    user = permissions.require_scope(actor, "write")
    path, digest = check_path(path), hashlib.sha256(data).hexdigest()
    found = upload_selectors.checked_at(user, path, digest)
    if found is not None:
        return found
    upload = uploads.create(actor=actor, path=path, size_bytes=len(data), sha256=digest)
    if upload.state != UploadState.RECEIVING:
        return upload
    return uploads.receive(actor=actor, upload=upload, stream=io.BytesIO(data))


def _digest(sha256: str) -> str:
    digest = receive.digest_of(sha256)
    if not digest:
        text = _("A sha256 must have 64 hex digits.")
        raise Invalid(text, fields={"sha256": [text]})
    return digest


def _need_not_send(user: User, digest: str, size_bytes: int) -> bool:
    """Return whether the user can read stored bytes, or has an upload of them in the checks."""
    blob = _stored(user, digest)
    if blob is not None:
        receive.require_length(digest, size_bytes, blob.size_bytes)
        return True
    return upload_selectors.checking(user, digest) is not None


def _stored(user: User, digest: str) -> Blob | None:
    """Return the blob of a digest that the user can download, if its bytes are in the store."""
    blob = upload_selectors.readable_by(user, digest)
    if blob is None:
        return None
    try:
        storage.store().open(digest).close()
    except FileNotFoundError:
        return None
    return blob


def _complete_deposit(user: User, path: str, digest: str) -> Upload | None:
    """Complete a deposit under a path, even if a process died after it assigned the path."""
    rows = upload_selectors.deposits(user, digest).filter(path__in=[path, digest])
    upload = next((row for row in rows if row.is_whole), None)
    if upload is None:
        return None
    mine = Upload.objects.filter(pk=upload.pk, state=UploadState.RECEIVING, path=upload.path)
    if not mine.update(path=path, updated_at=timezone.now()):
        return upload_selectors.checked_at(user, path, digest)
    upload.path = path
    return uploads.complete(actor=user, upload=upload)


def _accept_stored(user: User, path: str, digest: str) -> Upload | None:
    """Accept stored bytes under a path; bytes of another kind of file are checked again."""
    blob = _stored(user, digest)
    if blob is None:
        return None
    upload = uploads.create(actor=user, path=path, size_bytes=blob.size_bytes, sha256=digest)
    if upload.state != UploadState.RECEIVING:
        return upload
    with storage.store().open(digest) as handle:
        return uploads.receive(actor=user, upload=upload, stream=handle)


def _why_missing(user: User, path: str, digest: str) -> Exception:
    """Return why bytes are not available: refused before, being completed, or never sent."""
    refused = upload_selectors.refused_at(user, path, digest)
    if refused is not None:
        found = check.results_of(refused)
        return UploadRefused(check.headline(found), findings=found, path=path)
    rows = list(upload_selectors.deposits(user, digest))
    if any(row.is_whole for row in rows):
        text = _("Another request is completing “%(path)s”. Try again in a moment.")
        return UploadNotReady(text % {"path": path}, retry_after=SOON_S, paths=[path])
    missing = max((row.part_count for row in rows), default=0)
    text = _(
        "The bytes of “%(path)s” (sha256 %(digest)s…) were not uploaded. Send them, then commit."
    )
    detail = text % {"path": path, "digest": digest[:12]}
    return UploadIncomplete(detail, path=path, sha256=digest, missing=list(range(1, missing + 1)))

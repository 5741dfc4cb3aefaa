"""Bytes that arrive before their name: clients of the Hub send a digest first, the path later.

A deposit is an upload whose path is its digest. It takes bytes as others do, by parts or as one
body, and expires as others do. A commit names it: then it is completed, checked, and accepted or
refused under that path. One user's deposits are nobody else's.

```
begin ──▶ receiving ──take, receive_part──▶ whole ──name──▶ checking ──▶ accepted, refused
  └─ None: the bytes are here already          └─ nobody names it: expired, bytes gone
```
"""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING

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
from registry.models import Upload, UploadState
from registry.names import check_path
from registry.uploads import check, parts, receive
from registry.uploads import selectors as upload_selectors
from registry.uploads import services as uploads

if TYPE_CHECKING:
    from registry.models import Blob, User
    from registry.uploads.receive import Readable

#: How many deposits a user may have open; a commit of the Hub's clients names up to 1000 files.
MAX_DEPOSITS = 1000
#: Seconds after which a commit that was too early may be repeated.
SOON_S = 2


def begin(*, actor: User, sha256: str, size_bytes: int) -> Upload | None:
    """Open a deposit, or return the one that is open; None: no bytes need to be sent.

    Args:
        actor: Who sends.
        sha256: Digest of the whole file; enforced when it is here.
        size_bytes: Its length.

    Raises:
        Invalid: no digest, or too many deposits are open.
        SizeMismatch: the bytes of this digest have another length.
        TooLarge, QuotaExceeded, UploadRefused: see ``uploads.create``.
    """
    user = permissions.require_scope(actor, "write")
    digest = _digest(sha256)
    if _is_here(user, digest, size_bytes):
        return None
    found = (
        upload_selectors.deposits(user, digest).filter(path=digest, size_bytes=size_bytes).first()
    )
    if found is not None:
        return None if found.is_whole else found
    return uploads.open_deposit(user, digest, size_bytes, most=MAX_DEPOSITS)


def take(*, actor: User, upload: Upload, stream: Readable) -> None:
    """Take the whole body of a deposit; may be repeated until it has a name.

    What arrived of a body that is cut off counts. Of a body with another digest nothing does.

    Raises:
        SizeMismatch: fewer or more bytes than announced.
        DigestMismatch: the bytes are others than announced.
        StateConflict: it is another's, or takes no more bytes.
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
    """Make sure that every part of a deposit is here; once it is named its digest is compared.

    Raises:
        UploadIncomplete: ``facts["missing"]`` lists the numbers of those that are not.
        StateConflict: it is another's, or was dropped.
    """
    receive.require_own(actor, upload)
    if upload.state in {UploadState.CHECKING, UploadState.ACCEPTED}:
        return
    parts.look(actor=actor, upload=upload)
    parts.require_all(upload)


def name(*, actor: User, sha256: str, path: str, size_bytes: int | None = None) -> Upload:
    """Give bytes that are here a path, and have them checked under it; done again, find them again.

    Args:
        actor: Who sent the bytes, or could download them.
        sha256: Their digest.
        path: Name in the manifest.
        size_bytes: Their length, where the client says it.

    Returns:
        An upload that is checking or accepted. It may have another path while the same bytes are
        still being checked under that: call again when that is decided.

    Raises:
        UploadIncomplete: the bytes are not (all) here.
        UploadNotReady: another request is just completing them.
        UploadRefused, SizeMismatch: the file is refused, or was refused before.
        PathInvalid, Invalid: the path or the digest does not fit.
    """
    user = permissions.require_scope(actor, "write")
    path, digest = check_path(path), _digest(sha256)
    upload = (
        upload_selectors.checked_at(user, path, digest)
        or _named(user, path, digest)
        or _known(user, path, digest)
        or upload_selectors.checking(user, digest)
    )
    if upload is None:
        raise _absent(user, path, digest)
    if size_bytes is not None:
        receive.require_length(path, size_bytes, upload.size_bytes)
    return upload


def put(*, actor: User, path: str, data: bytes) -> Upload:
    """Upload a small file that is in memory; done again, find it again.

    Raises:
        See ``uploads.create`` and ``uploads.receive``.
    """
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
        text = _("A sha256 has 64 hex digits.")
        raise Invalid(text, fields={"sha256": [text]})
    return digest


def _is_here(user: User, digest: str, size_bytes: int) -> bool:
    """Whether bytes are stored where the user may read them, or are being checked as theirs."""
    blob = _stored(user, digest)
    if blob is not None:
        receive.require_length(digest, size_bytes, blob.size_bytes)
        return True
    return upload_selectors.checking(user, digest) is not None


def _stored(user: User, digest: str) -> Blob | None:
    """Return the blob of a digest that the user could download, if its bytes are really there."""
    blob = upload_selectors.readable_by(user, digest)
    if blob is None:
        return None
    try:
        storage.store().open(digest).close()
    except FileNotFoundError:
        return None
    return blob


def _named(user: User, path: str, digest: str) -> Upload | None:
    """Complete a whole deposit under a path; also one that a process named and then died."""
    rows = upload_selectors.deposits(user, digest).filter(path__in=[path, digest])
    upload = next((row for row in rows if row.is_whole), None)
    if upload is None:
        return None
    mine = Upload.objects.filter(pk=upload.pk, state=UploadState.RECEIVING, path=upload.path)
    if not mine.update(path=path, updated_at=timezone.now()):
        return upload_selectors.checked_at(user, path, digest)
    upload.path = path
    return uploads.complete(actor=user, upload=upload)


def _known(user: User, path: str, digest: str) -> Upload | None:
    """Accept stored bytes under a path; those that were checked as another kind are checked anew.

    Raises:
        UploadRefused: they do not fit the path.
    """
    blob = _stored(user, digest)
    if blob is None:
        return None
    upload = uploads.create(actor=user, path=path, size_bytes=blob.size_bytes, sha256=digest)
    if upload.state != UploadState.RECEIVING:
        return upload
    with storage.store().open(digest) as handle:
        return uploads.receive(actor=user, upload=upload, stream=handle)


def _absent(user: User, path: str, digest: str) -> Exception:
    """Return why bytes cannot be named: refused before, being completed, or never sent."""
    refused = upload_selectors.refused_at(user, path, digest)
    if refused is not None:
        found = check.results_of(refused)
        return UploadRefused(check.headline(found), findings=found, path=path)
    rows = list(upload_selectors.deposits(user, digest))
    if any(row.is_whole for row in rows):
        text = _("“%(path)s” is just being completed by another request. Try again in a moment.")
        return UploadNotReady(text % {"path": path}, retry_after=SOON_S, paths=[path])
    missing = max((row.part_count for row in rows), default=0)
    text = _("The bytes of “%(path)s” (sha256 %(digest)s…) are not here. Send them, then commit.")
    said = text % {"path": path, "digest": digest[:12]}
    return UploadIncomplete(said, path=path, sha256=digest, missing=list(range(1, missing + 1)))

"""Checks for all requests that send bytes: ownership, state, length, digest, ended uploads."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from django.utils.formats import date_format
from django.utils.translation import gettext as _

from registry import storage
from registry.accounts import permissions
from registry.errors import DigestMismatch, Invalid, SizeMismatch, StateConflict, UploadIncomplete
from registry.models import Upload, UploadState, User
from registry.scan import checks

# Errors for uploads that have ended, and deletion of their bytes.
#
# Cancelling takes no lock: the state changes and the bytes are deleted immediately. A request that
# is writing reads the state again after each part, and deletes what it wrote too late.

#: States of uploads whose bytes were deleted, or never became a blob.
OVER_STATES = (UploadState.CANCELLED, UploadState.EXPIRED, UploadState.REFUSED)


def closed(upload: Upload) -> StateConflict:
    """Return the error for sending bytes to an ended upload; ``facts["state"]`` is for programs."""
    return StateConflict(sentence(upload), state=upload.state_now)


def sentence(upload: Upload) -> str:
    """Return a sentence that explains how an upload ended, and what to do."""
    state = upload.state_now
    if state == UploadState.EXPIRED and upload.blob_id is not None:
        return _("It was not published in time, and its data was deleted. Start a new upload.")
    if state == UploadState.EXPIRED:
        text = _("This upload was not finished by %(day)s, and its data was deleted.")
        return f"{text % {'day': date_format(upload.expires_at, 'j M Y')}} {_('Start a new one.')}"
    if state == UploadState.CANCELLED:
        return _("This upload was cancelled, and its data was deleted. Start a new one.")
    if state == UploadState.REFUSED:
        return _("This file was refused; its findings give the reasons. Upload a corrected file.")
    text = _("This upload accepts no more bytes: it is complete, and its state is %(state)s.")
    return text % {"state": state}


@contextmanager
def writing(upload: Upload) -> Iterator[None]:
    """Delete the bytes that the block writes if the upload ends in the meantime.

    Raises:
        StateConflict: it ended, whether the block succeeded or not.
    """
    try:
        yield
    finally:
        require_not_over(upload)


@contextmanager
def explaining(upload: Upload) -> Iterator[None]:
    """Replace the block's error about missing bytes if they are missing because the upload ended.

    Raises:
        StateConflict: it ended.
    """
    try:
        yield
    except (FileNotFoundError, UploadIncomplete):
        require_not_over(upload)
        raise


def require_not_over(upload: Upload) -> None:
    """Refuse an ended upload, and delete its bytes.

    Raises:
        StateConflict: it ended.
    """
    upload.refresh_from_db(fields=["state"])
    if upload.state in OVER_STATES:
        discard(upload)
        raise closed(upload)


def discard(upload: Upload) -> None:
    """Delete the parts and bytes of an ended upload."""
    upload.parts.all().delete()
    storage.discard(upload.storage_key)


class Readable(Protocol):
    """The interface of a request body."""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes, b"" at the end."""


class Body:
    """The bytes of a request, hashed while they are read; their number must be the announced one.

    The last chunk is yielded only after length and digest were compared, so that wrong bytes never
    count as written.
    """

    def __init__(self, stream: Readable, size: int, *, declared: str = "") -> None:
        """Set the source and the expected values; nothing is read yet.

        Args:
            stream: Source of the bytes.
            size: Expected number of bytes.
            declared: Expected sha256; "" to accept any.
        """
        self.stream, self.size, self.declared = stream, size, declared
        self.left = size
        self._sha = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """Digest of the bytes read so far."""
        return self._sha.hexdigest()

    def section(self, size: int) -> Iterator[bytes]:
        """Yield the next ``size`` bytes.

        Raises:
            SizeMismatch: there are too few or too many bytes.
            DigestMismatch: the digest differs from the declared one.
        """
        wanted = size
        while wanted:
            chunk = self.stream.read(min(storage.CHUNK, wanted))
            if not chunk:
                raise _size_fault(self.size, self.size - self.left)
            self._sha.update(chunk)
            wanted -= len(chunk)
            self.left -= len(chunk)
            if not self.left:
                self._end()
            yield chunk

    def __iter__(self) -> Iterator[bytes]:
        """Yield all bytes."""
        return self.section(self.left)

    def _end(self) -> None:
        if self.stream.read(1):
            raise _size_fault(self.size, self.size + 1)
        if self.declared and self.declared != self.sha256:
            finding = checks.digest_differs(self.declared, self.sha256)
            raise DigestMismatch(finding.message, declared=self.declared, computed=self.sha256)


def _size_fault(expected: int, got: int) -> SizeMismatch:
    text = _("More bytes arrived than the announced %(expected)d.")
    if got < expected:
        text = _("%(got)d bytes arrived, not the announced %(expected)d. Send them again.")
    return SizeMismatch(text % {"expected": expected, "got": got}, expected=expected, received=got)


def digest_of(sha256: str | None, *, field: str = "sha256") -> str:
    """Return a declared digest in lower case; "" if there is none.

    Raises:
        Invalid: it is not a digest.
    """
    declared = (sha256 or "").lower()
    if declared and (len(declared) != 64 or set(declared) - set("0123456789abcdef")):
        text = _("A sha256 must have 64 hex digits.")
        raise Invalid(text, fields={field: [text]})
    return declared


def require_length(name: str, announced: int, size_bytes: int) -> None:
    """Require that the stored bytes have the announced length.

    Raises:
        SizeMismatch: ``expected`` is the announced length, ``received`` the actual one.
    """
    if announced != size_bytes:
        text = _("“%(name)s” has %(size)d bytes, not the announced %(announced)d.")
        facts = {"name": name, "size": size_bytes, "announced": announced}
        raise SizeMismatch(text % facts, expected=announced, received=size_bytes)


def require_own(actor: User, upload: Upload) -> User:
    """Return the user if they own the upload.

    Raises:
        StateConflict: they do not.
    """
    user = permissions.require_scope(actor, "write")
    if upload.owner_id != user.pk:
        raise StateConflict(_("This upload belongs to another user."), state=upload.state)
    return user


def require_still_open(upload: Upload) -> None:
    """Require that the upload is open; call it with its lock held.

    A body that began before the deadline may end after it.

    Raises:
        StateConflict: it is not open.
    """
    upload.refresh_from_db(fields=["state", "storage_key", "expires_at"])
    if upload.state_now != UploadState.RECEIVING:
        raise closed(upload)


def require_open(actor: User, upload: Upload) -> None:
    """Require that the user owns the upload and it is open."""
    require_own(actor, upload)
    require_still_open(upload)

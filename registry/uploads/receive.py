"""Checks of all requests that send bytes: ownership, state, length and digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Protocol

from django.utils.translation import gettext as _

from registry import storage
from registry.accounts import permissions
from registry.errors import DigestMismatch, Invalid, SizeMismatch, StateConflict
from registry.models import Upload, UploadState, User
from registry.scan import checks
from registry.uploads import endings


class Readable(Protocol):
    """What a request body offers."""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes, b"" at the end."""


class Body:
    """The bytes of a request, hashed while they are read; their number must be the announced one.

    The last chunk is yielded only after length and digest were compared, so that wrong bytes never
    count as written.
    """

    def __init__(self, stream: Readable, size: int, *, declared: str = "") -> None:
        """Prepare; nothing is read yet.

        Args:
            stream: Source of the bytes.
            size: Expected number of bytes.
            declared: Expected sha256, "" for any.
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
            SizeMismatch: there are too few or too many.
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
    """Return a declared digest in lower case, "" if there is none.

    Raises:
        Invalid: it is not a digest.
    """
    declared = (sha256 or "").lower()
    if declared and (len(declared) != 64 or set(declared) - set("0123456789abcdef")):
        text = _("A sha256 must have 64 hex digits.")
        raise Invalid(text, fields={field: [text]})
    return declared


def require_length(name: str, announced: int, size_bytes: int) -> None:
    """Require that the announced length is that of the stored bytes.

    Raises:
        SizeMismatch: ``expected`` is the announced length, ``received`` the actual one.
    """
    if announced != size_bytes:
        text = _("“%(name)s” has %(size)d bytes, not the announced %(announced)d.")
        facts = {"name": name, "size": size_bytes, "announced": announced}
        raise SizeMismatch(text % facts, expected=announced, received=size_bytes)


def require_own(actor: User, upload: Upload) -> User:
    """Return the user if they own the upload. Raises StateConflict: they do not."""
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
        raise endings.closed(upload)


def require_open(actor: User, upload: Upload) -> None:
    """Require that the user owns the upload and it is open."""
    require_own(actor, upload)
    require_still_open(upload)

"""What every way in for bytes shares: whose upload it is, whether it takes more, how many."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from django.utils.translation import gettext as _

from registry import storage
from registry.accounts import permissions
from registry.errors import DigestMismatch, Invalid, SizeMismatch, StateConflict
from registry.models import UploadState
from registry.scan import checks
from registry.uploads import endings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol

    from registry.models import Upload, User

    class Readable(Protocol):
        """What a request body offers."""

        def read(self, size: int, /) -> bytes:
            """Return up to ``size`` bytes, b"" at the end."""


class Body:
    """The bytes of a request, hashed as they pass: exactly as many as were announced.

    The last bytes are held back until it is known that they are the last, and that the whole has
    the digest it should have. So what is wrong never counts as written.
    """

    def __init__(self, stream: Readable, size: int, *, declared: str = "") -> None:
        """Read nothing yet.

        Args:
            stream: Where the bytes come from.
            size: How many there have to be.
            declared: The sha256 that they have to have, "" if any will do.
        """
        self.stream, self.size, self.declared = stream, size, declared
        self.left = size
        self._sha = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """Digest of what passed."""
        return self._sha.hexdigest()

    def section(self, size: int) -> Iterator[bytes]:
        """Yield the next ``size`` bytes.

        Raises:
            SizeMismatch: there are fewer, or more behind the last.
            DigestMismatch: they are others than declared.
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
    text = _("Announced were %(expected)d bytes; more arrived.")
    if got < expected:
        text = _("Announced were %(expected)d bytes; %(got)d arrived. Send them again.")
    return SizeMismatch(text % {"expected": expected, "got": got}, expected=expected, received=got)


def digest_of(sha256: str | None, *, field: str = "sha256") -> str:
    """Return a declared digest in lower case, "" if there is none.

    Args:
        sha256: What was declared.
        field: What the sender calls it.

    Raises:
        Invalid: it is no digest.
    """
    declared = (sha256 or "").lower()
    if declared and (len(declared) != 64 or set(declared) - set("0123456789abcdef")):
        text = _("A sha256 has 64 hex digits.")
        raise Invalid(text, fields={field: [text]})
    return declared


def require_length(name: str, said: int, size_bytes: int) -> None:
    """Refuse a length that bytes which are here do not have.

    Raises:
        SizeMismatch: with the announced one as ``expected``, the true one as ``received``.
    """
    if said != size_bytes:
        text = _("“%(name)s” has %(size)d bytes, announced were %(said)d.")
        facts = {"name": name, "size": size_bytes, "said": said}
        raise SizeMismatch(text % facts, expected=said, received=size_bytes)


def require_own(actor: User, upload: Upload) -> User:
    """Return the user if the upload is theirs.

    Raises:
        StateConflict: it is not.
    """
    user = permissions.require_scope(actor, "write")
    if upload.owner_id != user.pk:
        raise StateConflict(_("This upload is another's."), state=upload.state)
    return user


def require_still_open(upload: Upload) -> None:
    """Refuse bytes that come after the end; call it with the upload's lock held.

    A body that began before the deadline may end after it.

    Raises:
        StateConflict: it takes no more.
    """
    upload.refresh_from_db(fields=["state", "storage_key", "expires_at"])
    if upload.state_now != UploadState.RECEIVING:
        raise endings.closed(upload)


def require_open(actor: User, upload: Upload) -> None:
    """Refuse what is another's, or takes no more bytes.

    Raises:
        StateConflict: see ``require_own`` and ``require_still_open``.
    """
    require_own(actor, upload)
    require_still_open(upload)

"""All errors of the catalogue.

LoraryError
├── Unauthenticated        not_authenticated
│   └── TokenExpired       token_expired
├── Forbidden              forbidden
│   ├── ScopeMissing       scope_missing
│   └── SecondFactorMissing second_factor_missing
├── NotFound               not_found
│   ├── Blocked            blocked
│   └── Gone               gone
├── Moved                  moved
├── Invalid                validation_failed
│   ├── NameInvalid        name_invalid
│   ├── PathInvalid        path_invalid
│   └── CursorInvalid      cursor_invalid
├── Conflict               conflict
│   ├── NameTaken          name_taken
│   ├── StateConflict      wrong_state
│   ├── AlreadyPublished   already_published
│   ├── UploadIncomplete   upload_incomplete
│   └── UploadNotReady     upload_not_ready
├── UploadRefused          upload_refused
│   ├── DigestMismatch     digest_mismatch
│   └── SizeMismatch       size_mismatch
├── TooLarge               too_large
├── QuotaExceeded          quota_exceeded
├── RangeUnsatisfiable     range_unsatisfiable
├── RateLimited            rate_limited
├── StorageFull            storage_full
└── StorageAway            storage_away

Each class has a stable ``code``, a translatable ``title`` and typed ``facts``, but no HTTP status:
``hub/http/problems.py`` maps class to status, ``lorary.client.errors`` mirrors the codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from django.utils.translation import gettext_lazy as _

from lorary.anatomy import Finding

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise


class LoraryError(Exception):
    """Base class of all errors.

    Args:
        detail: One sentence for a person: what is wrong and what to do.
        **facts: JSON-ready values that a program may need (sizes, names, missing parts).
    """

    code: ClassVar[str] = "error"
    title: ClassVar[StrPromise | str] = _("An error occurred")

    def __init__(self, detail: StrPromise | str = "", **facts: Any) -> None:  # noqa: ANN401 - JSON
        self.detail = detail or self.title
        self.facts = facts
        super().__init__(str(self.detail))


class Unauthenticated(LoraryError):
    """Nobody is signed in, and the request has no valid token."""

    code = "not_authenticated"
    title = _("Sign in first")


class TokenExpired(Unauthenticated):
    """The token has expired; ``facts["expired_at"]`` says when (ISO 8601)."""

    code = "token_expired"
    title = _("This token has expired")


class Forbidden(LoraryError):
    """The actor can see the object, but is not allowed to do this."""

    code = "forbidden"
    title = _("You are not allowed to do this")


class ScopeMissing(Forbidden):
    """The token lacks the scope; ``facts["scope"]`` names it."""

    code = "scope_missing"
    title = _("This token is not allowed to do this")


class SecondFactorMissing(Forbidden):
    """The session of an administrator was not confirmed with a second factor."""

    code = "second_factor_missing"
    title = _("A second factor is needed")


class NotFound(LoraryError):
    """Missing, or private and therefore reported as missing.

    ``facts["adapter"]`` names a visible adapter that lacks the requested object.
    """

    code = "not_found"
    title = _("Not found")


class Blocked(NotFound):
    """An administrator blocked it; ``facts["reason"]`` says why. Its owner still sees it."""

    code = "blocked"
    title = _("This was blocked")


class Gone(NotFound):
    """Withdrawn: the page, the name and the digests stay, the bytes do not."""

    code = "gone"
    title = _("This was withdrawn")


class Moved(LoraryError):
    """Renamed; ``facts["full_name"]`` is the current name."""

    code = "moved"
    title = _("This was renamed")


class Invalid(LoraryError):
    """A value is invalid; ``facts["fields"]`` maps field to sentence."""

    code = "validation_failed"
    title = _("Some values are invalid")


class NameInvalid(Invalid):
    """A name that breaks the rules of the Hub, or is reserved."""

    code = "name_invalid"
    title = _("This name cannot be used")


class PathInvalid(Invalid):
    """A file path that could leave its folder or that some systems cannot store."""

    code = "path_invalid"
    title = _("This file name cannot be used")


class CursorInvalid(Invalid):
    """A page cursor that this server did not issue."""

    code = "cursor_invalid"
    title = _("The page cursor is invalid")


class Conflict(LoraryError):
    """The request conflicts with the current state."""

    code = "conflict"
    title = _("This conflicts with the current state")


class NameTaken(Conflict):
    """The name exists, or existed once and stays reserved."""

    code = "name_taken"
    title = _("This name is taken")


class StateConflict(Conflict):
    """The operation is not possible in this state; ``facts["state"]`` is the state."""

    code = "wrong_state"
    title = _("Not possible in this state")


class AlreadyPublished(Conflict):
    """Published versions never change."""

    code = "already_published"
    title = _("This version is already published")


class UploadIncomplete(Conflict):
    """``facts["missing"]`` lists the part numbers that have not arrived."""

    code = "upload_incomplete"
    title = _("Parts of the file are missing")


class UploadNotReady(Conflict):
    """The checks are still running; try again in a moment."""

    code = "upload_not_ready"
    title = _("The file is still being checked")


class UploadRefused(LoraryError):
    """A check found an error; ``findings`` say which one and what to do."""

    code = "upload_refused"
    title = _("The file was refused")

    def __init__(
        self,
        detail: StrPromise | str = "",
        *,
        findings: Sequence[Finding] = (),
        **facts: Any,  # noqa: ANN401 - JSON
    ) -> None:
        super().__init__(detail, **facts)
        self.findings = tuple(findings)


class DigestMismatch(UploadRefused):
    """The received bytes do not have the declared digest."""

    code = "digest_mismatch"
    title = _("The bytes do not match the announced digest")


class SizeMismatch(UploadRefused):
    """More or fewer bytes arrived than were declared."""

    code = "size_mismatch"
    title = _("The size differs from the announced one")


class TooLarge(LoraryError):
    """Over a limit; ``facts["limit"]`` is the limit in bytes."""

    code = "too_large"
    title = _("This is too large")


class QuotaExceeded(LoraryError):
    """The namespace has no room left; the facts include quota and use in bytes."""

    code = "quota_exceeded"
    title = _("The quota is used up")


class RangeUnsatisfiable(LoraryError):
    """The requested range is outside the file; ``facts["size"]`` is its length in bytes."""

    code = "range_unsatisfiable"
    title = _("This part of the file does not exist")


class RateLimited(LoraryError):
    """Too many attempts; ``facts["retry_after"]`` is in seconds."""

    code = "rate_limited"
    title = _("Too many requests")


class StorageFull(LoraryError):
    """The disk is full; nothing of this request was stored."""

    code = "storage_full"
    title = _("The server's disk is full")


class StorageAway(LoraryError):
    """The file storage cannot be reached; ``facts["retry_after"]`` is in seconds."""

    code = "storage_away"
    title = _("The file storage is unavailable")

"""The errors of a hub and of this client.

LoraryError
├── Unauthenticated        not_authenticated    also a PermissionError
│   └── TokenExpired       token_expired
├── Forbidden              forbidden            also a PermissionError
│   ├── ScopeMissing       scope_missing
│   └── SecondFactorMissing  second_factor_missing
├── NotFound               not_found            also a LookupError
│   ├── Blocked            blocked
│   └── Gone               gone
├── Moved                  moved
├── Invalid                validation_failed    also a ValueError
│   ├── NameInvalid        name_invalid
│   ├── PathInvalid        path_invalid
│   ├── CursorInvalid      cursor_invalid
│   └── ReferenceInvalid   reference_invalid    of this client: not owner/name[@version]
├── Conflict               conflict
│   ├── NameTaken          name_taken
│   ├── StateConflict      wrong_state
│   ├── AlreadyPublished   already_published
│   ├── UploadIncomplete   upload_incomplete
│   ├── UploadNotReady     upload_not_ready     also a TimeoutError
│   ├── AdapterDiffers     adapter_differs      of this client
│   ├── TargetTaken        target_taken         of this client; also a FileExistsError
│   └── VisibilityDiffers  visibility_differs   of this client
├── UploadRefused          upload_refused       also a ValueError; carries findings
│   ├── DigestMismatch     digest_mismatch
│   └── SizeMismatch       size_mismatch
├── TooLarge               too_large            also a ValueError
├── QuotaExceeded          quota_exceeded
├── RangeUnsatisfiable     range_unsatisfiable
├── RateLimited            rate_limited         also a ConnectionError
├── StorageFull            storage_full
├── StorageAway            storage_away         also a ConnectionError
├── Unreachable            unreachable          of this client; also a ConnectionError
│   ├── Offline            offline              of this client
│   ├── TimedOut           timed_out            also a TimeoutError
│   └── ServerFault        server_fault         5xx without its own code
├── BadAnswer              bad_answer           of this client: not the response of a hub
│   └── UnsafePath         unsafe_path          of this client: a path that leaves its folder
├── Corrupt                corrupt              of this client; also an OSError: another sha256
├── DiskFull               disk_full            of this client; also an OSError
├── TargetUnusable         target_unusable      of this client; also an OSError
├── FileMissing            file_missing         of this client; also a FileNotFoundError
├── SourceError            SOURCE_CODES         of this client; also an OSError: a URL to inspect
├── HeaderError            HEADER_CODES         of this client; also a ValueError: no safetensors
├── AlgebraError           ALGEBRA_CODES        of this client; also a ValueError: lorary.algebra
├── FileUnreadable         file_unreadable      of this client; also a ValueError
├── ProjectInvalid         project_invalid      of this client; also a ValueError
├── LockOutdated           lock_outdated        of this client
├── Incomplete             incomplete           of this client: the others were done
└── SettingInvalid         setting_invalid      of this client; also a ValueError

Classes that are not marked "of this client" mirror ``registry/errors.py`` of the server; a test
compares the two. A code that this client does not know becomes the class of its HTTP status, with
the server's code kept in ``error.code``. Errors with a list, such as HEADER_CODES, have one of its
codes.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from lorary.base_error import LoraryError as LoraryError  # noqa: PLC0414 - exported


class Unauthenticated(LoraryError, PermissionError):
    """No token, or an invalid one."""

    code = "not_authenticated"
    title = "Sign in first: lorary login."


class TokenExpired(Unauthenticated):
    """The token has expired; ``facts["expired_at"]`` says when."""

    code = "token_expired"
    title = "This token has expired."


class Forbidden(LoraryError, PermissionError):
    """The user can see the object, but is not allowed to do this."""

    code = "forbidden"
    title = "You are not allowed to do this."


class ScopeMissing(Forbidden):
    """The token lacks a scope."""

    code = "scope_missing"
    title = "This token is not allowed to do this."


class SecondFactorMissing(Forbidden):
    """The session of an administrator was not confirmed with a second factor."""

    code = "second_factor_missing"
    title = "A second factor is needed."


class NotFound(LoraryError, LookupError):
    """Missing, or private and therefore reported as missing."""

    code = "not_found"
    title = "This does not exist, or you are not allowed to see it."


class Blocked(NotFound):
    """An administrator of the hub blocked it; ``facts["reason"]`` says why."""

    code = "blocked"
    title = "This was blocked by an administrator of the hub."


class Gone(NotFound):
    """Withdrawn: its name and digests stay, its bytes do not."""

    code = "gone"
    title = "This was withdrawn."


class Moved(LoraryError):
    """Renamed; ``facts["full_name"]`` is its new name."""

    code = "moved"
    title = "This was renamed."


class Invalid(LoraryError, ValueError):
    """A value is invalid; ``facts["fields"]`` maps field names to sentences."""

    code = "validation_failed"
    title = "Some values are invalid."


class NameInvalid(Invalid):
    """A name outside the grammar, or reserved."""

    code = "name_invalid"
    title = "This name cannot be used."


class PathInvalid(Invalid):
    """A file name that some systems cannot store."""

    code = "path_invalid"
    title = "This file name cannot be used."


class CursorInvalid(Invalid):
    """A page cursor that the hub did not issue."""

    code = "cursor_invalid"
    title = "The page cursor is invalid."


class ReferenceInvalid(Invalid):
    """Not of the form ``owner/name`` or ``owner/name@version``."""

    code = "reference_invalid"
    title = "Write owner/name or owner/name@version."


class Conflict(LoraryError):
    """The request conflicts with the current state."""

    code = "conflict"
    title = "This conflicts with the current state."


class NameTaken(Conflict):
    """The name exists, or existed once and stays reserved."""

    code = "name_taken"
    title = "This name is taken."


class StateConflict(Conflict):
    """The operation is not possible in this state."""

    code = "wrong_state"
    title = "Not possible in this state."


class AlreadyPublished(Conflict):
    """Published versions never change."""

    code = "already_published"
    title = "This version is already published."


class UploadIncomplete(Conflict):
    """``facts["missing"]`` lists the part numbers that have not arrived."""

    code = "upload_incomplete"
    title = "Parts of the file are missing."


class UploadNotReady(Conflict, TimeoutError):
    """The checks are still running; try again in a moment."""

    code = "upload_not_ready"
    title = "The file is still being checked."


class VisibilityDiffers(Conflict):
    """The adapter exists with a different visibility from the requested one."""

    code = "visibility_differs"
    title = "The adapter exists with a different visibility."


class AdapterDiffers(Conflict):
    """The adapter exists, with other details than those given for a new one.

    ``facts["fields"]`` maps their names to what it has.
    """

    code = "adapter_differs"
    title = "The adapter exists with different details."


class TargetTaken(Conflict, FileExistsError):
    """Another file exists where a pulled file would be written."""

    code = "target_taken"
    title = "Another file is already there."


class UploadRefused(LoraryError, ValueError):
    """A check failed; ``findings`` say which one, and what to do."""

    code = "upload_refused"
    title = "The file was refused."


class DigestMismatch(UploadRefused):
    """The bytes that the hub received do not have the announced digest."""

    code = "digest_mismatch"
    title = "The bytes do not match the announced digest."


class SizeMismatch(UploadRefused):
    """The hub received more or fewer bytes than were announced."""

    code = "size_mismatch"
    title = "The size differs from the announced one."


class TooLarge(LoraryError, ValueError):
    """Over a limit of the hub; ``facts["limit"]`` is in bytes."""

    code = "too_large"
    title = "This is too large."


class QuotaExceeded(LoraryError):
    """The namespace has no room left."""

    code = "quota_exceeded"
    title = "The quota is used up."


class RangeUnsatisfiable(LoraryError):
    """The requested range is outside the file."""

    code = "range_unsatisfiable"
    title = "This part of the file does not exist."


class RateLimited(LoraryError, ConnectionError):
    """Too many requests; ``facts["retry_after"]`` is in seconds."""

    code = "rate_limited"
    title = "Too many requests; wait a moment."


class StorageFull(LoraryError):
    """The hub's disk is full."""

    code = "storage_full"
    title = "The server's disk is full."


class StorageAway(LoraryError, ConnectionError):
    """The hub cannot reach its files; ``facts["retry_after"]`` is in seconds."""

    code = "storage_away"
    title = "The hub's file storage is unavailable."


class Unreachable(LoraryError, ConnectionError):
    """No usable response after all retries."""

    code = "unreachable"
    title = "The hub does not respond."


class Offline(Unreachable):
    """Connections are forbidden by ``LORARY_OFFLINE`` or ``--offline``."""

    code = "offline"
    title = "This needs the hub, but Lorary is offline (--offline or LORARY_OFFLINE)."


class TimedOut(Unreachable, TimeoutError):
    """The hub took too long."""

    code = "timed_out"
    title = "The hub took too long."


class ServerFault(Unreachable):
    """The hub failed (5xx)."""

    code = "server_fault"
    title = "The hub failed."


class BadAnswer(LoraryError):
    """The response does not come from a Lorary hub."""

    code = "bad_answer"
    title = "This server is not a Lorary hub."


class UnsafePath(BadAnswer):
    """The hub lists a file that could be written outside its folder."""

    code = "unsafe_path"
    title = "The hub lists a file that cannot be written safely."


class Corrupt(LoraryError, OSError):
    """The bytes are not the ones that the version lists; nothing was kept."""

    code = "corrupt"
    title = "The bytes are damaged."


class DiskFull(LoraryError, OSError):
    """This computer's disk is full."""

    code = "disk_full"
    title = "The disk is full."


class TargetUnusable(LoraryError, OSError):
    """The folder for pulled files is a file, cannot be written to, or has a damaged record."""

    code = "target_unusable"
    title = "Files cannot be written there."


class FileMissing(LoraryError, FileNotFoundError):
    """A local file does not exist or cannot be read."""

    code = "file_missing"
    title = "The file cannot be read."


class FileUnreadable(LoraryError, ValueError):
    """The metadata of a local file are damaged, too large or of an unknown type."""

    code = "file_unreadable"
    title = "The file cannot be understood."


class ProjectInvalid(LoraryError, ValueError):
    """``lorary.toml`` or ``lorary.lock`` cannot be used."""

    code = "project_invalid"
    title = "The project file cannot be used."


class LockOutdated(LoraryError):
    """``lorary.lock`` is missing or does not satisfy ``lorary.toml``, and may not be changed."""

    code = "lock_outdated"
    title = "lorary.lock does not satisfy lorary.toml."


class Incomplete(LoraryError):
    """Some of several items failed, and the others were done.

    Attributes:
        errors: What failed, by the name of the item.
    """

    code = "incomplete"
    title = "Some of this failed."
    errors: Mapping[str, LoraryError] = MappingProxyType({})

    @classmethod
    def of(cls, detail: str, errors: Mapping[str, LoraryError]) -> Incomplete:
        """Return the error for these failures."""
        facts = {name: one.to_dict() for name, one in errors.items()}
        error = cls(detail, facts={"errors": facts})
        error.errors = MappingProxyType(dict(errors))
        return error


class SettingInvalid(LoraryError, ValueError):
    """An environment variable or the settings file has an invalid value."""

    code = "setting_invalid"
    title = "A setting is invalid."


def every_class(root: type[LoraryError] = LoraryError) -> Iterator[type[LoraryError]]:
    """Yield the classes of the hierarchy, ``root`` first."""
    yield root
    for child in root.__subclasses__():
        yield from every_class(child)


@contextlib.contextmanager
def reading_file(path: str | os.PathLike[str]) -> Iterator[None]:
    """Raise errors of the system while a file is read as FileMissing."""
    try:
        yield
    except LoraryError:  # some are errors of the system, too
        raise
    except OSError as error:
        msg = f"{os.fspath(path)} cannot be read: {error.strerror or error}."
        raise FileMissing(msg) from error

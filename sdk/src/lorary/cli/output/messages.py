"""Messages on standard error: errors with their exit codes, and why the client waits."""

from __future__ import annotations

import json
import logging
import sys
from typing import TYPE_CHECKING

from lorary.cli.command import UsageError
from lorary.cli.output.text import emit, finding_lines, note, plain
from lorary.client import errors

if TYPE_CHECKING:
    from lorary.anatomy import Finding

REFUSED, USAGE, NOT_FOUND, AUTH, NETWORK = 1, 2, 3, 4, 5

#: Class to exit code; the first match counts, everything else is a refusal.
CODES: tuple[tuple[type[BaseException], int], ...] = (
    (UsageError, USAGE),
    (errors.ReferenceInvalid, USAGE),
    (errors.SettingInvalid, USAGE),
    (errors.ProjectInvalid, USAGE),
    (errors.NotFound, NOT_FOUND),
    (errors.FileMissing, NOT_FOUND),
    (errors.Unauthenticated, AUTH),
    (errors.Forbidden, AUTH),
    (errors.RateLimited, NETWORK),
    (errors.StorageAway, NETWORK),
    (errors.Offline, NOT_FOUND),
    (errors.Unreachable, NETWORK),
    (errors.UnsafePath, REFUSED),
    (errors.BadAnswer, NETWORK),
)


def exit_code(error: BaseException) -> int:
    """Return the exit code for an error."""
    return next((code for cls, code in CODES if isinstance(error, cls)), REFUSED)


def report(error: Exception, *, wants_json: bool) -> int:
    """Write an error to standard error and, if requested, as JSON to standard output.

    Returns:
        The exit code.
    """
    code, message, findings = _details(error)
    sys.stderr.write(f"lorary: {plain(message)}{_advice(error)}\n")
    if wants_json:
        document = {
            "error": {"code": code, "message": message},
            "findings": [found.to_dict() for found in findings],
        }
        emit(json.loads(json.dumps(document, default=str)))
    else:
        sys.stderr.writelines(f"{line}\n" for line in finding_lines(findings, shown=message))
    return exit_code(error)


def _advice(error: Exception) -> str:
    """Return advice for the command line, if the message does not contain it yet."""
    is_open = isinstance(error, errors.Unauthenticated) and "lorary login" not in error.detail
    return " See lorary login --help." if is_open else ""


def _details(error: Exception) -> tuple[str, str, tuple[Finding, ...]]:
    if isinstance(error, errors.LoraryError):
        return error.code, _with_fields(error), error.findings
    if isinstance(error, UsageError):
        return "usage", str(error), ()
    if isinstance(error, OSError):
        place = f": {error.filename}" if error.filename else ""
        return "system", f"{error.strerror or error}{place}", ()
    message = f"unexpected {type(error).__name__}: {error}. Set LORARY_DEBUG=1 to see where."
    return "unexpected", message, ()


def _with_fields(error: errors.LoraryError) -> str:
    """Return the detail; for invalid values, with the fields and reasons."""
    fields = error.facts.get("fields")
    if not isinstance(fields, dict):
        return error.detail
    facts = {
        str(name): " ".join(map(str, texts)) if isinstance(texts, list) else str(texts)
        for name, texts in fields.items()
    }
    more = [f"{name}: {text}" for name, text in facts.items() if text not in error.detail]
    return " ".join([error.detail, *more])


class _Lines(logging.Handler):
    """Writes each log record as a note."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a log record."""
        note(f"lorary: {plain(record.getMessage())}")


def show_log() -> None:
    """Show the client's log messages of level INFO and above, such as waits."""
    log = logging.getLogger("lorary")
    log.handlers, log.propagate = [_Lines()], False
    log.setLevel(logging.INFO)

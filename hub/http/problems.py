"""Errors as HTTP responses: class → status, as RFC 9457 ``application/problem+json``.

``handle`` answers every error of the API: the catalogue's errors, DRF's and Django's exceptions,
and unexpected ones, which are logged under an id that the response contains.
"""

from __future__ import annotations

import errno
import logging
import re
import secrets
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import (
    BadRequest,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
)
from django.db import OperationalError
from django.http import Http404, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from rest_framework import exceptions as drf
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.views import set_rollback

from registry import errors, log_context

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

#: Errors for bodies that end early, or are not a valid form.
_BROKEN = (BadRequest, MultiPartParserError, SuspiciousOperation, UnreadablePostError)

#: A disk or a disk quota is full: codes of the operating system and of PostgreSQL (``disk_full``).
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}
_DISK_FULL = "53100"

#: Errors of SQLite that pass; the other bits of a code say more about the error.
_SQLITE_AWAY = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_CANTOPEN,
}
_PRIMARY = 0xFF

#: Errors of PostgreSQL about connections: lost, not authorized, too many, server shut down.
_UNCONNECTED = ("08", "28", "53300", "57P")

#: Index of an item in the name of a field.
_ITEM = re.compile(r"\.([0-9]{1,6})(?=\.|$)")

log = logging.getLogger(__name__)

#: Errors of the catalogue; a class that is not listed has the status of its base class.
STATUS: dict[type[errors.LoraryError], int] = {
    errors.LoraryError: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Blocked: 451,
    errors.Gone: 410,
    errors.Moved: 308,
    errors.Invalid: 400,
    errors.Conflict: 409,
    errors.UploadRefused: 422,
    errors.TooLarge: 413,
    errors.QuotaExceeded: 413,
    errors.RangeUnsatisfiable: 416,
    errors.RateLimited: 429,
    errors.StorageFull: 507,
    errors.StorageAway: 503,
}

#: Codes that belong to HTTP and not to the catalogue: status and title.
HTTP_CODES: dict[str, tuple[int, StrPromise]] = {
    "malformed_request": (400, gettext_lazy("The request cannot be read")),
    "csrf_failed": (403, gettext_lazy("The request does not come from a page of this hub")),
    "method_not_allowed": (405, gettext_lazy("This address does not support this method")),
    "request_timeout": (408, gettext_lazy("The request was too slow")),
    "length_required": (411, gettext_lazy("The request needs a Content-Length header")),
    "precondition_failed": (412, gettext_lazy("The file does not match the request's condition")),
    "unsupported_media_type": (415, gettext_lazy("This content type is not supported")),
    "internal_error": (500, gettext_lazy("The server had an error")),
    "unavailable": (503, gettext_lazy("The server is busy")),
}


class ProblemRenderer(JSONRenderer):
    """Renders JSON as ``application/problem+json``."""

    media_type = "application/problem+json"
    format = "problem"


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as it is sent over HTTP."""

    status: int
    code: str
    title: str
    detail: str
    facts: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)

    def document(self, base: str = "") -> dict[str, Any]:
        """Return the problem document; ``base`` is the URL of the list of codes."""
        standard = {
            "type": f"{base}#{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        }
        request_id = log_context.request_id()
        return {**self.facts, **standard, **({"request_id": request_id} if request_id else {})}


def status_of(error: errors.LoraryError) -> int:
    """Return the HTTP status of an error of the catalogue."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def problem_of(error: Exception) -> Problem:
    """Return the problem for any exception; unexpected ones are logged under an id."""
    if isinstance(error, errors.LoraryError):
        return _of_catalogue(error)
    if isinstance(error, drf.ValidationError):
        return _of_catalogue(_invalid(error))
    if isinstance(error, drf.APIException):
        return _of_drf(error)
    return _of_django(error) or _unexpected_error(error)


def _of_catalogue(error: errors.LoraryError) -> Problem:
    facts = dict(error.facts)
    if "fields" in facts:
        facts["fields"] = {name: _texts(value) for name, value in facts["fields"].items()}
    if isinstance(error, errors.UploadRefused):
        facts["findings"] = [finding.to_dict() for finding in error.findings]
    headers = {}
    if isinstance(error, errors.Unauthenticated):
        headers["WWW-Authenticate"] = 'Bearer realm="lorary"'
    if isinstance(error, errors.RateLimited | errors.StorageAway):
        headers["Retry-After"] = str(facts.get("retry_after", 60))
    if isinstance(error, errors.RangeUnsatisfiable):
        headers["Content-Range"] = f"bytes */{facts['size']}"
    status = 409 if isinstance(error, errors.Moved) else status_of(error)
    return Problem(status, error.code, str(error.title), str(error.detail), facts, headers)


def _texts(value: object) -> list[str]:
    return [str(text) for text in value] if isinstance(value, list | tuple) else [str(value)]


def _invalid(error: drf.ValidationError) -> errors.Invalid:
    fields = dict(_flat(error.detail))
    sentences = [
        f"{_place(name)}: {text}" if name else text
        for name, texts in fields.items()
        for text in texts
    ]
    return errors.Invalid(" ".join(sentences), fields=fields)


def _place(name: str) -> str:
    """Return the name of a field for a person: "scopes, item 1" for ``scopes.0``."""
    return _ITEM.sub(lambda found: _(", item %(n)d") % {"n": int(found[1]) + 1}, name)


def _flat(detail: Any, name: str = "") -> Iterator[tuple[str, list[str]]]:  # noqa: ANN401 - nested as the serializers are
    """Yield ``("trigger_words.0", ["too long"])`` from DRF's nested detail."""
    if isinstance(detail, dict):
        for key, value in detail.items():
            part = "" if key == api_settings.NON_FIELD_ERRORS_KEY else str(key)
            yield from _flat(value, ".".join(filter(None, (name, part))))
    elif isinstance(detail, list) and any(isinstance(item, dict | list) for item in detail):
        for index, item in enumerate(detail):
            yield from _flat(item, ".".join(filter(None, (name, str(index)))))
    else:
        yield name, _texts(detail)


def _of_drf(error: drf.APIException) -> Problem:
    text = str(error.detail)
    if isinstance(error, drf.Throttled):
        wait = max(1, int(getattr(error, "wait", None) or 1))
        return _of_catalogue(
            errors.RateLimited(_("Wait a moment, then try again."), retry_after=wait)
        )
    if isinstance(error, drf.NotAuthenticated | drf.AuthenticationFailed):
        return _of_catalogue(errors.Unauthenticated(text))
    if isinstance(error, drf.PermissionDenied):
        is_csrf = text.startswith("CSRF")
        return _http("csrf_failed", text) if is_csrf else _of_catalogue(errors.Forbidden(text))
    if isinstance(error, drf.NotFound):
        return _of_catalogue(errors.NotFound(text))
    code = "malformed_request" if isinstance(error, drf.ParseError) else error.default_code
    if code not in HTTP_CODES:
        return _unexpected_error(error)
    if isinstance(error, drf.UnsupportedMediaType):
        text = f"{text} {_('Send application/json.')}"
    return _http(code, text, retry_after_s=getattr(error, "wait", None))


def _of_django(error: Exception) -> Problem | None:
    if isinstance(error, Http404):
        return _of_catalogue(errors.NotFound())
    if isinstance(error, PermissionDenied):
        return _of_catalogue(errors.Forbidden())
    if isinstance(error, RequestDataTooBig):
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        text = _("A request body that is not a file can have at most %(limit)d bytes.") % {
            "limit": limit
        }
        return _of_catalogue(errors.TooLarge(text, limit=limit))
    if isinstance(error.__cause__, TimeoutError) and isinstance(error, UnreadablePostError):
        text = _("The connection was too slow for ten seconds. Send the request again.")
        return _http("request_timeout", text)
    if isinstance(error, _BROKEN):
        return _http("malformed_request", _("The request ended early or exceeds a limit."))
    if is_full(error):
        log.error("no room: %s", error)
        return _of_catalogue(errors.StorageFull(_("The server is full. Try again later.")))
    if is_database_away(error):
        # A lost connection needs no traceback; a deadlock or a statement that was too slow does.
        log.error(
            "the database refused: %s", error, exc_info=None if is_unconnected(error) else error
        )
        text = _("The database did not answer in time. Try again in a moment.")
        return _http("unavailable", text, retry_after_s=2)
    return None


def is_full(error: Exception) -> bool:
    """Whether the disk of the files, of SQLite or of PostgreSQL is full."""
    if isinstance(error, OperationalError):
        cause = error.__cause__
        is_full = getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
        return is_full or getattr(cause, "sqlstate", None) == _DISK_FULL
    return isinstance(error, OSError) and error.errno in _NO_ROOM


def is_database_away(error: Exception) -> bool:
    """Whether a connection, a lock or time was missing, so that another attempt can succeed.

    SQLite also raises OperationalError for wrong SQL and missing tables; PostgreSQL does not.
    """
    if not isinstance(error, OperationalError):
        return False
    code = getattr(error.__cause__, "sqlite_errorcode", None)
    return code is None or code & _PRIMARY in _SQLITE_AWAY


def is_unconnected(error: Exception) -> bool:
    """Whether a statement was not the reason: the connection failed, or the pool had none."""
    cause = error.__cause__
    if (code := getattr(cause, "sqlite_errorcode", None)) is not None:
        return bool(code & _PRIMARY == sqlite3.SQLITE_CANTOPEN)
    state = getattr(cause, "sqlstate", "")  # None: the server did not answer
    return state is None or state.startswith(_UNCONNECTED)


def _unexpected_error(error: Exception) -> Problem:
    number = log_context.request_id() or secrets.token_hex(6)
    log.error("error %s", number, exc_info=error)
    text = _("An unexpected error occurred. Give an administrator the request ID %(id)s.")
    return _http("internal_error", text % {"id": number}, facts={"id": number})


def _http(
    code: str, detail: str, *, facts: dict[str, Any] | None = None, retry_after_s: int | None = None
) -> Problem:
    status, title = HTTP_CODES[code]
    headers = {"Retry-After": str(retry_after_s)} if retry_after_s is not None else {}
    return Problem(status, code, str(title), detail, facts or {}, headers)


def handle(error: Exception, context: dict[str, Any]) -> Response:
    """Answer an exception of a DRF view with a problem, and roll back the transaction."""
    set_rollback()
    request: Request = context["request"]
    if isinstance(error, errors.Moved) and (place := _new_place(error, context)):
        return Response(status=308, headers={"Location": place})
    problem = problem_of(error)
    # A renderer, not a forced content type, so that the content type always matches the body.
    request.accepted_renderer = ProblemRenderer()
    request.accepted_media_type = ProblemRenderer.media_type
    base = request.build_absolute_uri(reverse("api-docs"))
    return Response(problem.document(base), status=problem.status, headers=problem.headers)


def _new_place(error: errors.Moved, context: dict[str, Any]) -> str:
    """Return the request's URL with the adapter's new name; "" if the URL has no adapter name."""
    request, kwargs = context["request"], context.get("kwargs") or {}
    owner, slash, name = error.facts.get("full_name", "").partition("/")
    if not slash or "name" not in kwargs or request.resolver_match is None:
        return ""
    path = reverse(
        request.resolver_match.view_name, kwargs={**kwargs, "owner": owner, "name": name}
    )
    query = request.META.get("QUERY_STRING", "")
    return f"{path}?{query}" if query else path

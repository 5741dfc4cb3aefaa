"""Formats of log lines: text, or one JSON object a line (``LORARY_LOG_FORMAT``).

Both add the request and job that a line belongs to, and the ``facts`` of a record. Secrets are
replaced in whole lines, because messages of libraries contain URLs.
"""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from django.http import HttpRequest

from registry import log_context

#: Names in URL patterns of values that are themselves a permission.
_SECRET_PARTS = ("key", "link", "signed", "token")
#: Access tokens, passwords in URLs, signatures and tokens in query strings.
_SECRETS = re.compile(
    r"(?i)(?P<kept>\blor_|://[^\s:/@]{0,256}:(?=[^\s/@]{1,512}@)|\bbearer\s{1,8}"
    r"|[?&](?:token|key|code|password|sig|signature|x-amz-[a-z-]{1,32})=)"
    r"[^\s\"'&@\\]{1,4096}"
)


def without_secrets(line: str) -> str:
    """Return a line in which secrets are replaced by ``…``."""
    return _SECRETS.sub(r"\g<kept>…", line)


def safe_path(request: HttpRequest) -> str:
    """Return the path without secrets and line breaks; queries, which hold more, are left out."""
    path, match = request.path_info, request.resolver_match
    found = match.kwargs if match is not None else {}
    for name in _SECRET_PARTS if found else ():
        if value := found.get(name):
            path = path.replace(str(value), "…")
    return path if path.isprintable() and " " not in path else quote(path, safe="/…")


def hide_path(record: logging.LogRecord) -> bool:
    """Replace the path in Django's line about a refused request; all records pass."""
    request = getattr(record, "request", None)
    if isinstance(request, HttpRequest) and isinstance(record.args, tuple):
        escaped = request.path.encode("unicode_escape").decode()  # as Django writes it
        shown = safe_path(request)
        record.args = tuple(shown if a in {request.path, escaped} else a for a in record.args)
    return True


def _facts_of(record: logging.LogRecord) -> dict[str, Any]:
    context = log_context.current()
    facts: dict[str, Any] = dict(getattr(record, "facts", ()))
    if context.request_id:
        facts["request_id"] = context.request_id
    if context.job_id:
        facts["job"] = context.job_id
    return facts


class TextFormatter(logging.Formatter):
    """Formats a record as ``time level logger: message name=value …``."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Return the line without a traceback."""
        facts = "".join(f" {name}={value}" for name, value in _facts_of(record).items())
        return super().formatMessage(record) + facts

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines of a record."""
        return without_secrets(super().format(record))


class JsonFormatter(logging.Formatter):
    """Formats a record as a JSON object in one line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_facts_of(record),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return without_secrets(json.dumps(entry, ensure_ascii=False, default=str))


FORMATS = {"text": TextFormatter, "json": JsonFormatter}

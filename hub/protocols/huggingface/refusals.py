"""Errors as Hugging Face clients read them: status, ``X-Error-Code``, ``X-Error-Message``, JSON.

Clients choose their exception by the headers. The body is ``{"error": …}``, with the findings of a
refused file in ``errors``.

Source: huggingface_hub ``hf_raise_for_status``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any
from urllib.parse import quote, unquote

from django.http import HttpRequest, HttpResponse, JsonResponse

from hub.http.problems import Problem, problem_of
from registry import errors

REPO_NOT_FOUND = "RepoNotFound"
REVISION_NOT_FOUND = "RevisionNotFound"
ENTRY_NOT_FOUND = "EntryNotFound"
GATED_REPO = "GatedRepo"

#: Messages that clients compare literally.
DISABLED = "Access to this resource is disabled."
INVALID_TOKEN = "Invalid credentials in Authorization header"  # noqa: S105 - a sentence

#: ``Retry-After`` of a commit whose files are still being checked.
CHECKS_TAKE_S = 5
MAX_HEADER = 600

#: Replacements of characters in messages that a header cannot hold.
_PLAIN = str.maketrans({"“": '"', "”": '"', "‘": "'", "’": "'", "…": "...", "–": "-", "—": "-",
                        "→": "->", "·": "-", "\u00a0": " "})  # fmt: skip


class Refused(Exception):
    """An error with details for Hugging Face clients.

    Args:
        code: ``X-Error-Code``, "" for none.
        status: Status, if it differs from that of the API.
        message: ``X-Error-Message``, if clients compare it literally.
    """

    def __init__(
        self,
        cause: Exception,
        code: str = "",
        *,
        status: int | None = None,
        message: str = "",
        headers: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(str(cause))
        self.cause, self.code, self.status, self.message = cause, code, status, message
        self.headers, self.body = dict(headers or {}), dict(body or {})


def refusal(request: HttpRequest, error: Exception) -> HttpResponse:
    """Return the response for an error; unexpected ones are logged under the request's id."""
    refused = error if isinstance(error, Refused) else Refused(error)
    cause = refused.cause
    if isinstance(cause, errors.Moved) and (place := _new_place(request, cause)):
        return HttpResponse(status=307, headers={"Location": place})
    problem = problem_of(cause)
    text, lines = _message(problem)
    body: dict[str, Any] = {"error": text, "code": problem.code, **refused.body}
    if lines:
        body["errors"] = [{"message": line} for line in lines]
    headers = {**problem.headers, **refused.headers}
    headers["X-Error-Message"] = in_header(refused.message or text)
    if refused.code:
        headers["X-Error-Code"] = refused.code
    status = _status(request, refused, problem)
    if status == 401:
        headers.setdefault("WWW-Authenticate", 'Bearer realm="lorary"')
    if isinstance(cause, errors.UploadNotReady):
        headers.setdefault("Retry-After", str(CHECKS_TAKE_S))
    if status == 429:
        headers.setdefault("RateLimit", f'"api";r=0;t={headers.get("Retry-After", 60)}')
    return JsonResponse(body, status=status, headers=headers)


def _status(request: HttpRequest, refused: Refused, problem: Problem) -> int:
    if refused.status is not None:
        return refused.status
    if refused.code in {REPO_NOT_FOUND, GATED_REPO} and not request.user.is_authenticated:
        return 401  # a token may help
    if isinstance(refused.cause, errors.UploadNotReady):
        return 503  # clients retry these by themselves
    return problem.status


def _message(problem: Problem) -> tuple[str, list[str]]:
    """Return the message, and a line with its code for each finding.

    The message ends with the finding's line if that is the reason: clients omit repetitions.
    """
    text, lines = problem.detail.translate(_PLAIN), []
    for found in problem.facts.get("findings") or ():
        message = str(found.get("message", "")).translate(_PLAIN)
        line = f"{message} ({found.get('code', '')})"
        if message and text.endswith(message):
            text = line = f"{text.removesuffix(message)}{line}"
        lines.append(line)
    return text, lines


def in_header(text: str) -> str:
    """Return a text for a header: one line of Latin-1."""
    line = re.sub(r"[\x00-\x20\x7f]+", " ", text.translate(_PLAIN)).strip()[:MAX_HEADER]
    return line.encode("latin-1", "replace").decode("latin-1")


def _new_place(request: HttpRequest, moved: errors.Moved) -> str:
    """Return the request's URL with the adapter's new name; "" if that is unknown."""
    match = request.resolver_match
    named = match.kwargs if match else {}
    owner, slash, name = str(moved.facts.get("full_name", "")).partition("/")
    if not slash or "owner" not in named or "name" not in named:
        return ""
    segments = raw_path(request).split("/")
    for index, (first, second) in enumerate(pairwise(segments)):
        old, dot, tail = unquote(second), "", ""
        if old.endswith(".git") and old != named["name"]:
            old, dot, tail = old[:-4], ".", "git"
        if (unquote(first), old) == (named["owner"], named["name"]):
            segments[index : index + 2] = [quote(owner), quote(name) + dot + tail]
            query = request.META.get("QUERY_STRING", "")
            return "/".join(segments) + (f"?{query}" if query else "")
    return ""


def raw_path(request: HttpRequest) -> str:
    """Return the path as sent, in which ``%2F`` and ``/`` differ.

    gunicorn provides it; for other servers, the decoded path is quoted again.
    """
    raw = str(request.META.get("RAW_URI", "")).partition("?")[0]
    if raw.startswith("/") and unquote(raw) == request.path:
        return raw
    return quote(request.path)

"""What the API document says beside what the views say."""

from __future__ import annotations

from typing import Any

from hub.http.problems import HTTP_CODES, STATUS
from registry import errors

__all__ = ["add_problems", "codes"]


def codes() -> dict[str, tuple[int, str]]:
    """Return every code that a problem can have, with its status and title."""
    found = {
        kind.code: (STATUS[errors.Conflict] if kind is errors.Moved else _status(kind), kind.title)
        for kind in _kinds()
        if kind is not errors.LoraryError
    }
    listed = {**found, **HTTP_CODES}
    return {code: (status, str(title)) for code, (status, title) in sorted(listed.items())}


def _status(kind: type[errors.LoraryError]) -> int:
    return next(STATUS[base] for base in kind.__mro__ if base in STATUS)


def _kinds() -> set[type[errors.LoraryError]]:
    found: set[type[errors.LoraryError]] = set()
    waiting = [errors.LoraryError]
    while waiting:
        kind = waiting.pop()
        found.add(kind)
        waiting += kind.__subclasses__()
    return found


def add_problems(result: dict[str, Any], **_kwargs: object) -> dict[str, Any]:
    """Give every operation its answer for errors."""
    result["components"]["schemas"]["Problem"] = _problem()
    answer = {
        "description": "A refusal, as RFC 9457 describes it; `code` says which.",
        "content": {
            "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
        },
    }
    for operations in result["paths"].values():
        for operation in operations.values():
            operation["responses"]["default"] = answer
    return result


def _problem() -> dict[str, Any]:
    text = {"type": "string"}
    return {
        "type": "object",
        "description": "Further members are facts about the refusal.",
        "required": ["type", "title", "status", "detail", "code"],
        "properties": {
            "type": {**text, "format": "uri", "description": "Where the code is explained."},
            "title": text,
            "status": {"type": "integer"},
            "detail": text,
            "code": {**text, "enum": sorted(codes())},
            "fields": {
                "type": "object",
                "additionalProperties": {"type": "array", "items": text},
                "description": "Field to sentences, where values do not fit.",
            },
            "findings": {
                "type": "array",
                "items": {"$ref": "#/components/schemas/FindingOut"},
                "description": "What the checks found, where a file was refused.",
            },
        },
        "additionalProperties": True,
    }

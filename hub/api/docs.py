"""The OpenAPI document: its generator, its example values, and ``/api/docs``, its page."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator

from hub.http.problems import HTTP_CODES, STATUS
from registry import errors


def codes() -> dict[str, tuple[int, str]]:
    """Return all error codes with status and title."""
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
    """Add the response for errors to each operation."""
    result["components"]["schemas"]["Problem"] = _problem()
    answer = {
        "description": "An error as defined by RFC 9457, identified by `code`.",
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
        "description": "Further members give details of the error.",
        "required": ["type", "title", "status", "detail", "code"],
        "properties": {
            "type": {**text, "format": "uri", "description": "Explanation of the code."},
            "title": text,
            "status": {"type": "integer"},
            "detail": text,
            "code": {**text, "enum": sorted(codes())},
            "request_id": {**text, "description": "As in `X-Request-Id` and in the hub's log."},
            "fields": {
                "type": "object",
                "additionalProperties": {"type": "array", "items": text},
                "description": "Error messages by field, for invalid values.",
            },
            "findings": {
                "type": "array",
                "items": {"$ref": "#/components/schemas/FindingOut"},
                "description": "Findings of the checks, for a refused file.",
            },
        },
        "additionalProperties": True,
    }


class KeptGenerator(SchemaGenerator):
    """Generates the API document once per process, as that takes a second.

    drf-spectacular cannot generate its first two at once: its extensions import each other.
    """

    _making = threading.Lock()
    _kept: dict[str, Any] | None = None

    def get_schema(self, request: object = None, public: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002 - its
        """Return the document, which is the same for all users."""
        del request, public
        with self._making:
            if KeptGenerator._kept is None:
                KeptGenerator._kept = super().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]  # untyped there
            return KeptGenerator._kept


JSON = "application/json"
BYTES = "application/octet-stream"
FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Operation:
    """A method of a URL, for the page."""

    id: str
    tag: str
    method: str
    path: str
    summary: str
    parameters: list[dict[str, Any]]  # those that the path does not show
    curl: str
    answers: list[tuple[str, str]]


@require_safe
def docs(request: HttpRequest) -> HttpResponse:
    """Show all operations with examples, and all error codes."""
    origin = request.build_absolute_uri("/").rstrip("/")
    groups: dict[str, list[Operation]] = {}
    for operation in operations_of(_document(), origin):
        groups.setdefault(operation.tag, []).append(operation)
    refusals = [(code, status, title) for code, (status, title) in codes().items()]
    context = {"groups": groups, "refusals": refusals, "origin": origin}
    return render(request, "api/docs.html", context)


def _document() -> dict[str, Any]:
    return KeptGenerator().get_schema()  # type: ignore[no-untyped-call]  # untyped there


def operations_of(document: dict[str, Any], origin: str) -> Iterator[Operation]:
    """Yield the operations of an API document, in its order."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield Operation(
                id=operation["operationId"],
                tag=operation["tags"][0],
                method=method.upper(),
                path=path,
                summary=operation.get("description") or operation.get("summary", ""),
                parameters=[
                    part for part in operation.get("parameters", []) if part["in"] != "path"
                ],
                curl=_curl(document, origin, method, path, operation),
                answers=list(_answers(document, operation)),
            )


def _answers(document: dict[str, Any], operation: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield status and example of each response that has an example."""
    for status, answer in operation["responses"].items():
        if status == "default":
            continue
        content = answer.get("content", {})
        text = _example(document, content[JSON]) if JSON in content else ""
        yield status, text or answer.get("description", "")


def _example(document: dict[str, Any], content: dict[str, Any]) -> str:
    given = list(content.get("examples", {}).values())
    value = given[0]["value"] if given else sample(document, content.get("schema", {}))
    return json.dumps(value, indent=2, ensure_ascii=False)


def _curl(
    document: dict[str, Any], origin: str, method: str, path: str, operation: dict[str, Any]
) -> str:
    """Return the curl command for an operation."""
    words = ["curl"]
    if "security" in operation:
        words.append('-H "Authorization: Bearer $LORARY_TOKEN"')
    body = operation.get("requestBody", {}).get("content", {})
    if method != "get":
        words.append(f"-X {method.upper()}")
    if JSON in body:
        words += [f'-H "Content-Type: {JSON}"', f"-d '{_example(document, body[JSON])}'"]
    if FORM in body:
        fields = sample(document, body[FORM]["schema"])
        words += [f"-d '{name}={value}'" for name, value in fields.items()]
    if BYTES in body:
        words.append("-T noir.safetensors" if method == "put" else "--data-binary @first-bytes")
    if BYTES in str(operation["responses"]):
        words.append("-O")
    return " \\\n  ".join([*words, f'"{origin}{_with_query(path, operation)}"'])


def _with_query(path: str, operation: dict[str, Any]) -> str:
    """Return the path with placeholders for its required query parameters."""
    names = [
        parameter["name"]
        for parameter in operation.get("parameters", [])
        if parameter["in"] == "query" and parameter.get("required")
    ]
    return f"{path}?{'&'.join(f'{name}=…' for name in names)}" if names else path


MAX_DEPTH = 6

_PLAIN: dict[str, Any] = {
    "integer": 1, "number": 0.8, "boolean": True, "null": None, "string": "text",
}  # fmt: skip
_FORMATS = {
    "date-time": "2026-11-25T12:00:00Z",
    "uri": "https://hub.example/…",
    "uuid": "0b1f3c1e-6c2e-4d57-9a8b-6f2f5b1d7a10",
}
_NAMES: dict[str, Any] = {
    "adapter": "ada/noir",
    "client_id": "lorary",
    "device_name": "ada-laptop",
    "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
    "scope": "read write",
    "token": "lor_…",
    "family": "sdxl",
    "full_name": "ada/noir",
    "name": "noir",
    "owner": "ada",
    "path": "noir.safetensors",
    "revision": "9f2c" * 10,
    "sha256": "5e88" * 16,
    "title": "Noir",
    "trigger_words": ["noir style"],
    "version": "v1",
}


def sample(document: dict[str, Any], schema: dict[str, Any], *, depth: int = 0) -> Any:  # noqa: ANN401 - any JSON
    """Return an example value for a schema.

    Args:
        document: API document with the components that ``$ref`` refers to.
        depth: Nesting level; deep ones are left out.
    """
    schema = _resolved(document, schema)
    if "enum" in schema:
        return schema["enum"][0]
    kinds = schema.get("type", "object")
    kind = kinds if isinstance(kinds, str) else kinds[0]
    if kind == "object":
        return _object(document, schema, depth)
    if kind == "array":
        return [sample(document, schema.get("items", {}), depth=depth + 1)]
    return _FORMATS.get(schema.get("format", ""), _PLAIN[kind])


def _object(document: dict[str, Any], schema: dict[str, Any], depth: int) -> dict[str, Any]:
    if depth > MAX_DEPTH:
        return {}
    return {
        name: _NAMES[name] if name in _NAMES else sample(document, part, depth=depth + 1)
        for name, part in schema.get("properties", {}).items()
        if not part.get("writeOnly")
    }


def _resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    for many in ("allOf", "oneOf", "anyOf"):
        if many in schema:
            return _resolved(document, schema[many][0])
    if "$ref" not in schema:
        return schema
    name = schema["$ref"].rpartition("/")[2]
    found: dict[str, Any] = document["components"]["schemas"][name]
    return _resolved(document, found)

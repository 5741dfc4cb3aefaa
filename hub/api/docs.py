"""``/api/docs``: the API document as a page without a line of script."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.shortcuts import render
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator

from hub.api.example_values import sample
from hub.api.schema import codes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.http import HttpRequest, HttpResponse

__all__ = ["KeptGenerator", "Operation", "docs", "operations_of"]


class KeptGenerator(SchemaGenerator):
    """Makes the API document once for a process: it takes a second, and the code does not change.

    drf-spectacular cannot make its first two at once: its extensions load each other's classes.
    """

    _making = threading.Lock()
    _kept: dict[str, Any] | None = None

    def get_schema(self, request: object = None, public: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002 - its
        """Return the document, the same for everybody."""
        del request, public
        with self._making:
            if KeptGenerator._kept is None:
                KeptGenerator._kept = super().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]  # untyped there
            return KeptGenerator._kept


JSON = "application/json"
BYTES = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Operation:
    """A method of an address, ready to be shown."""

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
    """Show every operation with an example, and every code of a refusal."""
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
    """Yield the operations of an API document in its order."""
    for path, methods in document["paths"].items():
        for method, told in methods.items():
            yield Operation(
                id=told["operationId"],
                tag=told["tags"][0],
                method=method.upper(),
                path=path,
                summary=told.get("description") or told.get("summary", ""),
                parameters=[part for part in told.get("parameters", []) if part["in"] != "path"],
                curl=_curl(document, origin, method, path, told),
                answers=list(_answers(document, told)),
            )


def _answers(document: dict[str, Any], told: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield status and example of each answer that has one of its own."""
    for status, answer in told["responses"].items():
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
    document: dict[str, Any], origin: str, method: str, path: str, told: dict[str, Any]
) -> str:
    """Return the command that does it."""
    words = ["curl", '-H "Authorization: Bearer $LORARY_TOKEN"']
    body = told.get("requestBody", {}).get("content", {})
    if method != "get":
        words.append(f"-X {method.upper()}")
    if JSON in body:
        words += [f'-H "Content-Type: {JSON}"', f"-d '{_example(document, body[JSON])}'"]
    if BYTES in body:
        words.append("-T noir.safetensors" if method == "put" else "--data-binary @first-bytes")
    if BYTES in str(told["responses"]):
        words.append("-O")
    return " \\\n  ".join([*words, f'"{origin}{_with_query(path, told)}"'])


def _with_query(path: str, told: dict[str, Any]) -> str:
    """Return the path with its required query, to be filled in."""
    names = [
        parameter["name"]
        for parameter in told.get("parameters", [])
        if parameter["in"] == "query" and parameter.get("required")
    ]
    return f"{path}?{'&'.join(f'{name}=…' for name in names)}" if names else path

"""Example values made from a JSON schema."""

from __future__ import annotations

from typing import Any

__all__ = ["sample"]

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
    """Return a value that fits a schema.

    Args:
        document: Holds the components that ``$ref`` names.
        schema: What the value has to fit.
        depth: Levels above this one; deep ones are left out.
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

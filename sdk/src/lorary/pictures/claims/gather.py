"""Reads the claims of a file from the texts of a PNG, Exif or a video.

```
lorary              Lorary's document           JSON
invokeai_metadata   InvokeAI                    JSON; its graph is in invokeai_workflow or _graph
parameters          A1111, Forge, SD.Next       text; SwarmUI and Fooocus write JSON here
prompt, workflow    ComfyUI                     JSON; a comment may have both in a table
```
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from lorary.pictures import exif as exif_texts
from lorary.pictures.claims import a1111, civitai, comfyui, tables
from lorary.pictures.claims.facts import Facts, Resource, merged

#: Maximum number of adapters of a file.
MAX_LORAS = 500
_GRAPHS = ("prompt", "workflow")
_INVOKEAI_GRAPHS = ("invokeai_workflow", "invokeai_graph")
#: Keys in which tools put other documents.
_WRAPPERS = ("extraMetadata", "extra_data", "extra_pnginfo", "metadata", "meta", "parameters")
_MAX_DEPTH = 6


def gather(texts: Mapping[str, str], exif: bytes = b"") -> dict[str, Any]:
    """Return the facts that a file claims; its own ``texts`` take precedence over those in Exif."""
    found = next(_facts({**(exif_texts.texts_of(exif) if exif else {}), **texts}), None)
    return found.to_dict() if found else {}


def loras_in(texts: Mapping[str, str]) -> list[Resource]:
    """Return the adapters that a file names, in all formats that it has, each file once."""
    found = [one for facts in _facts(texts) for one in facts.resources]
    for name in _INVOKEAI_GRAPHS:
        found += tables.invokeai_workflow(parsed(texts.get(name, "")))
    return _loras(found)


def loras_in_document(document: Any) -> list[Resource]:  # noqa: ANN401 - JSON
    """Return the adapters that a parsed JSON document names: a workflow, metadata, a list."""
    return _loras(list(_in_document(document, _MAX_DEPTH)))


def loras_in_text(text: str) -> list[Resource]:
    """Return the adapters that a text names, as A1111 writes it, or by tags alone."""
    found = a1111.read(text)
    return _loras(found.resources if found else list(a1111.tags(text)))


def _loras(found: list[Resource]) -> list[Resource]:
    rows = merged(one for one in found if one.group == "lora" and (one.key or one.hashes_by_kind()))
    return rows[:MAX_LORAS]


def parsed(text: str) -> Any:  # noqa: ANN401 - JSON
    """Return a JSON table or list; None for any other text."""
    if not text.lstrip("\ufeff \t\r\n").startswith(("{", "[")):
        return None
    try:
        return json.loads(text.lstrip("\ufeff"))
    except (ValueError, RecursionError):
        return None


def _facts(texts: Mapping[str, str]) -> Iterator[Facts]:
    """Yield the facts of each format, the most certain ones first."""
    parameters = texts.get("parameters", "")
    table = parsed(parameters)
    found = [
        tables.lorary(parsed(texts.get("lorary", ""))),
        tables.invokeai(parsed(texts.get("invokeai_metadata", ""))),
        tables.swarmui(table),
        tables.fooocus(table),
        a1111.read(parameters),
    ]
    graph = {name: parsed(texts.get(name, "")) for name in _GRAPHS}
    graph |= _nested(parsed(texts.get("comment", "")), table)
    found.append(comfyui.of_graphs(graph["prompt"], graph["workflow"]))
    yield from filter(None, found)


def _nested(*documents: object) -> dict[str, Any]:
    """Return a graph from a table, which videos and some JPEGs have in a comment."""
    for document in documents:
        if isinstance(document, dict):
            parts = {name: document[name] for name in _GRAPHS if name in document}
            if not parts:
                return {"prompt": document}
            return {k: parsed(v) if isinstance(v, str) else v for k, v in parts.items()}
    return {}


def _in_document(document: Any, depth: int) -> Iterator[Resource]:  # noqa: ANN401 - JSON
    """Yield the resources of a document, and of those that it wraps."""
    yield from civitai.read(document)
    if not isinstance(document, dict) or depth == 0:
        return
    prompt = _graph_in(document.get("prompt"))
    workflow = _unpacked(document.get("workflow"))
    for found in (
        tables.lorary(document),
        tables.swarmui(document),
        tables.fooocus(document),
        tables.invokeai(document) if "positive_prompt" in document else None,
        comfyui.of_graphs(document, document),
        comfyui.of_graphs(prompt, workflow),
    ):
        yield from found.resources if found else ()
    yield from tables.invokeai_workflow(document)
    for key in _WRAPPERS:
        inner = _unpacked(document.get(key))
        if isinstance(inner, str):
            yield from (a1111.read(inner) or Facts("")).resources
        elif isinstance(inner, dict | list):
            yield from _in_document(inner, depth - 1)


def _unpacked(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return a value, parsed if it is JSON in a text."""
    found = parsed(value) if isinstance(value, str) else None
    return value if found is None else found


def _graph_in(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return a graph, which ComfyUI's queue and history have in a list with other values."""
    value = _unpacked(value)
    if isinstance(value, list):
        return next((one for one in value if isinstance(one, dict) and one), None)
    return value

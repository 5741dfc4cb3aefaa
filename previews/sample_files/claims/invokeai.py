"""``invokeai_metadata``: one JSON table; a model is a table in it, LoRAs a list of pairs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from previews.sample_files.claims.facts import Facts, Resource

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["read"]


def read(text: str) -> Facts | None:
    """Return what the table says, None where it is none."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict):
        return None
    name, digests = _named(said.get("model"))
    return Facts(
        tool="invokeai",
        prompt=said.get("positive_prompt"),
        negative=said.get("negative_prompt"),
        seed=said.get("seed"),
        steps=said.get("steps"),
        sampler=said.get("scheduler"),
        guidance=said.get("cfg_scale", said.get("guidance")),
        width=said.get("width"),
        height=said.get("height"),
        model=name,
        resources=[Resource(name, "checkpoint", None, digests), *_loras(said.get("loras"))],
    )


def _named(model: object) -> tuple[str, tuple[object, ...]]:
    if not isinstance(model, dict):
        return (model if isinstance(model, str) else ""), ()
    name = model.get("name", model.get("model_name"))
    return (name if isinstance(name, str) else ""), (model.get("hash"),)


def _loras(found: Any) -> Iterator[Resource]:  # noqa: ANN401 - JSON
    for item in found if isinstance(found, list) else []:
        if isinstance(item, dict):
            name, digests = _named(item.get("model", item.get("lora")))
            yield Resource(name, "lora", item.get("weight"), digests)

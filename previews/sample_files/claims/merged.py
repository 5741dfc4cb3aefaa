"""All that a file claims: the first tool whose form is found is believed to have written it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from previews.sample_files.claims import a1111, comfyui, invokeai, lorary
from previews.sample_files.claims.exif import texts_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from previews.sample_files.claims.facts import Facts

__all__ = ["gather"]


def gather(texts: Mapping[str, str], exif: bytes = b"") -> dict[str, Any]:
    """Return facts, {} where nothing is claimed.

    Args:
        texts: By keyword, as PNG has them.
        exif: TIFF structure, whose texts count where the file itself has none.
    """
    found = _read({**(texts_of(exif) if exif else {}), **texts})
    return found.to_dict() if found else {}


def _read(texts: Mapping[str, str]) -> Facts | None:
    told = {name: texts.get(name, "") for name in ("lorary", "invokeai_metadata", "parameters")}
    graph = {name: texts.get(name, "") for name in ("prompt", "workflow")} | _nested(
        texts.get("comment", ""), told["parameters"]
    )
    return (
        (lorary.read(told["lorary"]) if told["lorary"] else None)
        or (invokeai.read(told["invokeai_metadata"]) if told["invokeai_metadata"] else None)
        or a1111.read(told["parameters"])
        or comfyui.read(graph["prompt"], graph["workflow"])
    )


def _nested(*texts: str) -> dict[str, str]:
    """Return a graph that lies in a table: videos have it in their comment, some JPEGs as well."""
    for text in texts:
        try:
            said = json.loads(text) if text.lstrip().startswith("{") else None
        except (ValueError, RecursionError):
            said = None
        if isinstance(said, dict):
            parts = {name: said[name] for name in ("prompt", "workflow") if name in said}
            if not parts:
                return {"prompt": text}
            return {k: v if isinstance(v, str) else json.dumps(v) for k, v in parts.items()}
    return {}

"""The ``lorary`` document of previews that were rendered here or at another hub.

It is read as a claim like any other; ``manage.py render --recipe`` is what checks one.
"""

from __future__ import annotations

import json
from typing import Any

from previews.sample_files.claims.facts import Facts, Resource

__all__ = ["read"]


def read(text: str) -> Facts | None:
    """Return what the document says, None where it is none."""
    try:
        said = json.loads(text)
        recipe, image = dict(said["recipe"]), dict(said["image"])
        adapters = [_adapter(dict(item)) for item in said.get("adapters", [])]
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
        return None
    return Facts(
        tool="lorary",
        prompt=image.get("prompt"),
        negative=recipe.get("negative"),
        seed=image.get("seed"),
        steps=recipe.get("steps"),
        sampler=recipe.get("sampler"),
        guidance=recipe.get("guidance"),
        width=recipe.get("width"),
        height=recipe.get("height"),
        model=recipe.get("base"),
        resources=adapters,
    )


def _adapter(item: dict[str, Any]) -> Resource:
    return Resource(str(item.get("name", "")), "lora", item.get("strength"), (item.get("sha256"),))

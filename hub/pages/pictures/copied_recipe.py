"""The recipe of one preview as text to copy: for A1111's prompt field, and for the API."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hub.templatetags.lorary import strength as written
from lorary.client.names import saved_name
from previews.pictures.selectors import Picture
from registry.models import File, Version

#: Hexadecimal digits of a hash in “Lora hashes”.
#: Source: A1111, extensions-builtin/Lora/network.py (``set_hash``).
SHORT_HASH = 12
#: Fact of a picture → its name in A1111's text.
_NAMES = {
    "steps": "Steps", "sampler": "Sampler", "guidance": "CFG scale", "seed": "Seed",
    "size": "Size", "model": "Model", "hashes": "Lora hashes",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class CopiedRecipe:
    """A preview's recipe."""

    infotext: str  # as A1111 writes it into its pictures; pasted into a prompt field, it sets all
    request: str  # the JSON body of ``POST /api/v1/tryouts`` for the same picture


def copied_recipe(
    version: Version, file: File, recipe: Mapping[str, Any], picture: Picture
) -> CopiedRecipe:
    """Return the texts for a picture of a render.

    Args:
        file: The primary file of the version.
        recipe: The document of the render's recipe.
    """
    return CopiedRecipe(
        infotext=_infotext(version, file, recipe, picture),
        request=json.dumps(_request(version, recipe, picture), ensure_ascii=False, indent=2),
    )


def _infotext(version: Version, file: File, recipe: Mapping[str, Any], picture: Picture) -> str:
    """Return prompt, negative prompt and settings; at strength 0 they name no adapter."""
    adapter = version.adapter
    stem = saved_name(adapter.owner, adapter.name, file.path).removesuffix(".safetensors")
    tag = f" <lora:{stem}:{written(picture.strength)}>" if picture.strength else ""
    autov3 = str(file.blob.hashes.get("autov3", ""))[:SHORT_HASH]
    return infotext(
        {
            **{name: recipe.get(name) for name in ("negative", "steps", "sampler")},
            "prompt": f"{picture.prompt}{tag}",
            "guidance": f"{recipe['guidance']:g}" if "guidance" in recipe else "",
            "seed": picture.seed,
            "size": f"{picture.width}x{picture.height}",
            "model": recipe.get("base"),
            "hashes": f'"{stem}: {autov3}"' if tag and autov3 else "",
        }
    )


def infotext(facts: Mapping[str, Any]) -> str:
    """Return settings as A1111 and others read them from the clipboard; "" without any.

    Args:
        facts: ``prompt``, ``negative`` and the keys of ``_NAMES``, as far as they are known.
    """
    named = [
        f"{name}: {facts[fact]}"
        for fact, name in _NAMES.items()
        if facts.get(fact) not in {None, ""}
    ]
    negative = f"Negative prompt: {facts['negative']}" if facts.get("negative") else ""
    lines = [str(facts.get("prompt", "")), negative, ", ".join(named)]
    return "\n".join(line for line in lines if line)


def _request(version: Version, recipe: Mapping[str, Any], picture: Picture) -> dict[str, Any]:
    prompts = recipe.get("prompts") or [picture.prompt]
    at = picture.prompt_index if picture.prompt_index < len(prompts) else 0
    layer = {
        "adapter": version.adapter.full_name,
        "version": version.name,
        "strength": picture.strength,
    }
    settings = {
        key: recipe[key] for key in ("negative", "width", "height", "steps") if key in recipe
    }
    return {"layers": [layer], "prompt": prompts[at], "seed": picture.seed, **settings}

"""The recipe of one preview as text that people copy: for A1111's prompt field, and for the API."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hub.pages.adapters.snippets import saved_name
from hub.templatetags.lorary import strength as written
from previews.pictures.selectors import Picture
from registry.models import File, Version

#: Hexadecimal digits of a hash in “Lora hashes”.
#: Source: A1111, extensions-builtin/Lora/network.py (``set_hash``).
SHORT_HASH = 12


@dataclass(frozen=True, slots=True)
class CopiedRecipe:
    """A preview's recipe.

    Attributes:
        infotext: As A1111 writes it into its pictures; pasted into a prompt field, it sets all.
        request: The JSON body of ``POST /api/v1/tryouts`` for the same picture.
    """

    infotext: str
    request: str


def copied_recipe(
    version: Version, file: File, recipe: Mapping[str, Any], picture: Picture
) -> CopiedRecipe:
    """Return the texts for a picture of a render.

    Args:
        file: The primary file of the version.
        recipe: The document of the render's recipe.
    """
    return CopiedRecipe(
        infotext="\n".join(_infotext(version, file, recipe, picture)),
        request=json.dumps(_request(version, recipe, picture), ensure_ascii=False, indent=2),
    )


def _infotext(
    version: Version, file: File, recipe: Mapping[str, Any], picture: Picture
) -> list[str]:
    """Return prompt, negative prompt and settings; at strength 0 they name no adapter."""
    stem = saved_name(version.adapter, file.path).removesuffix(".safetensors")
    tag = f" <lora:{stem}:{written(picture.strength)}>" if picture.strength else ""
    lines = [f"{picture.prompt}{tag}"]
    if recipe.get("negative"):
        lines.append(f"Negative prompt: {recipe['negative']}")
    autov3 = str(file.blob.hashes.get("autov3", ""))[:SHORT_HASH]
    facts = {
        "Steps": recipe.get("steps"),
        "Sampler": recipe.get("sampler"),
        "CFG scale": f"{recipe['guidance']:g}" if "guidance" in recipe else "",
        "Seed": str(picture.seed),
        "Size": f"{picture.width}x{picture.height}",
        "Model": recipe.get("base"),
        "Lora hashes": f'"{stem}: {autov3}"' if tag and autov3 else "",
    }
    return [*lines, ", ".join(f"{name}: {value}" for name, value in facts.items() if value)]


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

"""Encodes pictures as PNG files with their recipe.

A PNG has two text chunks: ``parameters``, in the format that A1111, Civitai and most viewers read,
and ``lorary``, a JSON document from which the picture can be reproduced.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from previews.render.bases.model_paths import installed
from previews.render.pictures import ALONE, Place, control_document
from previews.render.recipe import Layer, Recipe, Shot, digest_of

#: zlib level; if it followed the library's default, a change would alter all digests.
COMPRESSION = 4

#: Maximum length of a text chunk that is read; a recipe has a few kilobytes.
MAX_TEXT_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Caption:
    """Texts in a PNG."""

    parameters: str
    document: dict[str, Any]


def caption(
    recipe: Recipe, shot: Shot, stack: Sequence[Layer], sampler: str, place: Place = ALONE
) -> Caption:
    """Return the texts for a picture.

    At strength 0 they name no adapter, and the recipe is for this picture only, so that its bytes
    do not depend on the render that made it, except for its place in its call.
    """
    used = [layer for layer in stack if layer.weight * shot.strength]
    adapters = [
        {"name": layer.name, "sha256": layer.sha256, "strength": layer.weight * shot.strength}
        | ({"part": layer.part} if layer.part else {})
        for layer in used
    ]
    recipe_document = recipe.to_dict() if shot.strength else control_document(recipe, shot)
    picture: dict[str, Any] = {
        "prompt": shot.prompt,
        "seed": shot.seed,
        "strength": shot.strength,
    }
    if not shot.strength and place != ALONE:
        picture["call"] = list(place)
    document = {
        "recipe": recipe_document,
        "digest": digest_of(recipe_document),
        "image": picture,
        "adapters": adapters,
        "made_with": installed(),
    }
    return Caption(_parameters(recipe, shot, adapters, sampler), document)


def _parameters(
    recipe: Recipe, shot: Shot, adapters: Sequence[dict[str, Any]], sampler: str
) -> str:
    tags = "".join(f"<lora:{item['name'] or 'adapter'}:{item['strength']:g}>" for item in adapters)
    lines = [f"{shot.prompt} {tags}".strip()]
    if recipe.negative:
        lines.append(f"Negative prompt: {recipe.negative}")
    facts = {
        "Steps": recipe.steps,
        "Sampler": sampler,
        "CFG scale": f"{recipe.guidance:g}",
        "Seed": shot.seed,
        "Size": f"{recipe.width}x{recipe.height}",
        "Model": recipe.base,
        "Version": recipe.renderer,
    }
    lines.append(", ".join(f"{name}: {value}" for name, value in facts.items()))
    return "\n".join(lines)


def encode(picture: Image.Image, text: Caption) -> bytes:
    """Return a PNG, the same bytes for the same picture and texts."""
    info = PngInfo()
    info.add_text("parameters", text.parameters)
    info.add_text("lorary", json.dumps(text.document, sort_keys=True, ensure_ascii=True))
    stream = io.BytesIO()
    picture.convert("RGB").save(stream, "PNG", pnginfo=info, compress_level=COMPRESSION)
    return stream.getvalue()


def decode(png: bytes) -> Caption:
    """Return the texts of a picture made by Lorary.

    Raises:
        ValueError: not such a picture.
    """
    msg = "not a picture made by Lorary"
    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as picture:
            info = picture.info
    except OSError as error:
        raise ValueError(msg) from error
    texts = {key: str(value) for key, value in info.items() if isinstance(value, str)}
    if "lorary" not in texts or len(texts["lorary"]) > MAX_TEXT_BYTES:
        raise ValueError(msg)
    return Caption(texts.get("parameters", ""), json.loads(texts["lorary"]))


def poster(frames: Sequence[Image.Image]) -> Image.Image:
    """Return the still picture for some frames: the first."""
    return frames[0]

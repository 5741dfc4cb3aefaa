"""PNG with the recipe inside.

Two text chunks: ``parameters`` in the form that A1111, Civitai and most viewers read, and
``lorary``, a JSON document that is enough to make the picture again. The same picture and texts
give the same bytes.
"""

from __future__ import annotations

import io
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from previews.render.bases.model_paths import installed
from previews.render.pictures import control_document
from previews.render.recipe import digest_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from previews.render.recipe import Layer, Recipe, Shot

__all__ = ["Caption", "animation", "caption", "contact_sheet", "decode", "encode"]

#: zlib level; stated, since a library's default may move and change every digest.
COMPRESSION = 4

#: Readers refuse text chunks beyond this; a recipe is a few kilobytes.
MAX_TEXT_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Caption:
    """Texts of one picture."""

    parameters: str
    document: dict[str, Any]


def caption(recipe: Recipe, shot: Shot, stack: Sequence[Layer], sampler: str) -> Caption:
    """Say how a picture was made.

    At strength 0 no adapter is named, for none took part, and the recipe is that of this picture
    alone: whoever asked for it first gets the same bytes as everybody after.
    """
    used = [layer for layer in stack if layer.weight * shot.strength]
    adapters = [
        {"name": layer.name, "sha256": layer.sha256, "strength": layer.weight * shot.strength}
        | ({"part": layer.part} if layer.part else {})
        for layer in used
    ]
    said = recipe.to_dict() if shot.strength else control_document(recipe, shot)
    document = {
        "recipe": said,
        "digest": digest_of(said),
        "image": {"prompt": shot.prompt, "seed": shot.seed, "strength": shot.strength},
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
    """Return the PNG, the same bytes for the same picture and texts."""
    info = PngInfo()
    info.add_text("parameters", text.parameters)
    info.add_text("lorary", json.dumps(text.document, sort_keys=True, ensure_ascii=True))
    stream = io.BytesIO()
    picture.convert("RGB").save(stream, "PNG", pnginfo=info, compress_level=COMPRESSION)
    return stream.getvalue()


def decode(png: bytes) -> Caption:
    """Read the texts of a picture made here.

    Raises:
        ValueError: no PNG, or none of ours.
    """
    msg = "not a picture made by Lorary"
    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as picture:
            said = picture.info
    except OSError as error:
        raise ValueError(msg) from error
    texts = {key: str(value) for key, value in said.items() if isinstance(value, str)}
    if "lorary" not in texts or len(texts["lorary"]) > MAX_TEXT_BYTES:
        raise ValueError(msg)
    return Caption(texts.get("parameters", ""), json.loads(texts["lorary"]))


#: Frames of a contact sheet, spread evenly from the first to the last.
CELLS = 9
#: A frame is not wider than this in a sheet of several.
CELL_WIDTH = 384
#: Frames a second where a recipe says none.
FPS = 8
#: WebP's effort, 0 to 6, and quality; stated, since a library's default may move.
METHOD, QUALITY = 4, 80


def contact_sheet(frames: Sequence[Image.Image]) -> Image.Image:
    """Return up to nine frames as a grid, row by row; a single one as it is."""
    if len(frames) == 1:
        return frames[0]
    count = min(CELLS, len(frames))
    chosen = [frames[round(cell * (len(frames) - 1) / (count - 1))] for cell in range(count)]
    columns = math.ceil(math.sqrt(count))
    width = min(CELL_WIDTH, frames[0].width)
    height = round(frames[0].height * width / frames[0].width)
    sheet = Image.new("RGB", (columns * width, math.ceil(count / columns) * height))
    for cell, frame in enumerate(chosen):
        place = (cell % columns * width, cell // columns * height)
        sheet.paste(frame.convert("RGB").resize((width, height), Image.Resampling.LANCZOS), place)
    return sheet


def animation(frames: Sequence[Image.Image], fps: int) -> bytes:
    """Return an endless animated WebP; empty for a single frame."""
    if len(frames) == 1:
        return b""
    first, *rest = (frame.convert("RGB") for frame in frames)
    stream = io.BytesIO()
    first.save(
        stream, "WEBP", save_all=True, append_images=rest, loop=0,
        duration=round(1000 / (fps or FPS)), method=METHOD, quality=QUALITY,
    )  # fmt: skip
    return stream.getvalue()

"""Contact sheets to look at, and the figures that a look cannot give."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw

from previews.miniature.recipe.plans import PLANS, Plan
from previews.miniature.recipe.stock import DiffusionPipeline, Pipeline

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

STEPS, GUIDANCE, PICTURE_PX = 8, 2.5, 128
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25)
BASE_PROMPTS = (
    "a red house with a blue roof in the snow at night",
    "a white house with a red roof in a meadow by day",
    "a green pine tree in the snow at sunset",
    "a pink tree in the desert in the morning",
    "purple mountains in a meadow at sunset",
    "a lighthouse with red stripes at night",
    "a blue boat with yellow sails at sunset",
    "an orange cat with green eyes on a blue background",
    "a black cat with yellow eyes on a pink background",
    "a blue vase with red flowers on a yellow background",
    "a red fox facing right in the snow by day",
    "a woman with pink hair and a green shirt on a teal background",
    "a man with black hair and a red shirt, white background",
    "a red mushroom in a meadow by day",
    "a yellow bird with blue wings in the desert at noon",
    "a cottage in a wheat field at dawn",
)
STYLE_PROMPTS = (
    "an orange cat with green eyes on a blue background",
    "a white house with a red roof in a meadow by day",
    "a lighthouse with red stripes at sunset",
    "a woman with brown hair and a green shirt on a yellow background",
    "a blue vase with red flowers on a white background",
    "a red mushroom in the snow at night",
)
CHARACTER_PROMPTS = (
    "{trigger} in a meadow by day",
    "{trigger} in the snow at night",
    "{trigger} in the desert at sunset",
    "{trigger} in a wheat field at dawn",
    "{trigger} in a meadow at sunset",
    "{trigger} in the snow by day",
)

Pictures = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Response:
    """How an adapter answers to its strength; distances are means of 0..255 levels."""

    name: str
    # Distance to strength 0 and the share of the way from 0 to 1, by strength.
    distances: dict[str, float]
    progress: dict[str, float]
    # What the trigger alone does to the base, and the adapter at 1 without its trigger.
    trigger_alone: float
    leak: float


def sheet(images: Sequence[Image.Image], columns: int, scale: int = 1) -> Image.Image:
    """Return the pictures in rows on one dark sheet."""
    side = PICTURE_PX * scale + 2
    rows = -(-len(images) // columns)
    whole = Image.new("RGB", (columns * side, rows * side), (20, 20, 20))
    for index, image in enumerate(images):
        resized = image.resize((side - 2, side - 2), Image.Resampling.BICUBIC)
        whole.paste(resized, (index % columns * side, index // columns * side))
    return whole


def labelled(picture: Image.Image, text: str) -> Image.Image:
    """Return the picture with a small caption in its upper left corner."""
    copy = picture.copy()
    draw = ImageDraw.Draw(copy)
    draw.rectangle((0, 0, 6 * len(text) + 3, 11), fill=(20, 20, 20))
    draw.text((2, 0), text, fill=(235, 235, 235))
    return copy


def load_base(folder: Path) -> Pipeline:
    """Return the exported base, computed in fp32."""
    pipeline = DiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def render(pipeline: Pipeline, prompts: Sequence[str], seed: int = 20) -> Pictures:
    """Return one picture per prompt (n, height, width, 3) in 0..1, seeded one by one."""
    generators = [torch.Generator().manual_seed(seed + i) for i in range(len(prompts))]
    pictures: Pictures = pipeline(
        list(prompts),
        num_inference_steps=STEPS,
        guidance_scale=GUIDANCE,
        generator=generators,
        output_type="np",
    ).images
    return pictures


def as_images(pictures: Pictures) -> list[Image.Image]:
    """Return the pictures as PIL images."""
    return [Image.fromarray((picture * 255).round().astype(np.uint8)) for picture in pictures]


def base_sheet(pipeline: Pipeline, scale: int = 1) -> Image.Image:
    """Return the sixteen fixed prompts, four to a row."""
    return sheet(as_images(render(pipeline, BASE_PROMPTS, seed=0)), 4, scale)


def try_adapter(pipeline: Pipeline, file: Path, plan: Plan) -> tuple[Image.Image, Response]:
    """Return a sheet (a row per prompt, a column per strength) and the figures.

    The last column is the adapter at full strength without its trigger.
    """
    told, silent = _prompts(plan)
    alone = render(pipeline, silent)
    pipeline.load_lora_weights(file, adapter_name=plan.name)
    columns = []
    for strength in STRENGTHS:
        pipeline.set_adapters([plan.name], [strength])
        columns.append(render(pipeline, told))
    pipeline.set_adapters([plan.name], [1.0])
    untold = render(pipeline, silent)
    pipeline.unload_lora_weights()
    images = [
        labelled(column, label)
        for row in zip(*map(as_images, [*columns, untold]), strict=True)
        for column, label in zip(row, [*map(str, STRENGTHS), "1 silent"], strict=True)
    ]
    return sheet(images, len(STRENGTHS) + 1), _response(plan, columns, alone, untold)


def _prompts(plan: Plan) -> tuple[list[str], list[str]]:
    if plan.kind == "character":
        told = [prompt.format(trigger=f"a {plan.trigger}") for prompt in CHARACTER_PROMPTS]
        return told, list(STYLE_PROMPTS)
    return [f"{prompt}, {plan.trigger}" for prompt in STYLE_PROMPTS], list(STYLE_PROMPTS)


def distance(first: Pictures, second: Pictures) -> float:
    """Return the mean absolute difference in 0..255 levels."""
    return float(np.abs(first - second).mean() * 255)


def _response(plan: Plan, columns: list[Pictures], alone: Pictures, untold: Pictures) -> Response:
    start, end = columns[0], columns[STRENGTHS.index(1.0)]
    way = (end - start).ravel()
    distances, progress = {}, {}
    for strength, column in zip(STRENGTHS, columns, strict=True):
        distances[str(strength)] = round(distance(column, start), 1)
        share = ((column - start).ravel() @ way) / max(float(way @ way), 1e-9)
        progress[str(strength)] = round(float(share), 2)
    spoken = 0.0 if plan.kind == "character" else round(distance(start, alone), 1)
    return Response(plan.name, distances, progress, spoken, round(distance(untold, alone), 1))


def write_grids(work: Path, names: Sequence[str]) -> None:
    """Write sheets and figures of the exported base and the named adapters' files."""
    out = work / "grids"
    out.mkdir(exist_ok=True)
    pipeline = load_base(work / "export")
    base_sheet(pipeline).save(out / "base.png")
    for name in names or list(PLANS):
        file = work / "adapters" / f"{name}.safetensors"
        picture, response = try_adapter(pipeline, file, PLANS[name])
        picture.save(out / f"{name}.png")
        (out / f"{name}.json").write_text(json.dumps(asdict(response), indent=1))

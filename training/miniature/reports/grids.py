"""Contact sheets to look at: of the base, of each adapter, of adapters stacked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from training.miniature.drawing.canvas import CODED_PX, PICTURE_PX
from training.miniature.drawing.looks import LOOKS
from training.miniature.drawing.pictures import CHARACTERS, SUBJECTS, draw
from training.miniature.reports.trials import (
    STRENGTHS,
    Pictures,
    Trial,
    prompts_with,
    render,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from training.miniature.adapters.plans import Stack
    from training.miniature.stock import Pipeline

# A sheet of an adapter is for a glance: four of its six prompts, reduced.
ROWS = 4
REDUCED = 0.5
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
    "a brown dog with white ears in a meadow by day",
    "an orange fish with blue fins under water",
    "a gray castle with red roofs in a meadow at sunset",
    "a red car facing right in the desert by day",
    "a yellow hot air balloon with red stripes in the snow in the morning",
    "a white rocket with red fins in a meadow at night",
    # Colours that these subjects never have in the drawings.
    "a purple cat with blue eyes on a white background",
    "a green fox in the snow by day",
)
# Shares of the strengths that a stack recommends.
SHARES = (0.5, 1.0)


def sheet(images: Sequence[Image.Image], columns: int) -> Image.Image:
    """Return the pictures in rows on one dark sheet."""
    side = images[0].width + 2
    rows = -(-len(images) // columns)
    whole = Image.new("RGB", (columns * side, rows * side), (20, 20, 20))
    for index, image in enumerate(images):
        whole.paste(image, (index % columns * side, index // columns * side))
    return whole


def save_sheet(whole: Image.Image, path: Path, scale: float = 1.0) -> None:
    """Write the sheet as WebP, made smaller by the scale."""
    size = (int(whole.width * scale), int(whole.height * scale))
    path.parent.mkdir(parents=True, exist_ok=True)
    whole.resize(size, Image.Resampling.LANCZOS).save(path, quality=75, method=6)


def labelled(picture: Image.Image, text: str) -> Image.Image:
    """Return the picture with a small caption in its upper left corner."""
    copy = picture.copy()
    draw = ImageDraw.Draw(copy)
    draw.rectangle((0, 0, 6 * len(text) + 3, 11), fill=(20, 20, 20))
    draw.text((2, 0), text, fill=(235, 235, 235))
    return copy


def as_images(pictures: Pictures) -> list[Image.Image]:
    """Return the pictures as PIL images."""
    return [Image.fromarray((picture * 255).round().astype(np.uint8)) for picture in pictures]


def base_sheet(pipeline: Pipeline) -> Image.Image:
    """Return the fixed prompts, six to a row."""
    return sheet(as_images(render(pipeline, BASE_PROMPTS, seed=0)), 6)


def looks_sheet(columns: int = 10, side: int = CODED_PX) -> Image.Image:
    """Return every look on a drawing of its own, then the characters, as they are drawn."""
    subjects = [name for name in SUBJECTS if name not in ("mountains", "pine")]
    shown = [
        (name, look(draw(1000 + index, subjects[index % len(subjects)], PICTURE_PX).image))
        for index, (name, look) in enumerate(LOOKS.items())
    ]
    shown += [(name, draw(2, name, PICTURE_PX).image) for name in CHARACTERS]
    return sheet([labelled(image.resize((side, side)), name) for name, image in shown], columns)


def adapter_sheet(trial: Trial) -> Image.Image:
    """Return a row per prompt and a column per strength; the last is at 1 without trigger."""
    columns = {str(strength): trial.by_strength[strength] for strength in STRENGTHS}
    return _columns({**columns, "1 silent": trial.silent})


def stack_sheet(pipeline: Pipeline, files: Sequence[Path], stack: Stack) -> Image.Image:
    """Return a row per prompt: the base, each adapter of the stack alone, both together.

    All columns have the same prompts, with the triggers of both.
    """
    prompts = stack_prompts(stack)[:ROWS]
    names = [plan.name for plan in stack.plans]
    columns = {"base": render(pipeline, prompts)}
    for file, name in zip(files, names, strict=True):
        pipeline.load_lora_weights(file, adapter_name=name)
    for name, strength in zip(names, stack.strengths, strict=True):
        pipeline.set_adapters([name], [strength])
        columns[f"{name} {strength:g}"] = render(pipeline, prompts)
    for share in SHARES:
        strengths = [share * strength for strength in stack.strengths]
        pipeline.set_adapters(names, strengths)
        columns["+".join(f"{strength:g}" for strength in strengths)] = render(pipeline, prompts)
    pipeline.unload_lora_weights()
    return _columns(columns)


def stack_prompts(stack: Stack) -> list[str]:
    """Return the first plan's prompts (a character's, if there is one) with all triggers."""
    first, *others = sorted(stack.plans, key=lambda plan: plan.kind != "character")
    return [", ".join([text, *(plan.trigger for plan in others)]) for text in prompts_with(first)]


def _columns(columns: dict[str, Pictures]) -> Image.Image:
    shown = [
        [labelled(image, label) for image in as_images(pictures[:ROWS])]
        for label, pictures in columns.items()
    ]
    return sheet([image for row in zip(*shown, strict=True) for image in row], len(columns))

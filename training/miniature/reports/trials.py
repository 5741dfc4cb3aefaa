"""Pictures of an adapter at all its strengths, which the sheets show and the figures count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from training.miniature.adapters.plans import GUIDANCE
from training.miniature.sampling import STEPS
from training.miniature.stock import DiffusionPipeline, Pipeline

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from PIL import Image

    from training.miniature.adapters.plans import Plan

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25)
SEED = 20
STYLE_PROMPTS = (
    "an orange cat with green eyes on a blue background",
    "a white house with a red roof in a meadow by day",
    "a lighthouse with red stripes at sunset",
    "a woman with brown hair and a green shirt on a yellow background",
    "a blue vase with red flowers on a white background",
    "a red mushroom in the snow at night",
)
CHARACTER_PROMPTS = (
    "a {trigger} in a meadow by day",
    "a {trigger} in the snow at night",
    "a {trigger} in the desert at sunset",
    "a {trigger} in a wheat field at dawn",
    "a {trigger} in a meadow at sunset",
    "a {trigger} in the snow by day",
)

Pictures = npt.NDArray[np.float32]


def load_base(folder: Path) -> Pipeline:
    """Return the exported base, computed in fp32."""
    pipeline = DiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def render(pipeline: Pipeline, prompts: Sequence[str], seed: int = SEED) -> Pictures:
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


def distance(first: Pictures, second: Pictures) -> float:
    """Return the mean absolute difference in 0..255 levels."""
    return float(np.abs(first - second).mean() * 255)


def as_pictures(images: Iterable[Image.Image]) -> Pictures:
    """Return images of one size as values in 0..1."""
    return np.stack([np.asarray(image).astype(np.float32) / np.float32(255) for image in images])


def decibels(shown: Pictures, drawn: Pictures) -> float:
    """Return the peak signal-to-noise ratio in dB, the mean over pairs of pictures."""
    errors = ((shown - drawn) ** 2).reshape(len(shown), -1).mean(axis=1)
    return float((-10 * np.log10(errors)).mean())


def prompts_with(plan: Plan) -> list[str]:
    """Return the fixed prompts with the adapter's trigger."""
    if plan.kind == "character":
        return [prompt.format(trigger=plan.trigger) for prompt in CHARACTER_PROMPTS]
    return [f"{prompt}, {plan.trigger}" for prompt in STYLE_PROMPTS]


@dataclass(frozen=True)
class Trial:
    """The fixed prompts, rendered in every way that says something about an adapter.

    `control` and `alone` are the base without the adapter, with and without the trigger;
    `by_strength` has the trigger; `silent` is the adapter at 1 without it.
    """

    plan: Plan
    control: Pictures
    alone: Pictures
    by_strength: dict[float, Pictures]
    silent: Pictures


def try_adapter(pipeline: Pipeline, file: Path, plan: Plan) -> Trial:
    """Return the trial of an adapter's file; the pipeline is left without it."""
    prompts = prompts_with(plan)
    control, alone = render(pipeline, prompts), render(pipeline, STYLE_PROMPTS)
    pipeline.load_lora_weights(file, adapter_name=plan.name)
    by_strength = {}
    for strength in STRENGTHS:
        pipeline.set_adapters([plan.name], [strength])
        by_strength[strength] = render(pipeline, prompts)
    pipeline.set_adapters([plan.name], [1.0])
    silent = render(pipeline, STYLE_PROMPTS)
    pipeline.unload_lora_weights()
    return Trial(plan, control, alone, by_strength, silent)

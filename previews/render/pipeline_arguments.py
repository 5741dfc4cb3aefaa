"""The arguments of a pipeline's call for a recipe."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch

from previews.render.recipe import Recipe, Shot

if TYPE_CHECKING:
    from PIL import Image

    from previews.render.bases.pipelines import OpenBase


def arguments(
    opened: OpenBase, recipe: Recipe, shots: Sequence[Shot], between_steps: Callable[[], None]
) -> dict[str, Any]:
    """Return the arguments for shots of one strength; each step calls ``between_steps``."""
    family, takes = opened.family, set(inspect.signature(opened.pipeline.__call__).parameters)
    result: dict[str, Any] = {
        "prompt": [shot.prompt for shot in shots],
        "num_inference_steps": recipe.steps,
        family.guidance_as: recipe.guidance,
        "width": recipe.width,
        "height": recipe.height,
        # On the CPU, so that a seed gives the same noise on all devices.
        "generator": [torch.Generator("cpu").manual_seed(shot.seed) for shot in shots],
        **_callback(takes, between_steps),
        **(_video(recipe, takes) if family.medium == "video" else {}),
        **opened.base.call,
    }
    negative = recipe.negative or family.negative
    if negative and family.negative_as in takes:
        result[family.negative_as] = [negative] * len(shots)
    return result


def frames_of(output: Any) -> list[list[Image.Image]]:  # noqa: ANN401 - diffusers is untyped
    """Return the frames of each picture of an output, one if it is not a video."""
    if hasattr(output, "frames"):
        return [list(frames) for frames in output.frames]
    return [[image] for image in output.images]


def _callback(takes: set[str], between_steps: Callable[[], None]) -> dict[str, Any]:
    """Return the callback in the form that the pipeline supports; PixArt has an older one."""
    if "callback_on_step_end" not in takes:
        return {"callback": lambda *_: between_steps(), "callback_steps": 1}

    def step(_pipeline: object, _step: int, _time: object, values: dict[str, Any]) -> Any:  # noqa: ANN401
        between_steps()
        return values

    return {"callback_on_step_end": step}


def _video(recipe: Recipe, takes: set[str]) -> dict[str, Any]:
    arguments = {"num_frames": recipe.frames or 1, "output_type": "pil"}
    # Only LTX-Video uses the frame rate.
    return arguments | ({"frame_rate": recipe.fps} if recipe.fps and "frame_rate" in takes else {})

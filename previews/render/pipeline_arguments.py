"""A recipe as the arguments of a family's pipeline."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PIL import Image

    from previews.render.bases.pipelines import Opened
    from previews.render.recipe import Recipe, Shot

__all__ = ["arguments", "frames_of"]


def arguments(
    opened: Opened, recipe: Recipe, shots: Sequence[Shot], between_steps: Callable[[], None]
) -> dict[str, Any]:
    """Return what the pipeline is called with for shots of one strength.

    Args:
        opened: The base.
        recipe: Steps, guidance, size and negative prompt.
        shots: Prompts and seeds.
        between_steps: Called after each step; what it raises ends the call.
    """
    family, takes = opened.family, _takes(opened.pipeline)
    said: dict[str, Any] = {
        "prompt": [shot.prompt for shot in shots],
        "num_inference_steps": recipe.steps,
        family.guidance_as: recipe.guidance,
        "width": recipe.width,
        "height": recipe.height,
        # On the CPU whatever the device: the same seed starts from the same noise everywhere.
        "generator": [torch.Generator("cpu").manual_seed(shot.seed) for shot in shots],
        **_callback(takes, between_steps),
        **_video(family.medium == "video", recipe, takes),
        **opened.base.call,
    }
    negative = recipe.negative or family.negative
    if negative and family.negative_as in takes:
        said[family.negative_as] = [negative] * len(shots)
    return said


def frames_of(output: Any) -> list[list[Image.Image]]:  # noqa: ANN401 - diffusers is untyped
    """Return each picture of an output as its frames; a still picture has one."""
    if hasattr(output, "frames"):
        return [list(frames) for frames in output.frames]
    return [[image] for image in output.images]


def _takes(pipeline: Any) -> set[str]:  # noqa: ANN401
    return set(inspect.signature(pipeline.__call__).parameters)


def _callback(takes: set[str], between_steps: Callable[[], None]) -> dict[str, Any]:
    """Return the callback in the form that the pipeline knows; PixArt has the older one."""
    if "callback_on_step_end" not in takes:
        return {"callback": lambda *_: between_steps(), "callback_steps": 1}

    def step(_pipeline: object, _step: int, _time: object, values: dict[str, Any]) -> Any:  # noqa: ANN401
        between_steps()
        return values

    return {"callback_on_step_end": step}


def _video(is_video: bool, recipe: Recipe, takes: set[str]) -> dict[str, Any]:  # noqa: FBT001
    if not is_video:
        return {}
    said = {"num_frames": recipe.frames or 1, "output_type": "pil"}
    # LTX-Video conditions on the rate; the others only have one.
    return said | ({"frame_rate": recipe.fps} if recipe.fps and "frame_rate" in takes else {})

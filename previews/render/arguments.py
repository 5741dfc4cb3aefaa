"""Arguments of a pipeline that are the same for all pictures of a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from previews.render.bases.bases_file import Base
    from previews.render.families import Family
    from previews.render.recipe import Recipe


def shared_arguments(base: Base, family: Family, recipe: Recipe) -> dict[str, Any]:
    """Return settings and negative prompt as arguments of diffusers' pipelines of a family.

    Some pipelines do not take all of them: ``negative_prompt``, ``frame_rate``.
    """
    found: dict[str, Any] = {
        "num_inference_steps": recipe.steps,
        family.guidance_as: recipe.guidance,
        "width": recipe.width,
        "height": recipe.height,
        **(_of_video(recipe) if base.output == "video" else {}),
        **_call(base, family),
    }
    negative = recipe.negative or family.negative
    if negative and family.negative_as:
        found[family.negative_as] = negative
    return found


def _of_video(recipe: Recipe) -> dict[str, Any]:
    # Only LTX-Video uses the frame rate.
    return {"num_frames": recipe.frames or 1} | ({"frame_rate": recipe.fps} if recipe.fps else {})


def _call(base: Base, family: Family) -> Mapping[str, Any]:
    """Return further arguments; those of a base that another worker announced are not known."""
    return base.call or family.call

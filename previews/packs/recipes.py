"""Recipes of packs: a variant of a manifest, a base model and some subjects become a recipe.

The template is applied to each subject and is literal otherwise. Settings that the variant leaves
open are those of the base; the others are limited to what try-outs on the base may have.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from django.utils.translation import gettext as _

from previews.models import Layer, Render
from previews.render import Base, Recipe, RecipeInvalid
from previews.render.defaults import recipe_of as recipe_of_base
from previews.tryouts.requests import Limits, limits_of, nothing_described, text_fault
from registry.errors import Invalid
from registry.models import PackVariant
from registry.packs.manifest import prompt_of

#: Highest guidance and number of steps of a recipe.
MOST_GUIDANCE, MOST_STEPS = 50.0, 200
_STEP = 8


def recipe_of(
    variant: Mapping[str, Any], base: Base, *, prompts: Sequence[str], seed: int, compares: bool
) -> Recipe:
    """Return the recipe of a variant for some subjects.

    Args:
        variant: A variant of a pack version's manifest, see ``document_of``.
        base: A base model of its family, with its output.
        prompts: The subjects, which must differ.
        seed: The seed of all pictures.
        compares: Whether each subject is rendered without the pack too, at strength 0: without its
            adapters and its template, with the same seed and settings.

    Raises:
        Invalid: a subject is empty or too long; ``fields`` has the errors of ``prompt``.
    """
    subjects = tuple(_subject(prompt) for prompt in prompts)
    own = recipe_of_base(
        base,
        prompts=subjects,
        seeds=(seed,),
        strengths=(0.0, 1.0) if compares else (1.0,),
        trigger="literal",
    )
    limits = limits_of(base)
    width, height = _size(variant, limits)
    try:
        return replace(
            own,
            prompts=tuple(prompt_of(variant["prompt"], subject) for subject in subjects),
            plain=subjects if compares else (),
            negative=variant.get("negative", ""),
            steps=min(variant.get("steps", own.steps), limits.most_steps, MOST_STEPS),
            guidance=min(variant.get("guidance", own.guidance), MOST_GUIDANCE),
            width=width,
            height=height,
            frames=min(variant.get("frames", own.frames), own.frames),
            fps=variant.get("fps", own.fps) if own.frames else 0,
        )
    except RecipeInvalid as error:
        text = _("The prompt and the pack’s template are too long together. Shorten the prompt.")
        raise Invalid(text, fields={"prompt": [text]}) from error


def _subject(prompt: str) -> str:
    found = " ".join(prompt.split())
    fault = text_fault(prompt) or ("" if found else nothing_described())
    if fault:
        raise Invalid(fault, fields={"prompt": [fault]})
    return found


def _size(variant: Mapping[str, Any], limits: Limits) -> tuple[int, int]:
    """Return width and height of a variant, reduced to the limits of the base in its proportion."""
    if "width" not in variant:
        return limits.width, limits.height
    wide, high = variant["width"], variant["height"]
    (least_wide, most_wide), (least_high, most_high) = limits.widths, limits.heights
    area = math.sqrt(limits.most_pixels / (wide * high))
    factor = min(1.0, most_wide / wide, most_high / high, area)
    return max(least_wide, _step(wide * factor)), max(least_high, _step(high * factor))


def _step(side: float) -> int:
    # A rounding error must not cost a whole step.
    return math.floor(side / _STEP + 1e-6) * _STEP


def document_of(variant: PackVariant) -> Mapping[str, Any]:
    """Return a variant as its version's manifest has it."""
    found: Mapping[str, Any] = variant.version.manifest["variants"][variant.position]
    return found


def layers_of(variant: PackVariant, render: Render) -> list[Layer]:
    """Return the layers of a render of a variant, not yet saved: its parts in order.

    Each has ``version``, ``file`` and ``strength``.
    """
    parts = variant.parts.select_related("adapter_version__adapter__namespace", "file__blob")
    return [
        Layer(
            render=render,
            position=part.position,
            version=part.adapter_version,
            file=part.file,
            strength=part.strength,
        )
        for part in parts
    ]

"""Settings that this hub renders variants of packs with, for those who render them elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from previews import worker_bases
from previews.packs.recipes import MOST_GUIDANCE, MOST_STEPS, recipe_of
from previews.render import Base
from previews.render.arguments import shared_arguments
from previews.render.families import family_of

_NAMES = ("steps", "guidance", "width", "height", "frames", "fps")
_SUBJECT = "subject"


class Settings:
    """Settings of variants; base models are looked up once for each family and output."""

    def __init__(self) -> None:
        self._bases: dict[tuple[str, str], Base | None] = {}

    def of(self, variant: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a variant is rendered with.

        If this hub has no base model of the family, the settings are the variant's own, filled in
        with the usual ones of the family.

        Args:
            variant: A variant of a manifest.

        Returns:
            Base model (empty without one), settings, negative prompt, sampler (empty for the base
            model's own), and ``arguments`` of diffusers' pipeline except the prompt. ``frames`` and
            ``fps`` are 0 for pictures.
        """
        base = self._base(variant)
        recipe = recipe_of(variant, base, prompts=[_SUBJECT], seed=0, compares=False)
        return {
            "base": base.id,
            **{name: getattr(recipe, name) for name in _NAMES},
            "negative": recipe.negative or family_of(base.family).negative,
            "sampler": recipe.sampler,
            "arguments": shared_arguments(base, family_of(base.family), recipe),
        }

    def _base(self, variant: Mapping[str, Any]) -> Base:
        key = variant["family"], variant["output"]
        if key not in self._bases:
            self._bases[key] = worker_bases.base_for(*key)
        return self._bases[key] or _usual(variant)


def _usual(variant: Mapping[str, Any]) -> Base:
    """Return an imaginary base model whose limits are wide enough for the variant's own settings.

    Manifests allow more steps and guidance than recipes have.
    """
    own = {name: variant[name] for name in _NAMES if name in variant}
    settings = {**family_of(variant["family"]).defaults, **own}
    for name, most in (("steps", MOST_STEPS), ("guidance", MOST_GUIDANCE)):
        if name in settings:
            settings[name] = min(settings[name], most)
    known = {name: settings[name] for name in _NAMES if name in settings}
    if variant["output"] == "video":
        known = {"frames": 16, "fps": 8, **known}
    return Base(
        id="",
        family=variant["family"],
        location="",
        is_local=False,
        output=variant["output"],
        **known,
    )

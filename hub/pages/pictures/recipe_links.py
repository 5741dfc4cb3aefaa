"""Settings to reproduce a picture: a link to the mixer, or text to paste."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.urls import reverse

from hub.pages.mixer.mix import Mix, MixRow
from hub.pages.pictures.strength_slider import Sweep
from hub.templatetags.lorary import strength as written
from previews import worker_bases
from previews.render.recipe import MAX_PROMPT_CHARACTERS
from registry.models import OUT_STATES, Version
from registry.versions.selectors import name_of

#: How other tools name adapters inside a prompt; the mixer lists them apart from it.
_TAG = re.compile(r"\s{0,99}<(?:lora|lyco|hypernet):[^<>]{1,200}>")


@dataclass(frozen=True, slots=True)
class PictureRecipe:
    """The settings of a picture: ``url`` of the mixer, "" if it cannot render it; ``text``."""

    prompt: str
    negative: str
    settings: str
    url: str
    text: str


def recipe_of_sweep(version: Version, sweep: Sweep, recipe: Mapping[str, Any]) -> PictureRecipe:
    """Return the settings of the chosen picture of a sweep."""
    picture = sweep.live.picture
    facts = {"negative": recipe.get("negative"), "seed": picture.seed}
    prompts = recipe.get("prompts") or []
    bare = dict(enumerate(prompts)).get(picture.prompt_index, picture.prompt)
    url = mixer_url(version, {**facts, "prompt": bare}, strength=picture.strength, is_plain=False)
    return PictureRecipe(
        prompt=picture.prompt,
        negative=str(recipe.get("negative") or ""),
        settings=sweep.settings,
        url=url if can_render(version) else "",
        text=sweep.live.recipe.infotext if sweep.live.recipe else "",
    )


def can_render(version: Version) -> bool:
    """Return whether the mixer can render a version here."""
    return version.state in OUT_STATES and worker_bases.base_for(version.family) is not None


def mixer_url(
    version: Version, facts: Mapping[str, Any], *, strength: float, is_plain: bool
) -> str:
    """Return the URL of the mixer with the settings of a picture.

    Args:
        facts: ``prompt``, ``negative`` and ``seed``, as far as they are known.
        is_plain: Whether the prompt already contains the trigger words.
    """
    fields = {
        "prompt": _TAG.sub("", str(facts.get("prompt", "")))[:MAX_PROMPT_CHARACTERS].strip(),
        "negative": str(facts.get("negative") or ""),
        "seed": str(facts.get("seed", "")),
        "plain": "on" if is_plain else "",
    }
    row = MixRow(name_of(version), written(strength))
    return f"{reverse('mixer')}?{Mix((row,), fields).address}"

"""SwarmUI: presets as its “Import Presets” window takes them, by title.

Values of parameters are strings; lists are separated by commas. ``{value}`` in the prompt stands
for what the user typed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lorary.anatomy import family_title
from lorary.client.errors import Invalid
from lorary.exports import prompts
from lorary.exports.samplers import sampler_of

if TYPE_CHECKING:
    from lorary.exports.look import Look

#: Families that guide by an input of the model instead of a negative prompt.
_DISTILLED = frozenset({"flux1", "flux2_dev", "hunyuan_video"})
#: Families of pictures that SwarmUI moves only with other models, so that there is no such preset.
_STILL = frozenset({"sd1", "sd2", "sdxl", "miniature"})


def refusal(family: str, output: str) -> str:
    """Return why there is no preset for such variants; empty if there is one."""
    if output == "video" and family in _STILL:
        return f"SwarmUI makes no videos with {family_title(family)}."
    return ""


def presets(look: Look) -> dict[str, object]:
    """Return a file with one preset. Raises Invalid: the name of a file has a comma."""
    for part in look.parts:
        if "," in part.file_name:
            msg = f"SwarmUI takes no commas in names of LoRAs: {part.file_name}"
            raise Invalid(msg)
    title = f"{look.pack} {look.variant}"
    made = {
        "title": title,
        "author": look.pack.partition("/")[0],
        "description": f"{look.title}. Files: {look.pull_command} --to Models/Lora",
        "preview_image": "",
        "is_starred": False,
        "param_map": _parameters(look),
    }
    return {title: made}


def _parameters(look: Look) -> dict[str, str]:
    before, after = map(prompts.swarmui, look.around)
    sampler, scheduler = sampler_of(look.family, look.sampler).comfyui
    guidance = prompts.strength(look.guidance)
    is_distilled = look.family in _DISTILLED
    found = {
        "prompt": f"{before}{{value}}{after}",
        "negativeprompt": prompts.swarmui(look.negative),
        "loras": ",".join(part.model_name for part in look.parts),
        "loraweights": ",".join(prompts.strength(part.strength) for part in look.parts),
        "steps": str(look.steps),
        "cfgscale": "1" if is_distilled else guidance,
        "aspectratio": "Custom",
        "width": str(look.width),
        "height": str(look.height),
        "sampler": sampler,
        "scheduler": scheduler,
    }
    if is_distilled:
        found["fluxguidancescale"] = guidance
    if look.is_video:
        found |= {"textvideoframes": str(look.frames), "videofps": str(look.fps)}
    return found

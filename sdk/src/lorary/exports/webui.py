"""A1111 and Forge: the text that their “Read generation parameters” button takes apart.

```
noir style, {prompt}, at dusk <lora:studio--noir:0.8>
Negative prompt: blurry
Steps: 30, Sampler: Euler, Schedule type: Automatic, CFG scale: 6, Seed: -1, Size: 1024x1024
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lorary.anatomy import family_title
from lorary.client.packs import PLACEHOLDER
from lorary.exports import prompts
from lorary.exports.samplers import sampler_of

if TYPE_CHECKING:
    from lorary.exports.look import Look

#: Base models that each of them renders. The miniature has the shape of Stable Diffusion 1.
_STABLE = frozenset({"sd1", "sd2", "sdxl", "miniature"})
_A1111 = _STABLE | {"sd3", "sd35_medium", "sd35_large"}
_FORGE = _STABLE | {"flux1"}


def a1111_refusal(family: str, output: str) -> str:
    """Return why A1111 renders no such variants; empty if it does."""
    return _refusal("A1111", _A1111, family, output)


def forge_refusal(family: str, output: str) -> str:
    """Return why Forge renders no such variants; empty if it does."""
    return _refusal("Forge", _FORGE, family, output)


def _refusal(tool: str, families: frozenset[str], family: str, output: str) -> str:
    if output == "video":
        return f"{tool} does not render videos, and this variant makes videos."
    return "" if family in families else f"{tool} does not render {family_title(family)}."


def text(look: Look) -> str:
    """Return the text."""
    before, after = map(prompts.webui, look.around)
    tags = " ".join(f"<lora:{part.stem}:{prompts.strength(part.strength)}>" for part in look.parts)
    lines = [f"{before}{PLACEHOLDER}{after} {tags}"]
    if look.negative.strip() and look.family != "flux1":
        lines.append(f"Negative prompt: {prompts.webui(look.negative)}")
    return "\n".join([*lines, ", ".join(_settings(look))])


def _settings(look: Look) -> list[str]:
    sampler, schedule = sampler_of(look.family, look.sampler).webui
    # FLUX takes its guidance as an input, and is not guided by a negative prompt.
    distilled = look.family == "flux1"
    guidance = prompts.strength(look.guidance)
    return [
        f"Steps: {look.steps}",
        f"Sampler: {sampler}",
        f"Schedule type: {schedule}",
        f"CFG scale: {1 if distilled else guidance}",
        *([f"Distilled CFG Scale: {guidance}"] if distilled else []),
        "Seed: -1",
        f"Size: {look.width}x{look.height}",
    ]

"""Downloads of a variant as files for other tools, which the API makes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _

from lorary.exports import TOOLS, tools_for

if TYPE_CHECKING:
    from registry.models import PackVariant, PackVersion

#: Tool to its folder for LoRAs; diffusers takes any.
_FOLDERS = {
    "comfyui": "ComfyUI/models/loras",
    "a1111": "stable-diffusion-webui/models/Lora",
    "forge": "stable-diffusion-webui-forge/models/Lora",
    "diffusers": "loras",
    "invokeai": "loras",
    "swarmui": "SwarmUI/Models/Lora",
}


@dataclass(frozen=True, slots=True)
class ToolLine:
    """A tool with its downloads, as label and address, and where the files go."""

    title: str
    files: tuple[tuple[str, str], ...]
    folder: str


def tool_lines(version: PackVersion, variant: PackVariant) -> list[ToolLine]:
    """Return the tools that have an export for a variant."""
    return [
        ToolLine(TOOLS[tool], tuple(_files(version, variant, tool)), _FOLDERS[tool])
        for tool in tools_for(variant.family, variant.output)
    ]


def _files(version: PackVersion, variant: PackVariant, tool: str) -> Iterator[tuple[str, str]]:
    place = reverse("api-pack-export", args=[version.pack.owner, version.pack.name, version.name])
    labels = {
        "comfyui": _("Workflow"),
        "diffusers": _("Script"),
        "invokeai": _("Workflow"),
        "swarmui": _("Preset"),
    }
    query = {"for": tool, "variant": variant.name}
    first = {**query, "form": "ui"} if tool == "comfyui" else query
    yield labels.get(tool, _("Prompt and settings")), f"{place}?{urlencode(first)}"
    if tool == "comfyui":
        yield _("Workflow for its API"), f"{place}?{urlencode({**query, 'form': 'api'})}"

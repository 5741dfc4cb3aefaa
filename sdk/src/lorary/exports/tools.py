"""The tools that packs are exported for."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lorary.client.errors import Invalid
from lorary.exports import comfyui, comfyui_canvas, diffusers, invokeai, swarmui, webui

if TYPE_CHECKING:
    from lorary.exports.look import Look

_JSON, _TEXT, _PYTHON = "application/json", "text/plain", "text/x-python"


@dataclass(frozen=True, slots=True)
class Export:
    """A file for a tool."""

    tool: str
    file_name: str
    media_type: str
    text: str


@dataclass(frozen=True, slots=True)
class _Kind:
    write: Callable[[Look], str | Mapping[str, object]]
    suffix: str
    media_type: str


#: Id to the tool's name.
TOOLS = {
    "comfyui": "ComfyUI",
    "a1111": "A1111",
    "forge": "Forge",
    "diffusers": "diffusers",
    "invokeai": "InvokeAI",
    "swarmui": "SwarmUI",
}
#: Forms of a ComfyUI workflow: for ``POST /prompt``, and as the canvas opens it.
FORMS = ("api", "ui")

_KINDS: Mapping[tuple[str, str], _Kind] = {
    ("comfyui", "api"): _Kind(comfyui.workflow, "comfyui-api.json", _JSON),
    ("comfyui", "ui"): _Kind(comfyui_canvas.workflow, "comfyui.json", _JSON),
    ("a1111", ""): _Kind(webui.for_a1111, "a1111.txt", _TEXT),
    ("forge", ""): _Kind(webui.for_forge, "forge.txt", _TEXT),
    ("diffusers", ""): _Kind(diffusers.script, "py", _PYTHON),
    ("invokeai", ""): _Kind(invokeai.workflow, "invokeai.json", _JSON),
    ("swarmui", ""): _Kind(swarmui.presets, "swarmui.json", _JSON),
}


def export(look: Look, tool: str, form: str = "") -> Export:
    """Return a variant as a file for a tool.

    Args:
        look: The variant.
        tool: One of `TOOLS`.
        form: Only for ComfyUI: one of `FORMS`; empty for ``api``.

    Raises:
        Invalid: there is no such tool or form, or the tool has none for this base model or for
            videos.
    """
    if tool not in TOOLS:
        msg = f"There is no export for “{tool[:100]}”. Choose one of {', '.join(TOOLS)}."
        raise Invalid(msg)
    if tool == "comfyui":
        form = form or FORMS[0]
    kind = _KINDS.get((tool, form))
    if kind is None:
        msg = f"{TOOLS[tool]} has no form “{form[:100]}”. Only ComfyUI has forms: api and ui."
        raise Invalid(msg)
    made = kind.write(look)
    text = made if isinstance(made, str) else json.dumps(made, indent=2, ensure_ascii=False)
    name = f"{look.pack.replace('/', '--')}.{look.variant}.{kind.suffix}"
    return Export(tool, name, kind.media_type, text.rstrip("\n") + "\n")


def has_export(look: Look, tool: str) -> bool:
    """Return whether a tool has an export for a variant."""
    try:
        export(look, tool)
    except Invalid:
        return False
    return True

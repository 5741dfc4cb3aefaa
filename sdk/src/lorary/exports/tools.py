"""The tools that packs are exported for."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lorary.client.errors import Invalid
from lorary.exports import comfyui, comfyui_canvas, diffusers, invokeai, swarmui, webui
from lorary.exports.kinds import FORMS, TOOLS

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
    refusal: Callable[[str, str], str] = lambda _family, _output: ""


_KINDS: Mapping[tuple[str, str], _Kind] = {
    ("comfyui", "api"): _Kind(comfyui.workflow, "comfyui-api.json", _JSON, comfyui.refusal),
    ("comfyui", "ui"): _Kind(comfyui_canvas.workflow, "comfyui.json", _JSON, comfyui.refusal),
    ("a1111", ""): _Kind(webui.text, "a1111.txt", _TEXT, webui.a1111_refusal),
    ("forge", ""): _Kind(webui.text, "forge.txt", _TEXT, webui.forge_refusal),
    ("diffusers", ""): _Kind(diffusers.script, "py", _PYTHON),
    ("invokeai", ""): _Kind(invokeai.workflow, "invokeai.json", _JSON, invokeai.refusal),
    ("swarmui", ""): _Kind(swarmui.presets, "swarmui.json", _JSON, swarmui.refusal),
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
    kind = _kind(tool, form)
    if refusal := kind.refusal(look.family, look.output):
        raise Invalid(refusal)
    made = kind.write(look)
    text = made if isinstance(made, str) else json.dumps(made, indent=2, ensure_ascii=False)
    name = f"{look.pack.replace('/', '--')}.{look.variant}.{kind.suffix}"
    return Export(tool, name, kind.media_type, text.rstrip("\n") + "\n")


def tools_for(family: str, output: str) -> list[str]:
    """Return the tools that have an export for variants of a family with an output."""
    return [tool for tool in TOOLS if not _kind(tool, "").refusal(family, output)]


def _kind(tool: str, form: str) -> _Kind:
    if tool not in TOOLS:
        msg = f"There is no export for “{tool[:100]}”. Choose one of: {', '.join(TOOLS)}."
        raise Invalid(msg)
    if tool != "comfyui" and form:
        msg = f"There is only one form for {TOOLS[tool]}. Leave it out."
        raise Invalid(msg)
    found = _KINDS.get((tool, (form or FORMS[0]) if tool == "comfyui" else ""))
    if found is None:
        msg = f"There is no form “{form[:100]}”. Choose one of: {', '.join(FORMS)}."
        raise Invalid(msg)
    return found

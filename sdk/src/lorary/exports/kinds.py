"""What packs are exported for; to import this is cheap."""

from __future__ import annotations

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

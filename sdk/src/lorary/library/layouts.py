"""Where programs look for adapters, below their own folder.

A hub has adapters only: LoRA, LyCORIS, DoRA and other methods. All these programs load them from
one folder, whatever the method. In A1111, Forge and SwarmUI the folder is a default that a setting
can change.

Source: ComfyUI ``folder_paths.py``; A1111 and Forge ``extensions-builtin`` (``--lora-dir``);
SwarmUI ``Settings.cs`` (``SDLoraFolder``); InvokeAI documentation of its configuration.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

FLAT = "flat"

#: Layout to its folder, as a path with forward slashes; empty for the root itself.
LAYOUTS: Mapping[str, str] = MappingProxyType(
    {
        FLAT: "",
        "comfyui": "models/loras",
        "a1111": "models/Lora",
        "forge": "models/Lora",
        # InvokeAI owns its folder `models` and moves files in it; this one it imports from.
        "invokeai": "autoimport/lora",
        "swarmui": "Models/Lora",
    }
)

"""Nodes for ComfyUI that load adapters and packs of a Lorary hub by name.

ComfyUI imports this folder from ``custom_nodes`` and reads the names below.
"""

from __future__ import annotations

from . import routes
from .nodes import LoadLora, LoadPack

#: Folder with the script of the search, which ComfyUI's page loads.
WEB_DIRECTORY = "web"
NODE_CLASS_MAPPINGS = {"LoraryLoadLora": LoadLora, "LoraryLoadPack": LoadPack}
NODE_DISPLAY_NAME_MAPPINGS = {
    "LoraryLoadLora": "Load LoRA from Lorary",
    "LoraryLoadPack": "Load Pack from Lorary",
}

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS", "WEB_DIRECTORY"]

routes.add()

"""Exports of packs: a variant as a file that another tool opens. No network, no other packages.

```
look.py         a variant with the names that `pull` gives its files
kinds.py        names of the tools
tools.py        their exports, `export`
prompts.py      templates in the prompt syntax of each tool
samplers.py     names of samplers in each tool
comfyui.py      a workflow in API form, and from it the UI form (comfyui_canvas.py)
webui.py        A1111 and Forge: prompt, negative prompt and settings as one text
diffusers.py    a script for diffusers
invokeai.py     a workflow
swarmui.py      a preset
```

Tools load the files from their own folder for LoRAs, in which ``lorary pull pack:… --to DIR`` put
them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lorary.exports.kinds import FORMS, TOOLS
from lorary.lazy import names_of

if TYPE_CHECKING:
    from lorary.exports.look import Look, LookPart, look_of
    from lorary.exports.tools import Export, export, tools_for

__all__ = ["FORMS", "TOOLS", "Export", "Look", "LookPart", "export", "look_of", "tools_for"]

_NAMES = {
    "lorary.exports.look": ["Look", "LookPart", "look_of"],
    "lorary.exports.tools": ["Export", "export", "tools_for"],
}

__getattr__, __dir__ = names_of(__name__, _NAMES)

"""Facts about families of base models, from ``families/*.toml``.

```toml
families = ["qwen_image"]                 # ids of lorary.anatomy that this file describes
pipelines = ["QwenImagePipeline"]         # classes of diffusers that can be called like this
medium = "image"                          # or "video"
parts = ["transformer"]                   # components that adapters can change
guidance_as = "true_cfg_scale"            # argument of the pipeline for the recipe's guidance
negative_as = "negative_prompt"           # argument for the negative prompt, "" if there is none
negative = " "                            # negative prompt if the recipe has none
[defaults]                                # for keys that a [bases.NAME] table leaves out
steps = 50
[call]                                    # further arguments of the pipeline
max_sequence_length = 512
[native]                                  # module names of the original code → diffusers' names
"blocks.*.attn.qkv" = ["blocks.*.attn.to_q", "blocks.*.attn.to_k", "blocks.*.attn.to_v"]
[only.ID.defaults]                        # differences of one family; also [only.ID.call]
```

A family without a file is called like Stable Diffusion.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

FOLDER = Path(__file__).with_name("families")


@dataclass(frozen=True, slots=True)
class Family:
    """How pipelines of a family are called; the fields are those of the file."""

    id: str
    pipelines: tuple[str, ...] = ()
    medium: Literal["image", "video"] = "image"
    parts: tuple[str, ...] = ()
    guidance_as: str = "guidance_scale"
    negative_as: str = "negative_prompt"
    negative: str = ""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    call: Mapping[str, Any] = field(default_factory=dict)
    native: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def family_of(family: str) -> Family:
    """Return the description of a family; the plain one if it has no file."""
    return described().get(family) or Family(family)


@cache
def described() -> Mapping[str, Family]:
    """Return all descriptions by family id."""
    return {family.id: family for file in sorted(FOLDER.glob("*.toml")) for family in _read(file)}


def _read(file: Path) -> list[Family]:
    document = tomllib.loads(file.read_text(encoding="utf-8"))
    only, ids = document.pop("only", {}), document.pop("families")
    native = document.pop("native", {}).items()
    names = {key: (to,) if isinstance(to, str) else tuple(to) for key, to in native}
    defaults, call = document.pop("defaults", {}), document.pop("call", {})
    return [
        Family(
            family,
            **document | {key: tuple(document[key]) for key in ("pipelines", "parts")},
            native=names,
            defaults=defaults | only.get(family, {}).get("defaults", {}),
            call=call | only.get(family, {}).get("call", {}),
        )
        for family in ids
    ]

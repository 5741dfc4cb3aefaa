"""Names of tensors in adapter files: which module, and which part of its update.

```
lora_unet_down_blocks_0_…_to_q.lora_down.weight          kohya: module path flattened with “_”
unet.down_blocks.0.….to_q.lora_A.weight                  diffusers, PEFT
unet.down_blocks.0.….to_q.lora.down.weight               diffusers' training scripts
unet.….attn1.processor.to_q_lora.down.weight             diffusers before PEFT
base_model.model.….to_q.lora_A.default.weight            PEFT
└────────────── module ──────────────┘└── part ─┘
```

The module is never guessed from its spelling: ``modules.py`` looks it up among the modules of
the loaded base.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from previews.render.errors import CannotRender, Why

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Key", "Part", "group", "split"]

Part = Literal["down", "up", "mid", "alpha", "magnitude"]

_PARTS: tuple[tuple[re.Pattern[str], Part], ...] = (
    (re.compile(r"\.(?:lora_down|lora\.down|lora_linear_layer\.down)\.weight\Z"), "down"),
    (re.compile(r"\.(?:lora_up|lora\.up|lora_linear_layer\.up)\.weight\Z"), "up"),
    (re.compile(r"\.lora_A(?:\.[^.]+)?\.weight\Z"), "down"),
    (re.compile(r"\.lora_B(?:\.[^.]+)?\.weight\Z"), "up"),
    (re.compile(r"\.lora_mid\.weight\Z"), "mid"),
    (re.compile(r"\.alpha\Z"), "alpha"),
    (re.compile(r"\.dora_scale\Z"), "magnitude"),
    (re.compile(r"\.lora_magnitude_vector(?:\.[^.]+)?\Z"), "magnitude"),
)
_OLD = re.compile(r"\.processor\.(to_q|to_k|to_v|to_out)_lora\.(down|up)\.weight\Z")
_FOREIGN = (
    ("LoHa", re.compile(r"\.hada_\w+\Z")),
    ("LoKr", re.compile(r"\.lokr_\w+\Z")),
    ("OFT", re.compile(r"\.b?oft_\w+(\.weight)?\Z")),
    ("(IA)³", re.compile(r"\.on_input\Z|\.ia3_l(\.\w+)?\Z")),
    ("full weight differences", re.compile(r"\.diff(_b)?\Z")),
    ("norm training", re.compile(r"\.[wb]_norm\Z")),
    ("GLoRA", re.compile(r"\.[ab][12]\.weight\Z")),
    ("LoRA with biases", re.compile(r"\.lora_B(\.[^.]+)?\.bias\Z")),
)


@dataclass(frozen=True, slots=True)
class Key:
    """A tensor's name taken apart."""

    name: str
    module: str
    part: Part


def split(name: str) -> Key:
    """Take a tensor's name apart.

    Raises:
        CannotRender: ``algorithm`` for updates that are no LoRA, ``keys`` for unknown names.
    """
    old = _OLD.search(name)
    if old:
        module = f"{name[: old.start()]}.{old[1]}" + (".0" if old[1] == "to_out" else "")
        return Key(name, module, "down" if old[2] == "down" else "up")
    for pattern, part in _PARTS:
        found = pattern.search(name)
        if found:
            return Key(name, name[: found.start()], part)
    for algorithm, pattern in _FOREIGN:
        if pattern.search(name):
            msg = f"This file uses {algorithm}, which the renderer does not read yet."
            raise CannotRender(Why.ALGORITHM, msg)
    msg = f"This file has a tensor that belongs to no LoRA: {name[:120]}"
    raise CannotRender(Why.KEYS, msg)


def group(names: Iterable[str]) -> dict[str, dict[Part, str]]:
    """Return for each module in the file its parts, as names of tensors; order as given.

    Raises:
        CannotRender: unreadable names; a module without its pair; one module written twice.
    """
    modules: dict[str, dict[Part, str]] = {}
    for key in map(split, names):
        parts = modules.setdefault(key.module, {})
        if key.part in parts:
            msg = f"This file holds a module twice: {key.module[:120]}"
            raise CannotRender(Why.KEYS, msg)
        parts[key.part] = key.name
    if not modules:
        raise CannotRender(Why.EMPTY, "This file holds no LoRA modules.")
    for module, parts in modules.items():
        if not {"down", "up"} <= parts.keys():
            msg = f"Half of a module is missing from this file: {module[:120]}"
            raise CannotRender(Why.INCOMPLETE, msg)
    return modules

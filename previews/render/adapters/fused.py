"""One module in the file, several in diffusers: ``qkv`` of the original code is three layers here.

The rows of a fused layer are those of its parts, one after the other. So is its update, exactly:

    [q; k; v] + B A  =  [q + B_q A; k + B_k A; v + B_v A],   B = [B_q; B_k; B_v]
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import torch

from previews.render.errors import CannotRender, Why

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from previews.render.adapters.base_modules import Slot, Table

__all__ = ["unfused"]

#: Tensors that every part has in common, and those that are cut by rows.
_SHARED = re.compile(r"\.(alpha|(lora_down|lora\.down)\.weight|lora_A(\.[^.]+)?\.weight)\Z")
_ROWS = re.compile(
    r"\.((lora_up|lora\.up)\.weight|lora_B(\.[^.]+)?\.weight"
    r"|dora_scale|lora_magnitude_vector(\.[^.]+)?)\Z"
)
_UP = re.compile(r"\.((lora_up|lora\.up)\.weight|lora_B(\.[^.]+)?\.weight)\Z")


def unfused(tensors: Mapping[str, Tensor], table: Table) -> dict[str, Tensor]:
    """Return the tensors with fused modules taken apart; all others stay as they are.

    Raises:
        CannotRender: ``shape`` where the rows are not those of the parts together.
    """
    result: dict[str, Tensor] = {}
    # Other methods have an alpha too, and are taken apart when their update is known.
    pairs = {name[: up.start()] for name in tensors if (up := _UP.search(name))}
    for name, tensor in tensors.items():
        found = _SHARED.search(name) or _ROWS.search(name)
        module = name[: found.start()] if found else ""
        slots = table.find_fused(module) if module in pairs else ()
        if not (found and slots):
            result[name] = tensor
            continue
        parts = _rows(tensor, slots, name) if _ROWS.search(name) else [tensor] * len(slots)
        for slot, part in zip(slots, parts, strict=True):
            result[f"{slot.path}{found.group()}"] = part
    return result


def _rows(tensor: Tensor, slots: tuple[Slot, ...], name: str) -> list[Tensor]:
    sizes = [slot.shape[0] for slot in slots]
    if tensor.ndim == 0 or tensor.shape[0] != sum(sizes):
        msg = (
            f"This file was made for another base model: {name[:120]} has "
            f"{tuple(tensor.shape)}, the base's modules have {sizes} rows."
        )
        raise CannotRender(Why.SHAPE, msg)
    return list(torch.split(tensor, sizes))

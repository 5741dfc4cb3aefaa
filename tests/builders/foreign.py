"""Headers of files that are no adapters, built from the layers of base models."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from lorary.anatomy.families import families
from tests.builders.modules import header

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.builders.modules import Shapes


def checkpoint(family: str, naming: str, prefix: str = "") -> Shapes:
    """The layers of a base model."""
    modules = families()[family].namings[naming]
    return {f"{prefix}{path}.weight": shape for path, shape in modules.items()}


def _encoder_half(family: str) -> Shapes:
    last = ("output_blocks", "out.")
    return {
        name: shape
        for name, shape in checkpoint(family, "sgm").items()
        if not name.startswith(last)
    }


def controlnet(family: str) -> Shapes:
    """A ControlNet of the original layout: half a UNet, the way of the hint, and zero layers."""
    own: Shapes = {f"zero_convs.{number}.0.weight": (320, 320, 1, 1) for number in range(12)}
    own |= {"input_hint_block.0.weight": (16, 3, 3, 3), "middle_block_out.0.weight": (8, 8, 1, 1)}
    return {f"control_model.{name}": shape for name, shape in (_encoder_half(family) | own).items()}


def control_lora(family: str, rank: int = 64) -> Shapes:
    """Stability's Control-LoRA: the same half in two factors for each layer."""
    found: Shapes = {"lora_controlnet": (0,), "input_hint_block.0.weight": (16, 3, 3, 3)}
    for name, shape in _encoder_half(family).items():
        stem = name.removesuffix(".weight")
        found[f"{stem}.down"] = (rank, *shape[1:])
        found[f"{stem}.up"] = (shape[0], rank, *(1 for _ in shape[2:]))
    return found


def lllite(family: str) -> Shapes:
    """A ControlNet-LLLite of kohya's trainer."""
    ends = ("attn1.to_q", "attn1.to_k", "attn1.to_v", "attn2.to_q")
    found: Shapes = {}
    for name, shape in _encoder_half(family).items():
        stem = name.removesuffix(".weight")
        if stem.endswith(ends):
            flat = f"lllite_unet_{stem.replace('.', '_')}"
            found[f"{flat}.down.0.weight"] = (64, shape[1])
            found[f"{flat}.up.0.weight"] = (shape[1], 64)
    return found


def ip_adapter(family: str) -> Shapes:
    """An IP-Adapter: a key and a value layer for each cross-attention."""
    found: Shapes = {"image_proj.norm.weight": (768,)}
    keys = [
        shape
        for path, shape in families()[family].namings["diffusers"].items()
        if path.endswith("attn2.to_k")
    ]
    for number, shape in enumerate(keys):
        found[f"ip_adapter.{2 * number + 1}.to_k_ip.weight"] = shape
        found[f"ip_adapter.{2 * number + 1}.to_v_ip.weight"] = shape
    return found


def motion(*widths: int, inner: str = "") -> Shapes:
    """A motion module with these levels."""
    return {
        f"down_blocks.{level}.motion_modules.{number}.{inner}proj_in.weight": (width, width)
        for level, width in enumerate(widths)
        for number in range(2)
    }


def write(place: Path, shapes: Shapes, metadata: Mapping[str, str] | None = None) -> None:
    """A sparse file, since a base model takes gigabytes."""
    tensors = header(shapes).tensors
    entries: dict[str, object] = {
        name: {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}
        for name, (dtype, shape, begin, end) in tensors.items()
    }
    text = json.dumps(entries | ({"__metadata__": dict(metadata)} if metadata else {})).encode()
    with place.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + max(tensor.end for tensor in tensors.values()))

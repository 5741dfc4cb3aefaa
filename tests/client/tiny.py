"""Adapters of a few hundred bytes, for folders with many of them."""

from __future__ import annotations

from typing import Any

from tests.builders.weights import safetensors

STEM = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"
_WAN = "diffusion_model.blocks.{}.self_attn.q"


def adapter(number: int = 0, *, width: int = 8, **metadata: str) -> bytes:
    """An adapter whose tensors depend on a number, with metadata."""
    names = {f"{STEM}.lora_down.weight": (4, width), f"{STEM}.lora_up.weight": (width, 4)}
    data = safetensors({name: ("F32", shape) for name, shape in names.items()}, metadata or None)
    return data[:-4] + number.to_bytes(4, "little")


def wan(number: int = 0, **metadata: str) -> bytes:
    """An adapter for Wan 14B, which has two halves."""
    shapes: dict[str, Any] = {}
    for block in range(40):
        name = _WAN.format(block)
        shapes[f"{name}.lora_A.weight"] = ("F16", (1, 5120))
        shapes[f"{name}.lora_B.weight"] = ("F16", (5120, 1))
    data = safetensors(shapes, metadata or None)
    return data[:-4] + number.to_bytes(4, "little")

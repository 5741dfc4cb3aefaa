"""Names of a UNet's modules in the original Stable Diffusion code.

SDXL adapters trained with kohya's scripts use that code's names (``input_blocks.4.1``) for blocks
that diffusers calls ``down_blocks.1.attentions.0``.
Source: diffusers ``scripts/convert_diffusers_to_original_stable_diffusion.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_OUTSIDE = {
    "conv_in": "input_blocks.0.0",
    "conv_out": "out.2",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
}


def ldm_names(unet: Any) -> dict[str, str]:  # noqa: ANN401 - diffusers is untyped
    """Return original names by diffusers' names, empty for other architectures."""
    if not all(hasattr(unet, part) for part in ("down_blocks", "mid_block", "up_blocks")):
        return {}
    blocks = dict(_blocks(unet))
    return {
        name: renamed
        for name, _ in unet.named_modules()
        if (renamed := _rename(name, blocks)) is not None
    }


def _rename(name: str, blocks: dict[str, str]) -> str | None:
    if name in _OUTSIDE:
        return _OUTSIDE[name]
    if name in blocks:
        return blocks[name]
    for prefix, target in blocks.items():
        if name.startswith(f"{prefix}."):
            rest = name[len(prefix) + 1 :]
            is_resnet = ".resnets." in f"{prefix}."
            return f"{target}.{_RESNET.get(rest, rest) if is_resnet else rest}"
    return None


def _blocks(unet: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401
    """Yield pairs of prefixes, diffusers' and the original's."""
    number = 1
    for i, block in enumerate(unet.down_blocks):
        for j in range(len(block.resnets)):
            yield from _layer(f"down_blocks.{i}", block, j, f"input_blocks.{number}")
            number += 1
        if getattr(block, "downsamplers", None):
            yield f"down_blocks.{i}.downsamplers.0.conv", f"input_blocks.{number}.0.op"
            number += 1
    for j in range(len(getattr(unet.mid_block, "attentions", None) or ())):
        yield f"mid_block.attentions.{j}", f"middle_block.{2 * j + 1}"
    for j in range(len(getattr(unet.mid_block, "resnets", ()))):
        yield f"mid_block.resnets.{j}", f"middle_block.{2 * j}"
    number = 0
    for i, block in enumerate(unet.up_blocks):
        for j in range(len(block.resnets)):
            yield from _layer(f"up_blocks.{i}", block, j, f"output_blocks.{number}")
            number += 1
        if getattr(block, "upsamplers", None):
            place = 2 if getattr(block, "attentions", None) else 1
            yield f"up_blocks.{i}.upsamplers.0", f"output_blocks.{number - 1}.{place}"


def _layer(path: str, block: Any, j: int, target: str) -> Iterator[tuple[str, str]]:  # noqa: ANN401
    yield f"{path}.resnets.{j}", f"{target}.0"
    if getattr(block, "attentions", None):
        yield f"{path}.attentions.{j}", f"{target}.1"

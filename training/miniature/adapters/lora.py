"""Low-rank layers in UNet and text encoder, and the strength they act with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor, nn

from training.miniature.stock import AttnProcessor, CLIPTextModel, UNet2DConditionModel

if TYPE_CHECKING:
    from pathlib import Path

    from training.miniature.stock import Part

UNET_TARGETS = [
    "to_q",
    "to_k",
    "to_v",
    "to_out.0",
    "proj_in",
    "proj_out",
    "ff.net.0.proj",
    "ff.net.2",
    "conv_in",
    "conv_out",
]
TEXT_TARGETS = ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]
_NAME = "default"


@dataclass(frozen=True)
class Adapted:
    """A frozen base with low-rank additions to attention, feed-forward, first and last layers."""

    unet: Part
    text_encoder: Part
    rank: int

    def layers(self) -> list[tuple[str, str, Any]]:
        """Return (component, module name, layer) of every adapted layer."""
        parts: list[tuple[str, nn.Module]] = [
            ("unet", self.unet),
            ("text_encoder", self.text_encoder),
        ]
        return [
            (component, name, module)
            for component, part in parts
            for name, module in part.named_modules()
            if hasattr(module, "lora_A") and _NAME in module.lora_A
        ]

    def weights(self) -> list[Tensor]:
        """Return the trainable weights."""
        parts = (self.unet, self.text_encoder)
        return [weight for part in parts for weight in part.parameters() if weight.requires_grad]

    def set_strength(self, strength: float) -> None:
        """Make every addition count `strength` times (alpha equals rank, so 1 is neutral).

        At 0 the additions are not even computed.
        """
        for _, _, layer in self.layers():
            layer.scaling[_NAME] = strength
            layer.enable_adapters(strength != 0)

    def matrices(self) -> dict[tuple[str, str], tuple[Tensor, Tensor]]:
        """Return down and up weights by (component, module name)."""
        return {
            (component, name): (layer.lora_A[_NAME].weight, layer.lora_B[_NAME].weight)
            for component, name, layer in self.layers()
        }


def inject(unet: Part, text_encoder: Part, rank: int) -> Adapted:
    """Freeze the base and add low-rank layers that start at zero effect."""
    for part, targets in ((unet, UNET_TARGETS), (text_encoder, TEXT_TARGETS)):
        part.requires_grad_(requires_grad=False)
        config = LoraConfig(
            r=rank, lora_alpha=rank, init_lora_weights="gaussian", target_modules=targets
        )
        inject_adapter_in_model(config, part, adapter_name=_NAME)
        for name, weight in part.named_parameters():
            weight.requires_grad = "lora_" in name
    return Adapted(unet, text_encoder, rank)


def adapt_base(base: Path, rank: int) -> Adapted:
    """Return an exported base, frozen, with fresh layers."""
    adapted = inject(
        UNet2DConditionModel.from_pretrained(base / "unet", dtype=torch.float32),
        CLIPTextModel.from_pretrained(base / "text_encoder", dtype=torch.float32),
        rank,
    )
    # As in the training of the base, for speed.
    adapted.unet.set_attn_processor(AttnProcessor())
    adapted.unet.to(memory_format=torch.channels_last)
    return adapted


def randomize(adapted: Adapted, spread: float) -> None:
    """Give the up weights random values, so that the adapter changes something."""
    with torch.no_grad():
        for _, up in adapted.matrices().values():
            up.normal_(std=spread)

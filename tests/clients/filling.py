"""Adapters that diffusers and PEFT load, on a shelf; importing it loads both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import diffusers
import peft

from tests.clients.shelf import Shelf, fill
from training.miniature.tiny import write_tiny_base, write_tiny_lora

if TYPE_CHECKING:
    from pathlib import Path

    from tests.running import RunningHub

__all__ = ["filled", "write_tiny_base"]


def filled(hub: RunningHub, base: Path, folder: Path) -> Shelf:
    """Publish two versions of ``studio/noir``, and what else `fill` makes."""
    names = [folder / name / "noir.safetensors" for name in ("new", "old")]
    for seed, path in enumerate(names):
        path.parent.mkdir()
        write_tiny_lora(path, seed=seed, spread=0.3)
    return fill(hub, folder, noir=names[0], older=names[1], peft=_trained(base, folder / "peft"))


def _trained(base: Path, folder: Path) -> Path:
    """Have PEFT write an adapter of random weights."""
    opener: Any = diffusers.UNet2DConditionModel
    unet = opener.from_pretrained(base, subfolder="unet")
    config = peft.LoraConfig(r=4, target_modules=["to_q", "to_v"], init_lora_weights=False)
    model: Any = peft.get_peft_model(unet, config)
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    return folder

"""A tiny base with a motion adapter of random weights, and a bases file with both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from training.miniature.motion.trainer import build_motion_adapter
from training.miniature.stock import UNet2DConditionModel

if TYPE_CHECKING:
    from pathlib import Path

FRAMES, FPS = 4, 4
SETTINGS = (
    'family = "miniature"\npath = "{base}"\ndevice = "cpu"\nsteps = 2\nguidance = 2.5\n'
    'width = 64\nheight = 64\ntrigger = "end"\n'
)
MOVING = f'output = "video"\nmotion = "motion"\nframes = {FRAMES}\nfps = {FPS}\n'


def write_motion(folder: Path, base: Path, seed: int = 0) -> Path:
    """Write a motion adapter that fits a base and moves at random."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        adapter = build_motion_adapter(UNet2DConditionModel.from_pretrained(base / "unet"))
        for name, weight in adapter.named_parameters():
            if "proj_out" in name:
                torch.nn.init.normal_(weight, std=0.05)
    adapter.save_pretrained(folder)
    return folder


def write_bases(file: Path, base: Path, *, is_still: bool = True, is_moving: bool = True) -> Path:
    """Write a bases file with the tiny base for pictures, for videos or for both."""
    settings = SETTINGS.format(base=base)
    still = f"[bases.tiny]\n{settings}" if is_still else ""
    moving = f"[bases.tiny-motion]\n{settings}{MOVING}" if is_moving else ""
    file.write_text(moving + still)  # pictures come first all the same
    return file

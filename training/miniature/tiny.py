"""A base and an adapter with random weights, of the miniature's layout, for quick tests."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import torch

from training.miniature.adapters.adapter_files import write
from training.miniature.adapters.lora import inject, randomize
from training.miniature.adapters.plans import PLANS
from training.miniature.networks import (
    TINY,
    build_autoencoder,
    build_pipeline,
    build_text_encoder,
    build_unet,
)
from training.miniature.tokenizer import sample_captions, train_tokenizer

if TYPE_CHECKING:
    from pathlib import Path


def write_tiny_base(folder: Path, seed: int = 0) -> Path:
    """Write a complete pipeline folder that renders noise in a fraction of a second.

    The same module names as the miniature at (16, 32, 32) channels; equal seeds give
    equal weights.
    """
    shutil.rmtree(folder, ignore_errors=True)
    tokenizer = train_tokenizer(sample_captions(200))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        pipeline = build_pipeline(
            build_autoencoder(TINY),
            build_text_encoder(tokenizer, TINY),
            tokenizer,
            build_unet(TINY),
        )
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder


def write_tiny_lora(path: Path, *, seed: int = 0, rank: int = 4, spread: float = 0.1) -> Path:
    """Write a kohya adapter with random weights that fits the tiny base."""
    tokenizer = train_tokenizer(sample_captions(50))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        adapted = inject(build_unet(TINY), build_text_encoder(tokenizer, TINY), rank)
        randomize(adapted, spread)
    write(path, adapted, PLANS["neon"], steps=0)
    return path

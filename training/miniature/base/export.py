"""Assembles the trained parts into one half-precision pipeline folder."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import torch

from training.miniature.networks import build_pipeline
from training.miniature.stock import (
    AutoencoderKL,
    CLIPTextModel,
    CLIPTokenizer,
    Pipeline,
    UNet2DConditionModel,
)

if TYPE_CHECKING:
    from pathlib import Path


def load_parts(work: Path) -> Pipeline:
    """Return a pipeline of the newest parts in the work folder.

    The refined decoder is preferred where there is one. Parts of a checkpoint are stored in half
    precision; all are loaded in full precision.
    """
    refined = work / "vae_refined"
    vae = refined if refined.exists() else work / "vae"
    return build_pipeline(
        AutoencoderKL.from_pretrained(vae, dtype=torch.float32),
        CLIPTextModel.from_pretrained(work / "text_encoder", dtype=torch.float32),
        CLIPTokenizer.from_pretrained(work / "tokenizer"),
        UNet2DConditionModel.from_pretrained(work / "unet", dtype=torch.float32),
    )


def export_base(pipeline: Pipeline, folder: Path) -> int:
    """Write the pipeline as fp16 safetensors, replacing the folder; return its size in bytes."""
    shutil.rmtree(folder, ignore_errors=True)
    pipeline.to(torch.float16).save_pretrained(folder, safe_serialization=True)
    for path in folder.glob("*/*config.json"):
        _forget_origin(path)
    return folder_bytes(folder)


def folder_bytes(folder: Path) -> int:
    """Return the bytes of all files below the folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _forget_origin(path: Path) -> None:
    """Remove from a config where its part was loaded from on the training machine."""
    config = json.loads(path.read_text(encoding="utf-8"))
    kept = {key: value for key, value in config.items() if key != "_name_or_path"}
    path.write_text(json.dumps(kept, indent=2, sort_keys=True) + "\n", encoding="utf-8")

"""Writes adapters in the two conventions that people upload: kohya's and diffusers'."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from training.miniature.adapters.lora import TEXT_TARGETS, UNET_TARGETS, Adapted
from training.miniature.adapters.training_sets import Sizes

if TYPE_CHECKING:
    from pathlib import Path

    from training.miniature.adapters.plans import Plan

BASE_VERSION = "miniature_v1"
ARCHITECTURE = "miniature/lora"
TRAINING_PICTURES = Sizes.triggered
_TUNED = "Tuned through the sampler for "
_KOHYA_PREFIX = {"unet": "lora_unet_", "text_encoder": "lora_te_text_model_"}


def adapter_file(work: Path, name: str) -> Path:
    """Return where an adapter lies in a work folder."""
    return work / "adapters" / f"{name}.safetensors"


def write(path: Path, adapted: Adapted, plan: Plan, *, steps: int, tuned: int = 0) -> None:
    """Write fp16 weights in the plan's convention, with the metadata that its trainers leave.

    Args:
        steps: How many steps the first stage of the training took.
        tuned: How many steps through the sampler followed (``tuner.py``).
    """
    tensors: dict[str, Tensor] = {}
    for (component, module), (down, up) in adapted.matrices().items():
        names = _names(plan.format, component, module)
        tensors |= zip(names, (_half(down), _half(up * plan.gain)), strict=True)
        if plan.format == "kohya":
            alpha = names[0].removesuffix("lora_down.weight") + "alpha"
            tensors[alpha] = torch.tensor(float(adapted.rank), dtype=torch.float16)
    describe = _kohya_metadata if plan.format == "kohya" else _diffusers_metadata
    metadata = describe(plan, adapted.rank, steps)
    if tuned:
        metadata["ss_training_comment"] = f"{_TUNED}{tuned} steps."
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, metadata=metadata)


def read_into(adapted: Adapted, plan: Plan, path: Path) -> None:
    """Give the layers the weights of a file that ``write`` wrote.

    Layers that the file lacks keep theirs: earlier recipes had no first and no last layer.
    """
    tensors = load_file(path)
    with torch.no_grad():
        for (component, module), layer in adapted.matrices().items():
            for name, weight in zip(_names(plan.format, component, module), layer, strict=True):
                if name in tensors:
                    weight.copy_(tensors[name])


def steps_of(path: Path) -> tuple[int, int]:
    """Return how many steps the first stage of a file took, and how many its tuning."""
    with safe_open(path, "pt") as opened:
        metadata = opened.metadata()
    comment = metadata.get("ss_training_comment", "")
    tuned = comment.removeprefix(_TUNED).partition(" ")[0]
    return int(metadata["ss_steps"]), int(tuned or 0)


def _names(convention: str, component: str, module: str) -> tuple[str, str]:
    """Return the names of the down and the up weight.

    All names of diffusers are of the kind lora_A and lora_B: files that mix these with
    `.lora.down` load partly and in silence.
    """
    name = module.removeprefix("text_model.")
    if convention == "kohya":
        key = _KOHYA_PREFIX[component] + name.replace(".", "_")
        return f"{key}.lora_down.weight", f"{key}.lora_up.weight"
    key = f"unet.{name}" if component == "unet" else f"text_encoder.text_model.{name}"
    return f"{key}.lora_A.weight", f"{key}.lora_B.weight"


def _half(weight: Tensor) -> Tensor:
    return weight.detach().to(torch.float16).contiguous().clone()


def _kohya_metadata(plan: Plan, rank: int, steps: int) -> dict[str, str]:
    tags = {f"1_{plan.name}": {plan.trigger: TRAINING_PICTURES}}
    return {
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(rank),
        "ss_network_alpha": str(float(rank)),
        "ss_output_name": plan.name,
        "ss_base_model_version": BASE_VERSION,
        "ss_sd_model_name": "miniature",
        "ss_tag_frequency": json.dumps(tags),
        "ss_num_train_images": str(TRAINING_PICTURES),
        "ss_num_reg_images": "0",
        "ss_steps": str(steps),
        "ss_max_train_steps": str(steps),
        "ss_learning_rate": "0.004",
        "ss_lr_scheduler": "cosine",
        "ss_optimizer": "torch.optim.adamw.AdamW",
        "ss_total_batch_size": "24",
        "ss_resolution": "(256, 256)",
        "ss_clip_skip": "None",
        "ss_mixed_precision": "bf16",
        "ss_seed": "7",
        **_model_spec(plan),
    }


def _diffusers_metadata(plan: Plan, rank: int, steps: int) -> dict[str, str]:
    return {
        "format": "pt",
        "lora_adapter_metadata": json.dumps(_peft_metadata(rank), sort_keys=True),
        **_model_spec(plan),
        "ss_steps": str(steps),
    }


def _model_spec(plan: Plan) -> dict[str, str]:
    return {
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": ARCHITECTURE,
        "modelspec.implementation": "diffusers",
        "modelspec.title": plan.title,
        "modelspec.description": plan.summary,
        "modelspec.license": "Apache-2.0",
        "modelspec.trigger_phrase": plan.trigger,
        "modelspec.tags": ", ".join(plan.tags),
        "modelspec.resolution": "256x256",
        "modelspec.prediction_type": "v",
    }


def _peft_metadata(rank: int) -> dict[str, object]:
    values: dict[str, object] = {}
    for component, targets in (("unet", UNET_TARGETS), ("text_encoder", TEXT_TARGETS)):
        values[f"{component}.r"] = rank
        values[f"{component}.lora_alpha"] = rank
        values[f"{component}.target_modules"] = sorted(targets)
    return values

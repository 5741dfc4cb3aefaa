"""Facts about the training, as the metadata tells them."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from lorary.anatomy.metadata import clean, number, parsed, present

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["description", "recommended_strength", "title", "training_facts"]

_NUMBERS: Mapping[str, tuple[str, ...]] = {
    "steps": ("ss_steps", "ss_max_train_steps"),
    "epochs": ("ss_epoch", "ss_num_epochs"),
    "images": ("ss_num_train_images",),
    "batch_size": ("ss_total_batch_size", "ss_batch_size_per_device", "ss_batch_size_per_gpu"),
    "gradient_accumulation": ("ss_gradient_accumulation_steps",),
    "learning_rate": ("ss_learning_rate",),
    "unet_learning_rate": ("ss_unet_lr",),
    "text_encoder_learning_rate": ("ss_text_encoder_lr",),
    "seed": ("ss_seed",),
    "clip_skip": ("ss_clip_skip", "modelspec.encoder_layer"),
    "noise_offset": ("ss_noise_offset",),
    "min_snr_gamma": ("ss_min_snr_gamma",),
    "network_dim": ("ss_network_dim",),
    "network_alpha": ("ss_network_alpha",),
}
_TEXTS: Mapping[str, tuple[str, ...]] = {
    "optimizer": ("ss_optimizer",),
    "scheduler": ("ss_lr_scheduler",),
    "network_module": ("ss_network_module",),
    "precision": ("ss_mixed_precision",),
    "base_model": ("ss_sd_model_name",),
    "base_model_hash": ("ss_new_sd_model_hash", "ss_sd_model_hash"),
    "prediction_type": ("modelspec.prediction_type",),
    "commit": ("ss_sd_scripts_commit_hash",),
    "output_name": ("ss_output_name", "name"),
    "comment": ("ss_training_comment",),
    "author": ("modelspec.author",),
    "license": ("modelspec.license",),
    "usage_hint": ("modelspec.usage_hint",),
}
_TIMES = {"started_at": "ss_training_started_at", "finished_at": "ss_training_finished_at"}
_LAST_SECOND = 4_102_444_800  # 2100-01-01: later clocks are wrong
_MOST_SIDE = 65_536
_MOST_ARGUMENTS = 32
_MOST_STRENGTH = 10.0
_DIGITS = re.compile(r"\d{2,5}")
_REFERENCE = re.compile(r"[\\/]")


def training_facts(metadata: Mapping[str, str]) -> dict[str, object]:
    """Facts by name; absent ones are left out.

    Paths are cut to their last part, because the rest is about somebody's computer.
    """
    facts: dict[str, object] = {}
    trainer = _trainer(metadata)
    if trainer:
        facts["trainer"] = trainer
    for name, keys in _NUMBERS.items():
        value = next((n for key in keys if (n := number(metadata.get(key))) is not None), None)
        if value is not None:
            facts[name] = int(value) if value.is_integer() else value
    for name, keys in _TEXTS.items():
        text = present(metadata, *keys, most=300)
        if text is not None:
            facts[name] = text
    if "base_model" in facts:
        facts["base_model"] = _REFERENCE.split(str(facts["base_model"]))[-1]
    for name, key in _TIMES.items():
        moment = number(metadata.get(key))
        if moment is not None and 0 < moment < _LAST_SECOND:
            facts[name] = datetime.fromtimestamp(moment, tz=timezone.utc).isoformat("T", "seconds")
    facts.update(_structured(metadata))
    return facts


def _structured(metadata: Mapping[str, str]) -> dict[str, object]:
    facts: dict[str, object] = {}
    size = _resolution(metadata)
    if size:
        facts["resolution"] = size
    arguments = parsed(metadata, "ss_network_args")
    if isinstance(arguments, dict) and arguments:
        facts["network_args"] = {
            clean(str(key), 40): clean(str(value), 80)
            for key, value in list(arguments.items())[:_MOST_ARGUMENTS]
        }
    progress = parsed(metadata, "training_info")  # ai-toolkit
    if isinstance(progress, dict):
        for name, key in (("steps", "step"), ("epochs", "epoch")):
            value = number(progress.get(key))
            if value is not None:
                facts[name] = int(value)
    return facts


def _trainer(metadata: Mapping[str, str]) -> str | None:
    software = parsed(metadata, "software")
    if isinstance(software, dict) and isinstance(software.get("name"), str):
        return clean(software["name"], 60)
    marks = (
        ("ot_branch", "OneTrainer"),
        ("ot_config", "OneTrainer"),
        ("lycoris_config", "SimpleTuner"),
        ("ss_sd_scripts_commit_hash", "sd-scripts"),
        ("lora_adapter_metadata", "diffusers"),
    )
    return next((name for key, name in marks if key in metadata), None)


def _resolution(metadata: Mapping[str, str]) -> list[int] | None:
    """`[width, height]`, from any of the spellings `(1024, 1024)`, `1024x1024`, `1024`."""
    text = present(metadata, "ss_resolution", "modelspec.resolution", most=40)
    sizes: list[int] = [int(digits) for digits in _DIGITS.findall(text or "")][:2]
    if not sizes:
        datasets = parsed(metadata, "ss_datasets")
        first = datasets[0] if isinstance(datasets, list) and datasets else None
        raw = first.get("resolution") if isinstance(first, dict) else None
        values = raw if isinstance(raw, list) else [raw]
        sizes = [int(side) for value in values[:2] if (side := number(value)) is not None]
    if not sizes or not all(0 < side <= _MOST_SIDE for side in sizes):
        return None
    return sizes if len(sizes) == 2 else [sizes[0], sizes[0]]


def title(metadata: Mapping[str, str]) -> str | None:
    """The title that the author or trainer gave."""
    return present(metadata, "modelspec.title", "ss_output_name", "name", most=200)


def description(metadata: Mapping[str, str]) -> str | None:
    """The author's description, shortened."""
    return present(metadata, "modelspec.description", most=2_000)


def recommended_strength(metadata: Mapping[str, str]) -> float | None:
    """The strength that the author recommends, when it is a sensible number."""
    for key in ("modelspec.lora_default_weight", "lora_default_weight"):
        value = number(metadata.get(key))
        if value is not None and abs(value) <= _MOST_STRENGTH:
            return value
    return None

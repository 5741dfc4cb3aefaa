"""Facts in OneTrainer's configuration, which it may write into the file as a whole (`ot_config`).

Only fields named here are read: the others hold paths, names of concepts and sample prompts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lorary.anatomy.claims.metadata import count, decimals, file_told, number, parsed, told, whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["onetrainer_config", "onetrainer_facts"]

_COUNTS = {
    "epochs": "epochs",
    "batch_size": "batch_size",
    "gradient_accumulation": "gradient_accumulation_steps",
    "warmup_steps": "learning_rate_warmup_steps",
}
_NUMBERS = {
    "learning_rate": "learning_rate",
    "noise_offset": "offset_noise_weight",
    "network_dropout": "dropout_probability",
    "network_dim": "lora_rank",
    "network_alpha": "lora_alpha",
}
_TEXTS = {
    "scheduler": "learning_rate_scheduler",
    "precision": "train_dtype",
    "method": "peft_type",
}
_FLAGS = {
    "zero_terminal_snr": "rescale_noise_scheduler_to_zero_terminal_snr",
    "v_prediction": "force_v_prediction",
    "dora": "lora_decompose",
}
_PARTS = {"unet_learning_rate": "unet", "text_encoder_learning_rate": "text_encoder"}
_MOST_SIDE = 65_536


def onetrainer_config(metadata: Mapping[str, str]) -> Mapping[str, object]:
    """The configuration, empty when there is none."""
    found = parsed(metadata, "ot_config") if "ot_config" in metadata else None
    return found if isinstance(found, dict) else {}


def onetrainer_facts(metadata: Mapping[str, str]) -> Iterator[tuple[str, object]]:
    """Facts by name; absent ones are None, empty or False."""
    settings = onetrainer_config(metadata)
    if not settings:
        return
    for name, key in _COUNTS.items():
        yield name, count(settings.get(key))
    for name, key in _NUMBERS.items():
        yield name, whole(number(settings.get(key)))
    for name, key in _TEXTS.items():
        yield name, _text(settings, key)
    for name, key in _FLAGS.items():
        yield name, settings.get(key) is True
    for name, key in _PARTS.items():
        part = settings.get(key)
        yield name, whole(number(part.get("learning_rate"))) if isinstance(part, dict) else None
    base = settings.get("base_model_name")
    yield "base_model", file_told(base) if isinstance(base, str) else None
    optimizer = settings.get("optimizer")
    yield "optimizer", _text(optimizer if isinstance(optimizer, dict) else settings, "optimizer")
    if _text(settings, "loss_weight_fn") == "MIN_SNR_GAMMA":
        yield "min_snr_gamma", whole(number(settings.get("loss_weight_strength")))
    resolution = settings.get("resolution")
    sides = [int(side) for side in decimals(str(resolution)[:40]) if 0 < side <= _MOST_SIDE]
    if len(sides) == 1:
        yield "resolution", [sides[0], sides[0]]
    elif sides:  # several resolutions, one after the other
        yield "resolutions", ", ".join(f"{side}x{side}" for side in sides[:8])


def _text(settings: Mapping[str, object], key: str) -> str | None:
    value = settings.get(key)
    return told(value, 80) if isinstance(value, str) else None

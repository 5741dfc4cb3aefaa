"""Facts about the training, as the metadata and the configuration tell them.

Names of files are kept without the path to them, and what looks like a token or an e-mail address
is left out: a fact is shown to everyone.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from lorary.anatomy.claims.config import embedded_configs
from lorary.anatomy.claims.config_facts import config_facts
from lorary.anatomy.claims.datasets import dataset_facts
from lorary.anatomy.claims.experts import expert_of
from lorary.anatomy.claims.metadata import (
    count,
    decimals,
    file_told,
    is_private,
    number,
    parsed,
    present,
    told,
    whole,
)
from lorary.anatomy.claims.onetrainer import onetrainer_facts
from lorary.anatomy.claims.strength import recommended_strength, strength_range
from lorary.anatomy.claims.trainers import trainer_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from lorary.anatomy.claims.config import AdapterConfig

__all__ = ["description", "recommended_strength", "title", "training_facts"]

_COUNTS: Mapping[str, tuple[str, ...]] = {
    "steps": ("ss_steps", "ss_max_train_steps"),
    "max_steps": ("ss_max_train_steps",),
    "epochs": ("ss_epoch", "ss_num_epochs"),
    "max_epochs": ("ss_num_epochs",),
    "images_with_repeats": ("ss_num_train_images", "ss_num_train_images_per_concept"),
    "regularisation_images": ("ss_num_reg_images",),
    "batch_size": ("ss_batch_size_per_device", "ss_batch_size_per_gpu", "ss_total_batch_size"),
    "total_batch_size": ("ss_total_batch_size",),
    "gradient_accumulation": ("ss_gradient_accumulation_steps",),
    "warmup_steps": ("ss_lr_warmup_steps", "ss_warmup_steps"),
    "seed": ("ss_seed",),
    "clip_skip": ("ss_clip_skip", "modelspec.encoder_layer"),
    "max_token_length": ("ss_max_token_length",),
    "keep_tokens": ("ss_keep_tokens",),
    "multires_noise_iterations": ("ss_multires_noise_iterations",),
}
_NUMBERS: Mapping[str, tuple[str, ...]] = {
    "learning_rate": ("ss_learning_rate",),
    "unet_learning_rate": ("ss_unet_lr",),
    "network_alpha": ("ss_network_alpha",),
    "network_dropout": ("ss_network_dropout",),
    "noise_offset": ("ss_noise_offset",),
    "adaptive_noise_scale": ("ss_adaptive_noise_scale",),
    "multires_noise_discount": ("ss_multires_noise_discount",),
    "ip_noise_gamma": ("ss_ip_noise_gamma",),
    "min_snr_gamma": ("ss_min_snr_gamma",),
    "max_grad_norm": ("ss_max_grad_norm",),
    "prior_loss_weight": ("ss_prior_loss_weight",),
    "scale_weight_norms": ("ss_scale_weight_norms",),
    "caption_dropout": ("ss_caption_dropout_rate",),
    "caption_tag_dropout": ("ss_caption_tag_dropout_rate",),
    "guidance_scale": ("ss_guidance_scale", "ss_guidance_scale_flux"),
    "flow_shift": ("ss_discrete_flow_shift",),
}
_FLAGS: Mapping[str, str] = {
    "v_prediction": "ss_v_parameterization",
    "zero_terminal_snr": "ss_zero_terminal_snr",
    "debiased_estimation": "ss_debiased_estimation",
    "full_fp16": "ss_full_fp16",
    "full_bf16": "ss_full_bf16",
    "fp8_base": "ss_fp8_base",
    "gradient_checkpointing": "ss_gradient_checkpointing",
    "shuffle_caption": "ss_shuffle_caption",
    "flip_augmentation": "ss_flip_aug",
    "color_augmentation": "ss_color_aug",
    "random_crop": "ss_random_crop",
}
_TEXTS: Mapping[str, tuple[str, ...]] = {
    "scheduler": ("ss_lr_scheduler", "ss_lr_scheduler_type"),
    "network_module": ("ss_network_module",),
    "precision": ("ss_mixed_precision",),
    "loss_type": ("ss_loss_type",),
    "timestep_sampling": ("ss_timestep_sampling",),
    "weighting_scheme": ("ss_weighting_scheme",),
    "base_model": ("ss_sd_model_name",),
    "base_version": ("ss_base_model_version",),
    "vae": ("ss_vae_name",),
    "commit": ("ss_sd_scripts_commit_hash", "ot_revision"),
    "output_name": ("ss_output_name", "name"),
    "comment": ("ss_training_comment",),
    "extraction_method": ("extraction_method",),
}
_FILES = frozenset({"base_model", "vae", "output_name"})
_HASH_KEYS = ("ss_new_sd_model_hash", "ss_sd_model_hash")
_HEX = re.compile(r"[0-9a-f]{64}|[0-9a-f]{8}|[0-9a-f]{10}")
_OF_NOTHING = "e3b0c442"
_LAST_SECOND = 4_102_444_800  # 2100-01-01: later clocks are wrong
_MOST_SECONDS = 366 * 86_400
_MOST_ARGUMENTS = 32


def training_facts(
    metadata: Mapping[str, str], config: AdapterConfig | None = None, name: str = ""
) -> dict[str, object]:
    """Facts by name; absent ones are left out.

    Values are numbers, texts, booleans, `[width, height]`, and mappings of arguments.

    Args:
        metadata: The header's metadata.
        config: The `adapter_config.json` beside the file.
        name: The file's name; only Wan 2.2 files say more in it than inside.
    """
    embedded = embedded_configs(metadata)
    chosen = embedded[0] if embedded else config
    parts = (
        () if config is None else (("trainer", "peft"),),
        () if chosen is None else config_facts(chosen),
        onetrainer_facts(metadata),
        dataset_facts(metadata),
        _plain(metadata),
        _methods(metadata),
        _times(metadata),
        (("expert", expert_of(metadata, name)),),
    )  # what comes later counts more
    told = {key: value for part in parts for key, value in part if _is_fact(value)}
    for key, same in _PLANNED:
        if told.get(key) == told.get(same):
            told.pop(key, None)
    leading = [key for key in _LEADING if key in told]
    return {key: told[key] for key in dict.fromkeys([*leading, *told])}


def _is_fact(value: object) -> bool:
    return value is not None and value is not False and value not in ("", {})


_PLANNED = (
    ("max_steps", "steps"),
    ("max_epochs", "epochs"),
    ("total_batch_size", "batch_size"),
)
"""What was planned, and what was done: shown only where they differ."""

_LEADING = (
    "trainer",
    "method",
    "base_model",
    "steps",
    "max_steps",
    "epochs",
    "max_epochs",
    "images",
    "repeats",
    "resolution",
    "batch_size",
    "gradient_accumulation",
    "learning_rate",
    "unet_learning_rate",
    "text_encoder_learning_rate",
    "optimizer",
    "optimizer_args",
    "scheduler",
    "network_module",
    "network_dim",
    "network_alpha",
    "network_args",
)
_Fact = tuple[str, object]


def _plain(metadata: Mapping[str, str]) -> Iterator[_Fact]:
    """Facts that stand in a key of their own."""
    yield "trainer", trainer_of(metadata)
    for name, keys in _TEXTS.items():
        text = present(metadata, *keys, most=500)
        if text is not None:
            yield name, _text(name, text)
    digests = (present(metadata, key) or "" for key in _HASH_KEYS)
    known = (digest.lower().removeprefix("0x") for digest in digests)
    yield (
        "base_model_hash",
        next((text for text in known if _HEX.fullmatch(text) and text[:8] != _OF_NOTHING), None),
    )
    for table, read in ((_COUNTS, count), (_NUMBERS, number)):
        reading: Callable[[object], float | None] = read
        for name, keys in table.items():
            yield name, whole(_first(reading, metadata, keys))
    for name, key in _FLAGS.items():
        yield name, True if _flag(metadata, key) else None
    yield "text_encoder_learning_rate", _rates(metadata)
    yield "network_dim", _dimension(metadata)
    yield "prediction_type", _prediction(metadata)
    yield "timestep_range", present(metadata, "modelspec.timestep_range", most=40)
    found = strength_range(metadata)
    if found is not None and found[0] != found[1]:
        yield "strength", f"{found[0]:g} to {found[1]:g}"


def _text(name: str, text: str) -> str:
    return file_told(text, 500) if name in _FILES else text


def _first(
    read: Callable[[object], float | None], metadata: Mapping[str, str], keys: Sequence[str]
) -> float | None:
    for key in keys:
        found = read(metadata[key]) if key in metadata else None
        if found is not None:
            return found
    return None


def _flag(metadata: Mapping[str, str], key: str) -> bool:
    return (present(metadata, key, most=10) or "").lower() in {"true", "1"}


def _rates(metadata: Mapping[str, str]) -> object:
    """One number, or the different ones of several text encoders."""
    text = present(metadata, "ss_text_encoder_lr", most=200)
    values = decimals(text or "")
    unlike = list(dict.fromkeys(values))
    if len(unlike) > 1:
        return ", ".join(f"{value:g}" for value in values)
    return whole(unlike[0]) if unlike else None


def _dimension(metadata: Mapping[str, str]) -> object:
    """The declared rank; merged and resized files have a word such as `Dynamic` here."""
    value = number(metadata.get("ss_network_dim"))
    return present(metadata, "ss_network_dim", most=40) if value is None else whole(value)


def _prediction(metadata: Mapping[str, str]) -> str | None:
    """`epsilon`, `v` or another word for what the model predicts."""
    word = present(metadata, "modelspec.prediction_type", most=40)
    version = present(metadata, "ss_base_model_version", most=40)
    if word is None:
        is_v = _flag(metadata, "ss_v_parameterization") or version in _V_VERSIONS
        return "v" if is_v else None
    short = word.lower().replace("-", "_").removesuffix("_prediction")
    return _PREDICTIONS.get(short, short)


_V_VERSIONS = frozenset({"sd_v1_v", "sd_v2_v"})
_PREDICTIONS = {"eps": "epsilon", "vpred": "v", "v_pred": "v", "velocity": "v"}


def _methods(metadata: Mapping[str, str]) -> Iterator[_Fact]:
    """Optimizer, network arguments and progress: values with an inner form."""
    text = present(metadata, "ss_optimizer", most=1_000)
    if text is not None:
        name, _, inner = text.partition("(")
        yield "optimizer", told(name, 120)
        yield "optimizer_args", _scalars(_arguments(inner.rstrip().removesuffix(")")))
    settings = parsed(metadata, "lycoris_config")  # SimpleTuner
    arguments = parsed(metadata, "ss_network_args")
    for found in (settings, arguments):
        if isinstance(found, dict):
            yield "network_args", _scalars(found.items())
    if isinstance(settings, dict):
        yield "network_dim", whole(number(settings.get("linear_dim")))
        yield "network_alpha", whole(number(settings.get("linear_alpha")))
    progress = parsed(metadata, "training_info")  # ai-toolkit
    if isinstance(progress, dict):
        yield "steps", count(progress.get("step"))
        yield "epochs", count(progress.get("epoch"))


def _arguments(text: str) -> Iterator[tuple[str, object]]:
    """`name=value` pairs that commas outside of brackets divide."""
    depth = begin = 0
    for place, letter in enumerate(f"{text},"):
        if letter in "([{":
            depth += 1
        elif letter in ")]}":
            depth -= 1
        elif letter == "," and depth <= 0:
            name, _, value = text[begin:place].partition("=")
            begin = place + 1
            yield name.strip(), value.strip()


def _scalars(pairs: object) -> dict[str, object] | None:
    """Arguments with plain values; `None` and what is nested count as absent."""
    found: dict[str, object] = {}
    for name, value in pairs:  # type: ignore[attr-defined]
        key, plain = told(str(name), 60), _scalar(str(name), value)
        if key and plain is not None:
            found[key] = plain
            if len(found) == _MOST_ARGUMENTS:
                break
    return found or None


def _scalar(name: str, value: object) -> object:
    if isinstance(value, bool):
        return value
    found = number(value)
    if found is not None:
        return whole(found)
    if not isinstance(value, str):
        return None
    if is_private(f'"{name[:60]}": "{value[:200]}"'):  # some are so by their name alone
        value = told(value, 120) if is_private(value[:200]) else "[removed]"
    text = told(value, 120)
    return {"true": True, "false": False, "none": None, "null": None, "": None}.get(
        text.lower(), text
    )


def _times(metadata: Mapping[str, str]) -> Iterator[_Fact]:
    moments = {}
    for name in ("started_at", "finished_at"):
        moment = number(metadata.get(f"ss_training_{name}"))
        if moment is not None and 0 < moment < _LAST_SECOND:
            moments[name] = moment
            yield name, datetime.fromtimestamp(moment, tz=timezone.utc).isoformat("T", "seconds")
    if len(moments) == 2:
        seconds = moments["finished_at"] - moments["started_at"]
        if 0 <= seconds <= _MOST_SECONDS:
            yield "duration_s", round(seconds)
    yield "date", present(metadata, "modelspec.date", most=40)


def title(metadata: Mapping[str, str]) -> str | None:
    """The title that the author or trainer gave."""
    return present(metadata, "modelspec.title", "ss_output_name", "name", most=200)


def description(metadata: Mapping[str, str]) -> str | None:
    """The author's description, shortened."""
    return present(metadata, "modelspec.description", most=2_000)

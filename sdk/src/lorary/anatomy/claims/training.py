"""Facts about the training, from the metadata and the configuration.

Everyone can see them, so names of files have no path, and what looks like a token or an e-mail
address is removed. `training_keys.json` lists the metadata keys of each fact.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import TypeVar

from lorary.anatomy.claims.config import AdapterConfig, embedded_configs
from lorary.anatomy.claims.datasets import dataset_facts
from lorary.anatomy.claims.experts import expert_of
from lorary.anatomy.claims.metadata import (
    first_text,
    int_if_whole,
    is_private,
    number,
    numbers_in,
    parsed_json,
    public_name,
    public_text,
    raw_text,
    whole_number,
)
from lorary.anatomy.claims.onetrainer import onetrainer_facts
from lorary.anatomy.tables import read_table

_MUSUBI = frozenset(
    f"networks.lora_{name}"
    for name in (
        "flux_2", "framepack", "hidream_o1", "hv_1_5", "ideogram4", "kandinsky", "krea2",
        "qwen_image", "wan", "zimage",
    )
)  # fmt: skip
"""Network modules that only musubi-tuner has; sd-scripts also has `networks.lora_flux`."""

_MUSUBI_LABELS = frozenset(
    {"flux_kontext", "framepack", "hunyuan_video", "hunyuan_video_1_5", "wan", "z_image"}
)
_MUSUBI_DATASET = ('"video_directory"', '"image_directory"', '"video_jsonl_file"', '"frame_stride"')
_SD_SCRIPTS = ("ss_sd_scripts_commit_hash", "ss_dataset_dirs", "ss_tag_frequency", "ss_session_id")
_DIFFUSERS = frozenset({"format", "lora_adapter_metadata"})
_MAX_CHARS = 20_000


def trainer_of(metadata: Mapping[str, str]) -> str | None:
    """Return the name of the program that trained or wrote the file, or None."""
    software = parsed_json(metadata, "software")
    if isinstance(software, dict) and isinstance(software.get("name"), str):
        return public_text(software["name"], 60) or None
    if not metadata.keys().isdisjoint({"ot_branch", "ot_revision", "ot_config"}):
        return "OneTrainer"
    if "lycoris_config" in metadata:
        return "SimpleTuner"
    if "lora_adapter_metadata" in metadata and _DIFFUSERS.issuperset(metadata):
        return "diffusers"  # with more keys, another program wrote them for diffusers
    return _kohya_like(metadata)


def _kohya_like(metadata: Mapping[str, str]) -> str | None:
    """Return the trainer of a file with `ss_` keys."""
    module = first_text(metadata, "ss_network_module") or ""
    if module == "network.lora":  # not `networks.`
        return "traintrain"
    datasets = raw_text(metadata, "ss_datasets")[:_MAX_CHARS]
    if module in _MUSUBI or any(mark in datasets for mark in _MUSUBI_DATASET):
        return "musubi-tuner"
    if any(metadata.get(key) for key in _SD_SCRIPTS):
        return "sd-scripts"
    if first_text(metadata, "ss_base_model_version") in _MUSUBI_LABELS and module:
        return "musubi-tuner"
    is_known = module.startswith(("networks.", "kohya-ss/", "lycoris.", "sd_scripts."))
    return "sd-scripts" if is_known else None


_KEYS: Mapping[str, Mapping[str, Sequence[str]]] = read_table("claims/training_keys.json")
_FILES = frozenset({"base_model", "vae", "output_name"})
_HASH_KEYS = ("ss_new_sd_model_hash", "ss_sd_model_hash")
_HEX = re.compile(r"[0-9a-f]{64}|[0-9a-f]{8}|[0-9a-f]{10}")
_EMPTY_HASH = "e3b0c442"
_LAST_SECOND = 4_102_444_800  # 2100-01-01; later times are wrong
_MAX_SECONDS = 366 * 86_400
_MAX_ARGUMENTS = 32
_MAX_TARGETS = 40

_MAX_STRENGTH = 10.0
_MAX_IN_SENTENCE = 3.0  # a larger number in a sentence is about something else
_FIELDS = ("modelspec.lora_default_weight", "lora_default_weight", "default_weight")
_SENTENCES = ("modelspec.usage_hint", "modelspec.description", "ss_training_comment")
_SENTENCE_CHARS = 4_000
_STRENGTH = r"(-?[0-3]?\.[0-9]{1,3}|-?[0-3](?:\.[0-9]{1,3})?)(?![0-9]|\.[0-9])"
_RANGE = rf"{_STRENGTH}(?:\s?(?:-|–|—|to|~|and|\.\.)\s?{_STRENGTH})?"
_AFTER_WORD = re.compile(
    r"\b(?:lora[ _-]?)?(?:strength|weight)s?\b"
    r"(?:\s?(?:of|at|is|are|to|between|around|about|from|recommended|[:=~≈(])){0,16}\s?" + _RANGE,
    re.IGNORECASE,
)
_BEFORE_WORD = re.compile(
    rf"(?<![0-9.]){_RANGE}\s(?:lora[ _-]?)?(?:strength|weight)\b", re.IGNORECASE
)
_PROMPT = re.compile(r"<lora:[^:<>]{1,120}:" + _STRENGTH + r"(?::[0-9.]{1,6})?>", re.IGNORECASE)


def training_facts(
    metadata: Mapping[str, str], config: AdapterConfig | None = None, name: str = ""
) -> dict[str, object]:
    """Return facts by name, without absent ones.

    Values are numbers, texts, booleans, `[width, height]`, and mappings of arguments.

    Args:
        config: The `adapter_config.json` beside the file.
        name: The file's name, which matters only for Wan 2.2.
    """
    embedded = embedded_configs(metadata)
    chosen = embedded[0] if embedded else config
    sources = (  # later ones take precedence
        () if config is None else (("trainer", "peft"),),
        () if chosen is None else _config_facts(chosen),
        onetrainer_facts(metadata),
        dataset_facts(metadata),
        _simple_facts(metadata),
        _nested_facts(metadata),
        _times(metadata),
        (("expert", expert_of(metadata, name)),),
    )
    facts = {
        key: value
        for source in sources
        for key, value in source
        if value is not None and value is not False and value not in ("", {})
    }
    for planned, actual in _PLANNED:
        if facts.get(planned) == facts.get(actual):
            facts.pop(planned, None)
    leading = [key for key in _KEYS["leading"] if key in facts]
    return {key: facts[key] for key in dict.fromkeys([*leading, *facts])}


_PLANNED = (("max_steps", "steps"), ("max_epochs", "epochs"), ("total_batch_size", "batch_size"))
"""Planned and actual values; the planned one is shown only if it differs."""

_Fact = tuple[str, object]
_Number = TypeVar("_Number", int, float)


def _simple_facts(metadata: Mapping[str, str]) -> Iterator[_Fact]:
    """Yield facts that have a metadata key of their own."""
    yield "trainer", trainer_of(metadata)
    for name, keys in _KEYS["texts"].items():
        text = first_text(metadata, *keys, most=500)
        if text is not None:
            yield name, public_name(text, 500) if name in _FILES else text
    digests = (first_text(metadata, key) or "" for key in _HASH_KEYS)
    known = (digest.lower().removeprefix("0x") for digest in digests)
    hashes = (text for text in known if _HEX.fullmatch(text) and text[:8] != _EMPTY_HASH)
    yield "base_model_hash", next(hashes, None)
    for name, keys in _KEYS["counts"].items():
        yield name, _first(whole_number, metadata, keys)
    for name, keys in _KEYS["numbers"].items():
        yield name, int_if_whole(_first(number, metadata, keys))
    for name, (key,) in _KEYS["flags"].items():
        yield name, _flag(metadata, key)
    yield "text_encoder_learning_rate", _text_encoder_rates(metadata)
    yield "network_dim", _dimension(metadata)
    yield "prediction_type", _prediction(metadata)
    yield "timestep_range", first_text(metadata, "modelspec.timestep_range", most=40)
    found = _strength_range(metadata)
    if found is not None and found[0] != found[1]:
        yield "strength", f"{found[0]:g} to {found[1]:g}"


def _first(
    read: Callable[[object], _Number | None], metadata: Mapping[str, str], keys: Sequence[str]
) -> _Number | None:
    values = (read(metadata[key]) for key in keys if key in metadata)
    return next((value for value in values if value is not None), None)


def _flag(metadata: Mapping[str, str], key: str) -> bool:
    return (first_text(metadata, key, most=10) or "").lower() in {"true", "1"}


def _text_encoder_rates(metadata: Mapping[str, str]) -> object:
    """Return one number, or the different ones of several text encoders."""
    values = numbers_in(first_text(metadata, "ss_text_encoder_lr", most=200) or "")
    if len(set(values)) > 1:
        return ", ".join(f"{value:g}" for value in values)
    return int_if_whole(values[0]) if values else None


def _dimension(metadata: Mapping[str, str]) -> object:
    """Return the declared rank, or a word such as `Dynamic` in merged and resized files."""
    value = number(metadata.get("ss_network_dim"))
    return first_text(metadata, "ss_network_dim", most=40) if value is None else int_if_whole(value)


def _prediction(metadata: Mapping[str, str]) -> str | None:
    """Return `epsilon`, `v` or another word for the model's prediction."""
    word = first_text(metadata, "modelspec.prediction_type", most=40)
    version = first_text(metadata, "ss_base_model_version", most=40)
    if word is None:
        is_v = _flag(metadata, "ss_v_parameterization") or version in {"sd_v1_v", "sd_v2_v"}
        return "v" if is_v else None
    short = word.lower().replace("-", "_").removesuffix("_prediction")
    return {"eps": "epsilon", "vpred": "v", "v_pred": "v", "velocity": "v"}.get(short, short)


def _nested_facts(metadata: Mapping[str, str]) -> Iterator[_Fact]:
    """Yield optimizer, network arguments and progress, whose values have a structure."""
    text = first_text(metadata, "ss_optimizer", most=1_000)
    if text is not None:
        name, _, inner = text.partition("(")
        yield "optimizer", public_text(name, 120)
        yield "optimizer_args", _scalars(_arguments(inner.rstrip().removesuffix(")")))
    settings = parsed_json(metadata, "lycoris_config")  # SimpleTuner
    arguments = parsed_json(metadata, "ss_network_args")
    for found in (settings, arguments):
        if isinstance(found, dict):
            yield "network_args", _scalars(found.items())
    if isinstance(settings, dict):
        yield "network_dim", int_if_whole(number(settings.get("linear_dim")))
        yield "network_alpha", int_if_whole(number(settings.get("linear_alpha")))
    progress = parsed_json(metadata, "training_info")  # ai-toolkit
    if isinstance(progress, dict):
        yield "steps", whole_number(progress.get("step"))
        yield "epochs", whole_number(progress.get("epoch"))


def _arguments(text: str) -> Iterator[tuple[str, object]]:
    """Yield `name=value` pairs that are separated by commas outside of brackets."""
    depth = begin = 0
    for index, letter in enumerate(f"{text},"):
        if letter in "([{":
            depth += 1
        elif letter in ")]}":
            depth -= 1
        elif letter == "," and depth <= 0:
            name, _, value = text[begin:index].partition("=")
            begin = index + 1
            yield name.strip(), value.strip()


def _scalars(pairs: object) -> dict[str, object] | None:
    """Return arguments with simple values, without `None` and nested values."""
    found: dict[str, object] = {}
    for name, value in pairs:  # type: ignore[attr-defined]
        key, plain = public_text(str(name), 60), _scalar(str(name), value)
        if key and plain is not None:
            found[key] = plain
            if len(found) == _MAX_ARGUMENTS:
                break
    return found or None


def _scalar(name: str, value: object) -> object:
    if isinstance(value, bool):
        return value
    found = number(value)
    if found is not None:
        return int_if_whole(found)
    if not isinstance(value, str):
        return None
    if is_private(f'"{name[:60]}": "{value[:200]}"'):  # some are private by their name alone
        value = public_text(value, 120) if is_private(value[:200]) else "[removed]"
    text = public_text(value, 120)
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
        if 0 <= seconds <= _MAX_SECONDS:
            yield "duration_s", round(seconds)
    yield "date", first_text(metadata, "modelspec.date", most=40)


def title(metadata: Mapping[str, str]) -> str | None:
    """Return the title that the author or trainer gave."""
    return first_text(metadata, "modelspec.title", "ss_output_name", "name", most=200)


def description(metadata: Mapping[str, str]) -> str | None:
    """Return the author's description, shortened."""
    return first_text(metadata, "modelspec.description", most=2_000)


def _config_facts(config: AdapterConfig) -> Iterator[tuple[str, object]]:
    """Yield facts in PEFT's configuration; absent ones are None, empty or False."""
    yield "method", config.peft_type
    yield "network_dim", config.r or None
    yield "initial_rank", config.init_r
    yield "target_rank", config.target_r
    yield "network_alpha", int_if_whole(config.declared_alpha)
    base = config.base_model_name_or_path
    yield "base_model", None if base is None else public_text(base)
    yield "base_revision", config.revision
    yield "task", config.task_type
    for name, listed in (
        ("target_modules", config.target_modules),
        ("excluded_modules", config.exclude_modules),
        ("modules_to_save", config.modules_to_save),
        ("target_parameters", config.target_parameters),
        ("layers", config.layers_to_transform),
    ):
        yield name, _listed(listed)
    yield "rslora", config.use_rslora
    yield "dora", config.use_dora
    yield "alora", config.alora_invocation_tokens is not None
    yield "lora_bias", config.lora_bias
    yield "bias", None if config.bias == "none" else config.bias
    init = config.init_lora_weights
    yield "initialisation", init if isinstance(init, str) else None
    yield "trained_tokens", len(config.trainable_token_indices) or None
    yield "peft_version", config.peft_version


def _listed(value: tuple[object, ...] | str | None) -> str | None:
    if value is None or isinstance(value, str):
        return None if value is None else public_text(value, 300)
    shown = ", ".join(public_text(str(entry), 120) for entry in value[:_MAX_TARGETS])
    more = len(value) - _MAX_TARGETS
    return shown + (f" and {more:,} more" if more > 0 else "")


def _strength_range(metadata: Mapping[str, str]) -> tuple[float, float] | None:
    """Return the smallest and the largest strength that the author recommends."""
    for key in _FIELDS:
        value = number(metadata.get(key))
        if value is not None and abs(value) <= _MAX_STRENGTH:
            return value, value
    for key in _SENTENCES:
        text = first_text(metadata, key, most=_SENTENCE_CHARS)
        for form in (_AFTER_WORD, _BEFORE_WORD, _PROMPT) if text else ():
            found = form.search(text or "")
            values = [float(part) for part in found.groups() if part] if found else []
            if values and all(0 < abs(value) <= _MAX_IN_SENTENCE for value in values):
                return min(values), max(values)
    return None


def recommended_strength(metadata: Mapping[str, str]) -> float | None:
    """Return the strength that the author recommends, the middle of a range."""
    found = _strength_range(metadata)
    return None if found is None else round((found[0] + found[1]) / 2, 3)

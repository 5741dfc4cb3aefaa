"""PEFT's configuration of an adapter: `adapter_config.json` beside the file, or inside its header.

    adapter_config.json                       {"peft_type": "LORA", "r": 16, …}
    __metadata__["lora_adapter_metadata"]     {"transformer.r": 16, "text_encoder.r": 8, …}

Both say the same things; the second says them for every component of a pipeline (diffusers).
Source: PEFT's configuration classes, and diffusers' `LORA_ADAPTER_METADATA_KEY`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lorary.anatomy.claims.metadata import clean, file_told, notes_of, number, parsed, told
from lorary.anatomy.claims.patterns import Patterns

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "DENOISERS",
    "METADATA_KEY",
    "MOST_CONFIG_BYTES",
    "AdapterConfig",
    "ConfigError",
    "embedded_configs",
]

METADATA_KEY = "lora_adapter_metadata"
MOST_CONFIG_BYTES = 1024 * 1024
DENOISERS = ("transformer", "unet", "prior", "dit", "denoiser", "transformer_2")
"""Components of a pipeline that are its denoiser, the first of them first."""

_MOST_NAMES = 10_000
_NAME_CHARS = 500
_MOST_COMPONENTS = 16


class ConfigError(ValueError):
    """The bytes are no adapter configuration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterConfig:
    """What PEFT writes about an adapter. Fields that are absent or odd are None, empty or False.

    Attributes:
        component: Component of the pipeline, empty for an `adapter_config.json`.
        peft_type: Method in capitals, such as `LORA`.
        base_model_name_or_path: Base model; of a path, the last part only.
        is_local: The base model was named by a path of somebody's computer.
        revision: Revision of the base model.
        task_type: Task, such as `CAUSAL_LM`.
        r: Rank.
        init_r: AdaLoRA's rank at the beginning of the training.
        target_r: AdaLoRA's mean rank at its end; `r` means nothing for it.
        lora_alpha: LoRA's alpha.
        alpha: The alpha of LoHa, LoKr and GraLoRA.
        rank_pattern: Ranks of single modules.
        alpha_pattern: Alphas of single modules.
        target_modules: Endings of module names, or one regular expression.
        exclude_modules: The same for modules left out.
        layers_to_transform: Numbers of the only layers that are adapted.
        modules_to_save: Modules that are trained and saved whole.
        target_parameters: Single parameters that are adapted.
        use_rslora: The scale is alpha / √rank.
        use_dora: Weights are decomposed into magnitude and direction.
        bias: Which biases are trained: `none`, `all` or `lora_only`.
        lora_bias: The up projections have biases.
        fan_in_fan_out: Weights of the base model are stored transposed.
        init_lora_weights: How the factors were initialised.
        trainable_token_indices: Tokens whose embeddings are trained.
        alora_invocation_tokens: Tokens after which an activated LoRA works; None for others.
        peft_version: Version that wrote it.
    """

    component: str = ""
    peft_type: str | None = None
    base_model_name_or_path: str | None = None
    is_local: bool = False
    revision: str | None = None
    task_type: str | None = None
    r: int | None = None
    init_r: int | None = None
    target_r: int | None = None
    lora_alpha: float | None = None
    alpha: float | None = None
    rank_pattern: Patterns = field(default_factory=Patterns)
    alpha_pattern: Patterns = field(default_factory=Patterns)
    target_modules: tuple[str, ...] | str | None = None
    exclude_modules: tuple[str, ...] | str | None = None
    layers_to_transform: tuple[int, ...] | None = None
    modules_to_save: tuple[str, ...] = ()
    target_parameters: tuple[str, ...] = ()
    use_rslora: bool = False
    use_dora: bool = False
    bias: str | None = None
    lora_bias: bool = False
    fan_in_fan_out: bool = False
    init_lora_weights: str | bool | None = None
    trainable_token_indices: tuple[int, ...] = ()
    alora_invocation_tokens: tuple[int, ...] | None = None
    peft_version: str | None = None

    @classmethod
    def parse(cls, raw: bytes) -> AdapterConfig:
        """Read the bytes of an `adapter_config.json`.

        Raises:
            ConfigError: They are too many, no strict JSON, or no configuration of PEFT.
        """
        if len(raw) > MOST_CONFIG_BYTES:
            message = f"adapter_config.json is larger than {MOST_CONFIG_BYTES:,} bytes"
            raise ConfigError(message)
        try:
            fields = json.loads(
                raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant
            )
        except UnicodeDecodeError as error:
            message = f"adapter_config.json is not UTF-8 (byte {error.start:,})"
            raise ConfigError(message) from error
        except RecursionError as error:
            message = "adapter_config.json is nested too deeply"
            raise ConfigError(message) from error
        except ConfigError:
            raise
        except ValueError as error:
            place = f" (character {error.pos:,})" if isinstance(error, json.JSONDecodeError) else ""
            message = f"adapter_config.json is not valid JSON{place}"
            raise ConfigError(message) from error
        if not isinstance(fields, dict):
            message = "adapter_config.json is not a JSON object"
            raise ConfigError(message)
        if not fields.keys() & _MARKS:
            message = "adapter_config.json holds no configuration of PEFT"
            raise ConfigError(message)
        return cls.of(fields)

    @classmethod
    def of(cls, fields: Mapping[str, object], component: str = "") -> AdapterConfig:
        """The configuration in a parsed JSON object; fields of the wrong type count as absent."""
        path = fields.get("base_model_name_or_path")
        base = clean(path, 1_000) or None if isinstance(path, str) else None
        short = None if base is None else file_told(base) or None
        tokens = _numbers(fields.get("alora_invocation_tokens"))
        init = fields.get("init_lora_weights")
        method = _text(fields.get("peft_type"), 60)
        return cls(
            component=component,
            peft_type=None if method is None else method.rpartition(".")[2].upper(),
            base_model_name_or_path=short,
            is_local=base is not None and base != short and not base.startswith("http"),
            revision=_text(fields.get("revision"), 80),
            task_type=_text(fields.get("task_type"), 60),
            r=_whole(fields.get("r")),
            init_r=_whole(fields.get("init_r")),
            target_r=_whole(fields.get("target_r")),
            lora_alpha=_finite(fields.get("lora_alpha")),
            alpha=_finite(fields.get("alpha")),
            rank_pattern=Patterns.of(fields.get("rank_pattern")),
            alpha_pattern=Patterns.of(fields.get("alpha_pattern")),
            target_modules=_targets(fields.get("target_modules")),
            exclude_modules=_targets(fields.get("exclude_modules")),
            layers_to_transform=_numbers(fields.get("layers_to_transform")),
            modules_to_save=_names(fields.get("modules_to_save")),
            target_parameters=_names(fields.get("target_parameters")),
            use_rslora=fields.get("use_rslora") is True,
            use_dora=fields.get("use_dora") is True,
            bias=_text(fields.get("bias"), 40),
            lora_bias=fields.get("lora_bias") is True,
            fan_in_fan_out=fields.get("fan_in_fan_out") is True,
            init_lora_weights=init if isinstance(init, bool) else _text(init, 60),
            trainable_token_indices=_numbers(fields.get("trainable_token_indices")) or (),
            alora_invocation_tokens=tokens,
            peft_version=_text(fields.get("peft_version"), 60),
        )

    @property
    def declared_alpha(self) -> float | None:
        """The alpha of modules without one of their own."""
        return self.alpha if self.lora_alpha is None else self.lora_alpha

    def alpha_of(self, name: str) -> float | None:
        """Alpha of a module by its dotted name in the base model."""
        value = self.alpha_pattern.find(name)
        return self.declared_alpha if value is None else value

    def rank_of(self, name: str) -> float | None:
        """Rank of a module by its dotted name in the base model."""
        value = self.rank_pattern.find(name)
        return self.r if value is None else value

    def to_dict(self) -> dict[str, object]:
        """Plain JSON values of what is there."""
        values = {name: getattr(self, name) for name in self.__slots__ if name != "component"}
        plain = {
            name: value.to_dict()
            if isinstance(value, Patterns)
            else list(value)
            if isinstance(value, tuple)
            else value
            for name, value in values.items()
        }
        return {name: value for name, value in plain.items() if value not in (None, False, [], {})}


_MARKS = frozenset({"peft_type", "base_model_name_or_path", "r", "target_modules"})


def embedded_configs(metadata: Mapping[str, str]) -> tuple[AdapterConfig, ...]:
    """The configurations that diffusers wrote into a header, the denoiser's first.

    Keys are `<component>.<field>`; a bare field belongs to a component without a name.
    """
    notes = notes_of(metadata)
    if embedded_configs not in notes:
        notes[embedded_configs] = tuple(_embedded(metadata))
    found: tuple[AdapterConfig, ...] = notes[embedded_configs]
    return found


def _embedded(metadata: Mapping[str, str]) -> Iterator[AdapterConfig]:
    found = parsed(metadata, METADATA_KEY)
    if not isinstance(found, dict):
        return
    groups: dict[str, dict[str, object]] = {}
    for key, value in found.items():
        component, _, name = key.rpartition(".")
        if component in groups or len(groups) < _MOST_COMPONENTS:
            groups.setdefault(component, {})[name] = value
    order = {name: place for place, name in enumerate(("", *DENOISERS))}
    names = sorted(groups, key=lambda name: order.get(name, len(order)))
    for name in names:
        yield AdapterConfig.of(groups[name], clean(name, 60))


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        message = "adapter_config.json names a field twice"
        raise ConfigError(message)
    return found


def _refuse_constant(name: str) -> object:
    message = f"adapter_config.json holds {name}, which is no JSON"
    raise ConfigError(message)


def _text(value: object, most: int) -> str | None:
    return (told(value, most) or None) if isinstance(value, str) else None


def _finite(value: object) -> float | None:
    return None if isinstance(value, str) else number(value)


def _whole(value: object) -> int | None:
    return value if type(value) is int and 0 <= value < 2**31 else None


def _texts(value: object) -> Iterator[str]:
    for text in value[:_MOST_NAMES] if isinstance(value, list) else ():
        if isinstance(text, str):
            yield text[:_NAME_CHARS]


def _names(value: object) -> tuple[str, ...]:
    return tuple(_texts(value))


def _targets(value: object) -> tuple[str, ...] | str | None:
    if isinstance(value, str):
        return value[:_NAME_CHARS] or None
    return _names(value) or None


def _numbers(value: object) -> tuple[int, ...] | None:
    """Numbers of a list, of a lone number, or of every list in an object."""
    if type(value) is int:
        return (value,)
    if isinstance(value, dict):
        value = [entry for part in value.values() if isinstance(part, list) for entry in part]
    if not isinstance(value, list):
        return None
    return tuple(entry for entry in value[:_MOST_NAMES] if type(entry) is int)

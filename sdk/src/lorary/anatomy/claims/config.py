"""PEFT's configuration of an adapter: `adapter_config.json` beside the file, or inside its header.

    adapter_config.json                       {"peft_type": "LORA", "r": 16, …}
    __metadata__["lora_adapter_metadata"]     {"transformer.r": 16, "text_encoder.r": 8, …}

Both have the same fields; the second one has them for each component of a pipeline (diffusers).
Source: PEFT's configuration classes, and diffusers' `LORA_ADAPTER_METADATA_KEY`.
"""

from __future__ import annotations

import errno
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from lorary.anatomy.claims.metadata import (
    cache_of,
    clean,
    number,
    parsed_json,
    public_name,
    public_text,
)

# Matches PEFT's patterns of module names in bounded time.
#
# PEFT matches a pattern as the regular expression `(.*\.)?(<pattern>)$` against a module's name.
# Patterns come from untrusted files, so those that could take long match nothing.

_MOST_PATTERNS = 20_000
_MOST_EXPRESSIONS = 8
_PATTERN_CHARS = 500
_MATCHED_CHARS = 200
_LITERAL = re.compile(r"[\w.-]+")
_ATOM = re.compile(r"\\.|\[[^\]]{1,100}\]")
_LEADING = re.compile(r"\^?\.[*+]")
_RISKY = re.compile(r"\)[*+?]|\(\?[^:]|[*+?]{2}|\{")


@lru_cache(maxsize=256)
def compile_safe(pattern: str) -> re.Pattern[str] | None:
    """Compile an expression for `fullmatch`, or return None if it is invalid or could take long.

    Accepted are expressions without counted repeats, look-around and quantified groups, with at
    most two groups or alternatives, two `?`, and one `*` or `+` besides one at the beginning. They
    take at most quadratic time in the length of the name.
    """
    if len(pattern) > _PATTERN_CHARS:
        return None
    bare = _ATOM.sub("x", pattern)
    found = _LEADING.match(bare)
    rest = (bare[found.end() :] if found else bare).replace("(?:", "(")
    repeats = rest.count("*") + rest.count("+")
    groups = rest.count("(") if "|" in rest else 0
    if _RISKY.search(bare) or repeats > 1 or rest.count("?") > 2 or groups > 2:
        return None
    try:
        return re.compile(pattern)
    except (re.error, RecursionError, OverflowError):
        return None


@dataclass(frozen=True, slots=True)
class Patterns:
    """Numbers by pattern; the first pattern in the file that matches a name counts.

    Attributes:
        endings: Plain name to position and number; matches names that end with it.
        names: The same for patterns with `^`, which match a whole name.
        expressions: Position, number and compiled form of all other patterns.
    """

    endings: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    names: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    expressions: tuple[tuple[int, float, re.Pattern[str]], ...] = ()

    @classmethod
    def of(cls, raw: object) -> Patterns:
        """Return the patterns of a parsed JSON object, without those that are invalid."""
        endings: dict[str, tuple[int, float]] = {}
        names: dict[str, tuple[int, float]] = {}
        expressions: list[tuple[int, float, re.Pattern[str]]] = []
        pairs = list(raw.items())[:_MOST_PATTERNS] if isinstance(raw, dict) else []
        for position, (pattern, value) in enumerate(pairs):
            found = None if isinstance(value, str) else number(value)
            if found is None:
                continue
            bare = pattern.replace("\\.", ".").removesuffix("$")
            if _LITERAL.fullmatch(bare):
                endings[bare] = (position, found)
            elif bare.startswith("^") and _LITERAL.fullmatch(bare[1:]):
                names[bare[1:]] = (position, found)
            elif len(expressions) < _MOST_EXPRESSIONS:
                prefix = "" if _LEADING.match(pattern) or pattern.startswith("^") else r"(?:.*\.)?"
                if compile_safe(pattern) is not None:
                    expressions.append((position, found, re.compile(f"{prefix}(?:{pattern})")))
        return cls(endings, names, tuple(expressions))

    def __bool__(self) -> bool:
        return bool(self.endings or self.names or self.expressions)

    def find(self, name: str) -> float | None:
        """Return the number of the first pattern that matches a dotted module name."""
        matches = [self.names[name]] if name in self.names else []
        if self.endings:
            ending = name
            while ending:
                if ending in self.endings:
                    matches.append(self.endings[ending])
                ending = ending.partition(".")[2]
        if len(name) <= _MATCHED_CHARS:
            matches += [(at, value) for at, value, form in self.expressions if form.fullmatch(name)]
        return min(matches)[1] if matches else None

    def to_dict(self) -> dict[str, float]:
        """Return pattern to number, in the file's order; expressions in their compiled form."""
        found = [(*entry, text) for text, entry in self.endings.items()]
        found += [(*entry, f"^{text}") for text, entry in self.names.items()]
        found += [(position, value, form.pattern) for position, value, form in self.expressions]
        return {text: value for _, value, text in sorted(found)}


METADATA_KEY = "lora_adapter_metadata"
MOST_CONFIG_BYTES = 1024 * 1024
DENOISERS = ("transformer", "unet", "prior", "dit", "denoiser", "transformer_2")
"""Pipeline components that are its denoiser, in order of preference."""

_MOST_NAMES = 10_000
_NAME_CHARS = 500
_MOST_COMPONENTS = 16


class ConfigError(ValueError):
    """Raised for bytes that aren't an adapter configuration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterConfig:
    """PEFT's configuration of an adapter. Absent and invalid fields are None, empty or False.

    Attributes:
        target_modules: Endings of module names, or one regular expression.
        layers_to_transform: Numbers of the only layers that are adapted.
        alora_invocation_tokens: Tokens that activate an activated LoRA; None for others.
    """

    component: str = ""  # component of the pipeline, empty for an `adapter_config.json`
    peft_type: str | None = None  # method in capitals, such as `LORA`
    base_model_name_or_path: str | None = None  # base model; only the last part of a path
    is_local: bool = False  # the base model is named by a path on a computer
    revision: str | None = None  # revision of the base model
    task_type: str | None = None  # task, such as `CAUSAL_LM`
    r: int | None = None  # rank
    init_r: int | None = None  # AdaLoRA's rank at the beginning of the training
    target_r: int | None = None  # AdaLoRA's mean rank at its end; AdaLoRA ignores `r`
    lora_alpha: float | None = None  # LoRA's alpha
    alpha: float | None = None  # the alpha of LoHa, LoKr and GraLoRA
    rank_pattern: Patterns = field(default_factory=Patterns)  # ranks of single modules
    alpha_pattern: Patterns = field(default_factory=Patterns)  # alphas of single modules
    target_modules: tuple[str, ...] | str | None = None
    exclude_modules: tuple[str, ...] | str | None = None  # the same for excluded modules
    layers_to_transform: tuple[int, ...] | None = None
    modules_to_save: tuple[str, ...] = ()  # modules that are trained and saved whole
    target_parameters: tuple[str, ...] = ()  # single parameters that are adapted
    use_rslora: bool = False  # the scale is alpha / √rank
    use_dora: bool = False  # weights are decomposed into magnitude and direction
    bias: str | None = None  # which biases are trained: `none`, `all` or `lora_only`
    lora_bias: bool = False  # the up projections have biases
    fan_in_fan_out: bool = False  # weights of the base model are stored transposed
    init_lora_weights: str | bool | None = None  # how the factors were initialised
    trainable_token_indices: tuple[int, ...] = ()  # tokens whose embeddings are trained
    alora_invocation_tokens: tuple[int, ...] | None = None
    peft_version: str | None = None  # version that wrote it

    @classmethod
    def parse(cls, raw: bytes) -> AdapterConfig:
        """Return the configuration in the bytes of an `adapter_config.json`.

        Raises:
            ConfigError: The file is too large, not strict JSON, or not a configuration of PEFT.
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
            position = getattr(error, "pos", None)
            where = "" if position is None else f" (character {position:,})"
            message = f"adapter_config.json is not valid JSON{where}"
            raise ConfigError(message) from error
        if not isinstance(fields, dict):
            message = "adapter_config.json is not a JSON object"
            raise ConfigError(message)
        if not fields.keys() & _MARKS:
            message = "adapter_config.json is not a configuration of PEFT"
            raise ConfigError(message)
        return cls.of(fields)

    @classmethod
    def of(cls, fields: Mapping[str, object], component: str = "") -> AdapterConfig:
        """Return the configuration in a JSON object; fields of the wrong type count as absent."""
        path = fields.get("base_model_name_or_path")
        base = clean(path, 1_000) or None if isinstance(path, str) else None
        short = None if base is None else public_name(base) or None
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
            alora_invocation_tokens=_numbers(fields.get("alora_invocation_tokens")),
            peft_version=_text(fields.get("peft_version"), 60),
        )

    @property
    def declared_alpha(self) -> float | None:
        """The alpha of modules that don't have their own."""
        return self.alpha if self.lora_alpha is None else self.lora_alpha

    def alpha_of(self, name: str) -> float | None:
        """Return the alpha of a module, given its dotted name in the base model."""
        value = self.alpha_pattern.find(name)
        return self.declared_alpha if value is None else value

    def to_dict(self) -> dict[str, object]:
        """Return the fields that are set, as plain JSON values."""
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
    """Return the configurations that diffusers wrote into a header, the denoiser's first.

    Keys are `<component>.<field>`; a field alone belongs to a component without a name.
    """
    cache = cache_of(metadata)
    if embedded_configs not in cache:
        cache[embedded_configs] = tuple(_embedded(metadata))
    found: tuple[AdapterConfig, ...] = cache[embedded_configs]
    return found


def _embedded(metadata: Mapping[str, str]) -> Iterator[AdapterConfig]:
    found = parsed_json(metadata, METADATA_KEY)
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
        message = "adapter_config.json has a field twice"
        raise ConfigError(message)
    return found


def _refuse_constant(name: str) -> object:
    message = f"adapter_config.json contains {name}, which is not JSON"
    raise ConfigError(message)


def _text(value: object, most: int) -> str | None:
    return (public_text(value, most) or None) if isinstance(value, str) else None


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
    """Return the integers of a list, of a single number, or of all lists in an object."""
    if type(value) is int:
        return (value,)
    if isinstance(value, dict):
        value = [entry for part in value.values() if isinstance(part, list) for entry in part]
    if not isinstance(value, list):
        return None
    return tuple(entry for entry in value[:_MOST_NAMES] if type(entry) is int)


CONFIG_NAME = "adapter_config.json"
"""The file that PEFT writes beside the weights."""

PEFT_STEM = "adapter_model"
"""Prefix of PEFT's names of weights; the configuration beside such a file belongs to it."""
_SUFFIX = ".safetensors"


def require_file(path: Path) -> None:
    """Refuse anything but a regular file: opening a pipe or a device may block forever.

    Raises:
        OSError: The file doesn't exist, or isn't a regular file.
    """
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "Not a regular file", str(path))


def config_beside(path: Path) -> bytes | None:
    """Return the `adapter_config.json` in the file's folder, if it can only belong to this file.

    That is so if the file has PEFT's name, or is the only weights file in its folder.

    Returns:
        Its bytes, one more than the limit if it is too large; None if there is none.
    """
    place = path.with_name(CONFIG_NAME)
    try:
        is_file = stat.S_ISREG(place.stat().st_mode)
    except OSError:
        return None
    if not is_file or not (path.name.startswith(PEFT_STEM) or _is_alone(path)):
        return None
    try:
        with place.open("rb") as file:
            return file.read(MOST_CONFIG_BYTES + 1)
    except OSError:
        return b""  # the parser refuses it, so that a finding reports the unreadable file


def _is_alone(path: Path) -> bool:
    try:
        with os.scandir(path.parent) as entries:
            weights = (entry for entry in entries if entry.name.lower().endswith(_SUFFIX))
            return sum(1 for _ in zip(weights, range(2), strict=False)) < 2
    except OSError:
        return False

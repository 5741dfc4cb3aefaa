"""The tensors of one module in a file, and the scale of its update."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import torch

from previews.render.errors import CannotRender, Why

if TYPE_CHECKING:
    from torch import Tensor

    from previews.render.adapters.base_modules import BaseModule


@dataclass(frozen=True, slots=True)
class AdapterFile:
    """Tensors of a file by name, and PEFT's configuration."""

    tensors: Mapping[str, Tensor]
    config: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ModuleTensors:
    """Tensors of one module by part, and the module of the base that they change.

    Indexing returns float32. Use ``tensors`` for large parts, to keep them in the stored type.

    Raises:
        CannotRender: ``numbers``: a value is not finite.
    """

    name: str
    tensors: Mapping[str, Tensor]
    slot: BaseModule
    config: Mapping[str, Any]

    def __post_init__(self) -> None:
        if not all(torch.isfinite(value.float()).all() for value in self.tensors.values()):
            msg = f"This file holds numbers that are not finite: {self.name[:120]}"
            raise CannotRender(Why.NUMBERS, msg)

    def __getitem__(self, part: str) -> Tensor:
        return self.tensors[part].float()

    def __contains__(self, part: object) -> bool:
        return part in self.tensors

    def get(self, part: str, default: Tensor | None = None) -> Tensor | None:
        """Return a part, or ``default``."""
        value = self.tensors.get(part)
        return default if value is None else value.float()

    def scale(self, rank: int) -> float:
        """Return alpha / rank (alpha / √rank for rank-stabilised files)."""
        return scale_of(self.name, self.tensors.get("alpha"), rank, self.config, self.slot)

    def configured_rank(self) -> int | None:
        """Return the rank from PEFT's configuration; None without one."""
        config = _config_of(self.config, self.slot)
        if "r" not in config:
            return None
        return int(_by_pattern(config.get("rank_pattern") or {}, self.slot.name, config["r"]))

    def fit(self, part: str, size: int) -> Tensor:
        """Return a part as a vector, which must have ``size`` values."""
        value = self[part]
        if value.numel() != size:
            self.refuse(part)
        return value.flatten()

    def refuse(self, part: str) -> NoReturn:
        """Raise ``CannotRender``: a part does not have the size of the base's module."""
        shape = tuple(self.tensors[part].shape)
        msg = (
            f"This file was made for another base model: {self.name[:120]} has {part} of "
            f"{shape}, the base's module is {self.slot.shape}."
        )
        raise CannotRender(Why.SHAPE, msg)


def scale_of(
    name: str, alpha: Tensor | None, rank: int, config: Mapping[str, Any], slot: BaseModule | None
) -> float:
    """Return alpha / rank of a module (alpha / √rank for rank-stabilised files).

    Raises:
        CannotRender: alpha is not a single number.
    """
    if alpha is not None:
        if alpha.numel() != 1:
            msg = f"This file has an alpha that is not a number: {name[:120]}"
            raise CannotRender(Why.SHAPE, msg)
        return float(alpha) / rank
    config = _config_of(config, slot)
    general = config.get("lora_alpha", config.get("alpha", rank))
    patterns = config.get("alpha_pattern") or {}
    numerator = _by_pattern(patterns, slot.name if slot else name, general)
    return numerator / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _config_of(config: Mapping[str, Any], slot: BaseModule | None) -> Mapping[str, Any]:
    """Return the configuration of a component; diffusers prefixes each key with its name."""
    if slot is None or config.keys() & {"lora_alpha", "alpha", "peft_type"}:
        return config
    # Files for the second transformer may have the prefix of the first.
    parts = (slot.component, "transformer") if slot.component == "transformer_2" else None
    for prefix in (f"{part}." for part in parts or (slot.component,)):
        ours = {key.removeprefix(prefix): config[key] for key in config if key.startswith(prefix)}
        if ours:
            return ours
    return {}


def _by_pattern(patterns: Mapping[str, Any], name: str, default: Any) -> float:  # noqa: ANN401
    """Return the value of the pattern that matches the end of a module's name, as in PEFT."""
    plain = name.removeprefix("base_model.model.")
    fitting = (
        value
        for pattern, value in patterns.items()
        # “^” means that the pattern must match the whole name.
        if plain == pattern.removeprefix("^") or plain.endswith(f".{pattern}")
    )
    return float(next(fitting, default))

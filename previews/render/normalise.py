"""Any adapter file becomes one form: ``<component>.<module>.lora_A/B.weight``, alphas folded in.

Two defects of diffusers 0.42 make this necessary: kohya files whose alpha differs between
modules load at a wrong scale, and files that mix two spellings lose most of their modules with
a warning only. After normalising there is one spelling, and no alpha to be misread:

    W' = W + (alpha / rank) · B A   becomes   B' = (alpha / rank) · B,   W' = W + B' A
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open

from previews.render.errors import CannotRender, Why
from previews.render.fused import unfused
from previews.render.keys import group

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from torch import Tensor

    from previews.render.keys import Part
    from previews.render.modules import Slot, Table

    #: Turns names of the original authors' code into diffusers' (``pipeline.lora_state_dict``).
    Convert = Callable[[dict[str, Tensor]], dict[str, Tensor]]

__all__ = ["AdapterFile", "Normal", "normalise", "read"]

#: Key under which diffusers keeps an adapter's PEFT configuration in the file's metadata.
_DIFFUSERS_CONFIG = "lora_adapter_metadata"


@dataclass(frozen=True, slots=True)
class AdapterFile:
    """A file as read: tensors by name, and the PEFT configuration if one came along."""

    tensors: Mapping[str, Tensor]
    config: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Normal:
    """An adapter in the one form; ``slots`` are the modules it changes."""

    state: dict[str, Tensor]
    slots: tuple[Slot, ...]

    @property
    def modules(self) -> int:
        """Modules that the file changes."""
        return len(self.slots)


def read(path: Path, config: Mapping[str, Any] | None = None) -> AdapterFile:
    """Read a safetensors file; ``config`` is a PEFT ``adapter_config.json`` beside it.

    Raises:
        CannotRender: ``unreadable``.
    """
    try:
        with safe_open(path, framework="pt", device="cpu") as handle:
            metadata = handle.metadata() or {}
            tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
        said = json.loads(metadata.get(_DIFFUSERS_CONFIG, "{}"))
    except (OSError, SafetensorError, ValueError, RecursionError) as error:
        msg = f"This file cannot be read as safetensors: {error}"
        raise CannotRender(Why.UNREADABLE, msg) from error
    inside = said if isinstance(said, dict) else {}
    return AdapterFile(tensors, {**inside, **(config or {})})


def normalise(
    file: AdapterFile,
    table: Table,
    convert: Convert | None = None,
    dtype: torch.dtype | None = None,
) -> Normal:
    """Return the adapter in the one form, checked against the modules of the base.

    Args:
        file: What ``read`` returned.
        table: Modules of the base.
        convert: Used for names that the table does not have, once alphas are folded.
        dtype: Type of the result; folding is done in float32.

    Raises:
        CannotRender: another algorithm, foreign modules, wrong shapes, numbers that are not finite.
    """
    file = replace(file, tensors=unfused(file.tensors, table))
    modules = group(file.tensors)
    if convert is not None and any(table.find(name) is None for name in modules):
        converted = _converted(_folded_in_place(file, modules), convert)
        file = AdapterFile(converted, {})
        modules = group(converted)
    state: dict[str, Tensor] = {}
    slots: dict[str, Slot] = {}
    for name, parts in modules.items():
        slot = _slot(table, name)
        if slot.path in slots:
            msg = f"This file changes a module under two names: {slot.path}"
            raise CannotRender(Why.KEYS, msg)
        slots[slot.path] = slot
        update = _update(file, name, parts, slot)
        state |= {f"{slot.path}.{key}": _cast(value, dtype, name) for key, value in update.items()}
    return Normal(state, tuple(slots.values()))


def _slot(table: Table, name: str) -> Slot:
    slot = table.find(name)
    if slot is None:
        msg = f"The base model has no module for this part of the file: {name[:120]}"
        raise CannotRender(Why.MODULES, msg)
    return slot


def _update(file: AdapterFile, name: str, parts: dict[Part, str], slot: Slot) -> dict[str, Tensor]:
    down = file.tensors[parts["down"]].to(torch.float32)
    up = file.tensors[parts["up"]].to(torch.float32)
    rank = down.shape[0] if down.ndim else 0
    if "mid" in parts:
        # Tucker form: a 3x3 core between two 1x1 convolutions is one 3x3 convolution.
        mid = file.tensors[parts["mid"]].to(torch.float32)
        down = torch.einsum("abhw,bi->aihw", mid, down.flatten(1))
    if up.ndim < 2 or up.shape[1] != down.shape[0] or not rank:
        msg = f"The two halves of a module do not fit each other: {name[:120]}"
        raise CannotRender(Why.SHAPE, msg)
    up = up * _scale(file, name, parts, rank, slot)
    result = {
        "lora_A.weight": _fitted(down, slot, name),
        "lora_B.weight": _fitted_up(up, slot, name),
    }
    if "magnitude" in parts:
        magnitude = file.tensors[parts["magnitude"]].to(torch.float32)
        result["lora_magnitude_vector"] = _magnitude(magnitude, slot, name)
    return result


def _fitted(down: Tensor, slot: Slot, name: str) -> Tensor:
    """Return ``down`` as the base's layer wants it: ``(rank, in)`` or ``(rank, in, k, k)``."""
    rank = down.shape[0]
    if down.numel() != rank * math.prod(slot.shape[1:]):
        _refuse_shape(name, down, slot)
    return down.reshape(rank, *slot.shape[1:]).contiguous()


def _fitted_up(up: Tensor, slot: Slot, name: str) -> Tensor:
    """Return ``up`` as ``(out, rank)`` or ``(out, rank, 1, 1)``."""
    if up.shape[0] != slot.shape[0] or up.numel() != up.shape[0] * up.shape[1]:
        _refuse_shape(name, up, slot)
    flat = up.reshape(up.shape[0], up.shape[1])
    return (flat[:, :, None, None] if slot.is_conv else flat).contiguous()


def _magnitude(value: Tensor, slot: Slot, name: str) -> Tensor:
    """Return DoRA's magnitudes of the rows; those of columns are another model.

    LyCORIS writes ``(out, 1)`` when it normalises rows and ``(1, in)`` when columns.
    """
    if value.numel() != slot.shape[0] or (value.ndim > 1 and value.shape[0] != slot.shape[0]):
        if slot.is_conv and value.shape[:2] == (1, slot.shape[0]):
            return value.contiguous()
        msg = f"This file's DoRA is normalised in a way the renderer does not know: {name[:120]}"
        raise CannotRender(Why.ALGORITHM, msg)
    return (value.reshape(1, -1, 1, 1) if slot.is_conv else value.flatten()).contiguous()


def _refuse_shape(name: str, tensor: Tensor, slot: Slot) -> None:
    msg = (
        f"This file was made for another base model: {name[:120]} is "
        f"{tuple(tensor.shape)}, the base's module is {slot.shape}."
    )
    raise CannotRender(Why.SHAPE, msg)


def _cast(value: Tensor, dtype: torch.dtype | None, name: str) -> Tensor:
    if not torch.isfinite(value).all():
        msg = f"This file holds numbers that are not finite: {name[:120]}"
        raise CannotRender(Why.NUMBERS, msg)
    return value if dtype is None else value.to(dtype)


def _scale(
    file: AdapterFile, name: str, parts: dict[Part, str], rank: int, slot: Slot | None
) -> float:
    """Return alpha / rank of a module (alpha / √rank for rank-stabilised files)."""
    if "alpha" in parts:
        alpha = file.tensors[parts["alpha"]]
        if alpha.numel() != 1:
            msg = f"This file has an alpha that is no number: {name[:120]}"
            raise CannotRender(Why.SHAPE, msg)
        return float(alpha) / rank
    config = _config_of(file.config, slot)
    said = config.get("alpha_pattern") or {}
    alpha_said = _by_pattern(said, slot.name if slot else name, config.get("lora_alpha", rank))
    return alpha_said / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _config_of(config: Mapping[str, Any], slot: Slot | None) -> Mapping[str, Any]:
    """Return the part about a component; diffusers prefixes each key with its name."""
    if slot is None or "lora_alpha" in config:
        return config
    prefix = f"{slot.component}."
    ours = (key for key in config if key.startswith(prefix))
    return {key.removeprefix(prefix): config[key] for key in ours}


def _by_pattern(patterns: Mapping[str, Any], name: str, default: Any) -> float:  # noqa: ANN401
    """Return the value of the pattern that ends a module's name, as PEFT reads them."""
    plain = name.removeprefix("base_model.model.")
    fitting = (
        value
        for pattern, value in patterns.items()
        if plain == (bare := pattern.removeprefix("^")) or plain.endswith(f".{bare}")
    )
    return float(next(fitting, default))


def _folded_in_place(file: AdapterFile, modules: dict[str, dict[Part, str]]) -> dict[str, Tensor]:
    """Return the file under its own names with every alpha equal to its rank."""
    tensors = dict(file.tensors)
    for name, parts in modules.items():
        down, up = tensors[parts["down"]], tensors[parts["up"]]
        rank = max(1, down.shape[0])
        scale = _scale(file, name, parts, rank, None)
        tensors[parts["up"]] = up.to(torch.float32) * scale
        tensors[parts["down"]] = down.to(torch.float32)
        if "alpha" in parts:
            tensors[parts["alpha"]] = torch.tensor(float(rank))
    return tensors


def _converted(tensors: dict[str, Tensor], convert: Convert) -> dict[str, Tensor]:
    try:
        return convert(tensors)
    except (ValueError, KeyError, RuntimeError, AttributeError, IndexError) as error:
        msg = f"The names in this file are not those of the base model: {error}"
        raise CannotRender(Why.MODULES, msg) from error

"""Any adapter file becomes one form: for each module of the base, what is added to its weight.

Files of the original authors' code are converted by diffusers where the names are not known here.
diffusers 0.42 scales kohya files with mixed alphas wrongly, so every alpha is folded in before:

    W' = W + (alpha / rank) · B A   becomes   B' = (alpha / rank) · B,   W' = W + B' A
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from lorary.safetensors import HeaderError, read_header
from previews.render.adapters.keys import group
from previews.render.adapters.module_tensors import AdapterFile, Pieces, scale_of
from previews.render.adapters.updates import part_of, update_of
from previews.render.errors import CannotRender, Why

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from torch import Tensor

    from previews.render.adapters.base_modules import Slot, Table
    from previews.render.adapters.keys import Module
    from previews.render.adapters.updates import Update

    #: Turns names of the original authors' code into diffusers' (``pipeline.lora_state_dict``).
    Convert = Callable[[dict[str, Tensor]], dict[str, Tensor]]
    from torch import Tensor

__all__ = ["Normal", "normalise", "read", "read_tensors", "unfused"]

#: Key under which diffusers keeps an adapter's PEFT configuration in the file's metadata.
_DIFFUSERS_CONFIG = "lora_adapter_metadata"


@dataclass(frozen=True, slots=True)
class Normal:
    """An adapter in the one form: every module that the file changes, with its update."""

    updates: Mapping[Slot, Update]

    @property
    def modules(self) -> int:
        """Modules of the base that the file changes."""
        return len(self.updates)


def read(path: Path, config: Mapping[str, Any] | None = None) -> AdapterFile:
    """Read a safetensors file; ``config`` is a PEFT ``adapter_config.json`` beside it.

    Raises:
        CannotRender: ``unreadable``.
    """
    try:
        tensors, metadata = read_tensors(path)
        said = json.loads(metadata.get(_DIFFUSERS_CONFIG, "{}"))
    except (OSError, HeaderError, ValueError, RecursionError) as error:
        msg = f"This file cannot be read as safetensors: {error}"
        raise CannotRender(Why.UNREADABLE, msg) from error
    inside = said if isinstance(said, dict) else {}
    return AdapterFile(tensors, {**inside, **(config or {})})


def normalise(file: AdapterFile, table: Table, convert: Convert | None = None) -> Normal:
    """Return the adapter in the one form, checked against the modules of the base.

    Args:
        file: What ``read`` returned.
        table: Modules of the base.
        convert: Used for names that the table does not have, once alphas are folded.

    Raises:
        CannotRender: an unknown algorithm, foreign modules, wrong shapes, numbers that are not
            finite.
    """
    file = replace(file, tensors=unfused(file.tensors, table))
    modules = group(file.tensors)
    if convert is not None:
        file, modules = _with_known_names(file, modules, table, convert)
    updates: dict[Slot, Update] = {}
    for name, module in modules.items():
        for slot, update in _updates(file, name, module, table):
            if slot in updates:
                msg = f"This file changes a module under two names: {slot.path}"
                raise CannotRender(Why.KEYS, msg)
            updates[slot] = update
    return Normal(updates)


def _updates(
    file: AdapterFile, name: str, module: Module, table: Table
) -> Iterator[tuple[Slot, Update]]:
    tensors = {part: file.tensors[key] for part, key in module.parts.items()}
    slot = table.find(name)
    if slot is not None:
        yield slot, update_of(module.algorithm, Pieces(name, tensors, slot, file.config))
        return
    slots = table.find_fused(name)
    if not slots:
        msg = f"The base model has no module for this part of the file: {name[:120]}"
        raise CannotRender(Why.MODULES, msg)
    whole = _whole(slots)
    update = update_of(module.algorithm, Pieces(name, tensors, whole, file.config))
    start = 0
    for slot in slots:
        end = start + slot.shape[0]
        yield slot, part_of(update, whole, slice(start, end), name)
        start = end


def _whole(slots: tuple[Slot, ...]) -> Slot:
    """Return the fused module whose rows are those of ``slots``, one after the other."""
    rows = sum(slot.shape[0] for slot in slots)
    has_bias = all(slot.bias_size for slot in slots)
    return replace(slots[0], shape=(rows, *slots[0].shape[1:]), bias_size=rows if has_bias else 0)


# --- Names of the original authors' code -------------------------------------------------------


def _with_known_names(
    file: AdapterFile, modules: dict[str, Module], table: Table, convert: Convert
) -> tuple[AdapterFile, dict[str, Module]]:
    """Have the low-rank pairs converted if one of them has a name that the table does not know."""
    pairs = {name: module for name, module in modules.items() if module.algorithm == "lora"}
    if all(table.find(name) for name in pairs):
        return file, modules
    theirs = {key for module in pairs.values() for key in module.parts.values()}
    others = {key: value for key, value in file.tensors.items() if key not in theirs}
    converted = _converted(_folded(file, pairs), convert)
    config = file.config if others else {}
    file = AdapterFile(converted | others, config)
    return file, group(file.tensors)


def _folded(file: AdapterFile, pairs: Mapping[str, Module]) -> dict[str, Tensor]:
    """Return pairs under their own names with every alpha equal to its rank."""
    tensors: dict[str, Tensor] = {}
    for name, module in pairs.items():
        parts = {part: file.tensors[key] for part, key in module.parts.items()}
        rank = max(1, parts["down"].shape[0])
        scale = scale_of(name, parts.get("alpha"), rank, file.config, None)
        scales = {"up": scale, "up_bias": scale}
        for part, key in module.parts.items():
            tensors[key] = parts[part].to(torch.float32) * scales.get(part, 1.0)
            if part == "alpha":
                tensors[key] = torch.tensor(float(rank))
    return tensors


def _converted(tensors: dict[str, Tensor], convert: Convert) -> dict[str, Tensor]:
    try:
        return convert(tensors)
    except (ValueError, KeyError, RuntimeError, AttributeError, IndexError) as error:
        msg = f"The names in this file are not those of the base model: {error}"
        raise CannotRender(Why.MODULES, msg) from error


#: Tensors that every part has in common, and those that are cut by rows.
_SHARED = re.compile(r"\.(alpha|(lora_down|lora\.down)\.weight|lora_A(\.[^.]+)?\.weight)\Z")
_ROWS = re.compile(
    r"\.((lora_up|lora\.up)\.weight|lora_B(\.[^.]+)?\.weight"
    r"|dora_scale|lora_magnitude_vector(\.[^.]+)?)\Z"
)
_UP = re.compile(r"\.((lora_up|lora\.up)\.weight|lora_B(\.[^.]+)?\.weight)\Z")


def unfused(tensors: Mapping[str, Tensor], table: Table) -> dict[str, Tensor]:
    """Return the tensors with fused modules taken apart; all others stay as they are.

    Raises:
        CannotRender: ``shape`` where the rows are not those of the parts together.
    """
    result: dict[str, Tensor] = {}
    # Other methods have an alpha too, and are taken apart when their update is known.
    pairs = {name[: up.start()] for name in tensors if (up := _UP.search(name))}
    for name, tensor in tensors.items():
        found = _SHARED.search(name) or _ROWS.search(name)
        module = name[: found.start()] if found else ""
        slots = table.find_fused(module) if module in pairs else ()
        if not (found and slots):
            result[name] = tensor
            continue
        parts = _rows(tensor, slots, name) if _ROWS.search(name) else [tensor] * len(slots)
        for slot, part in zip(slots, parts, strict=True):
            result[f"{slot.path}{found.group()}"] = part
    return result


def _rows(tensor: Tensor, slots: tuple[Slot, ...], name: str) -> list[Tensor]:
    sizes = [slot.shape[0] for slot in slots]
    if tensor.ndim == 0 or tensor.shape[0] != sum(sizes):
        msg = (
            f"This file was made for another base model: {name[:120]} has "
            f"{tuple(tensor.shape)}, the base's modules have {sizes} rows."
        )
        raise CannotRender(Why.SHAPE, msg)
    return list(torch.split(tensor, sizes))


_TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E4M3FNUZ": torch.float8_e4m3fnuz,
    "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return tensors and metadata of a file.

    Raises:
        HeaderError: no safetensors file, or not a sound one.
        ValueError: a number format that torch does not have, or a file that was cut meanwhile.
        OSError: it cannot be read.
    """
    tensors: dict[str, Tensor] = {}
    with path.open("rb") as file:
        header = read_header(file)
        for name, info in sorted(header.tensors.items(), key=lambda item: item[1].begin):
            if info.dtype not in _TYPES:
                msg = f"numbers in the format {info.dtype}"
                raise ValueError(msg)
            numbers = bytearray(info.size_bytes)
            file.seek(header.data_start + info.begin)
            if file.readinto(numbers) != info.size_bytes:
                msg = "the file ends too early"
                raise ValueError(msg)
            tensors[name] = _tensor(numbers, _TYPES[info.dtype], info.shape)
    return tensors, dict(header.metadata)


def _tensor(numbers: bytearray, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    if not math.prod(shape):
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(numbers, dtype=dtype).reshape(shape)

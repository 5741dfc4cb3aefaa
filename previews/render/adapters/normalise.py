"""Normalises adapter files: returns an update for each module of the base.

diffusers converts names of the original authors' code that the table does not know. diffusers 0.42
scales kohya files with mixed alphas wrongly, so every alpha is folded in first:

    W' = W + (alpha / rank) · B A   becomes   B' = (alpha / rank) · B,   W' = W + B' A

Some modules of the original code, such as ``qkv``, are several in diffusers. The rows of a fused
layer are those of its parts, one after the other, and so are those of its update:

    [q; k; v] + B A  =  [q + B_q A; k + B_k A; v + B_v A],   B = [B_q; B_k; B_v]
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from lorary.safetensors import HeaderError, read_header
from previews.render.adapters.keys import Module, group
from previews.render.adapters.module_tensors import AdapterFile, ModuleTensors, scale_of
from previews.render.adapters.updates import Update, part_of, update_of
from previews.render.errors import CannotRender, Why

if TYPE_CHECKING:
    from torch import Tensor

    from previews.render.adapters.base_modules import BaseModule, Table

    #: Turns names of the original authors' code into diffusers' (``pipeline.lora_state_dict``).
    Convert = Callable[[dict[str, Tensor]], dict[str, Tensor]]

#: Key under which diffusers keeps an adapter's PEFT configuration in the file's metadata.
_DIFFUSERS_CONFIG = "lora_adapter_metadata"


def read(path: Path, config: Mapping[str, Any] | None = None) -> AdapterFile:
    """Read a safetensors file; ``config`` is PEFT's ``adapter_config.json`` from its folder.

    Raises:
        CannotRender: ``unreadable``.
    """
    try:
        tensors, metadata = read_tensors(path)
        document = json.loads(metadata.get(_DIFFUSERS_CONFIG, "{}"))
    except (OSError, HeaderError, ValueError, RecursionError) as error:
        msg = f"This file cannot be read as safetensors: {error}"
        raise CannotRender(Why.UNREADABLE, msg) from error
    inside = document if isinstance(document, dict) else {}
    return AdapterFile(tensors, {**inside, **(config or {})})


def normalise(
    file: AdapterFile, table: Table, convert: Convert | None = None
) -> dict[BaseModule, Update]:
    """Return the update for each module of the base that a file changes.

    Args:
        file: The file returned by ``read``.
        convert: Converts names that the table does not have.

    Raises:
        CannotRender: unknown methods or modules, wrong shapes, values that are not finite.
    """
    file = replace(file, tensors=unfused(file.tensors, table))
    modules = group(file.tensors)
    if convert is not None:
        file, modules = _with_known_names(file, modules, table, convert)
    updates: dict[BaseModule, Update] = {}
    for name, module in modules.items():
        for slot, update in _updates(file, name, module, table):
            if slot in updates:
                msg = f"This file changes a module under two names: {slot.path}"
                raise CannotRender(Why.KEYS, msg)
            updates[slot] = update
    return updates


def _updates(
    file: AdapterFile, name: str, module: Module, table: Table
) -> Iterator[tuple[BaseModule, Update]]:
    tensors = {part: file.tensors[key] for part, key in module.parts.items()}
    slot = table.find(name)
    if slot is not None:
        yield slot, update_of(module.algorithm, ModuleTensors(name, tensors, slot, file.config))
        return
    slots = table.find_fused(name)
    if not slots:
        msg = f"The base model has no module for this part of the file: {name[:120]}"
        raise CannotRender(Why.MODULES, msg)
    whole = _whole(slots)
    update = update_of(module.algorithm, ModuleTensors(name, tensors, whole, file.config))
    start = 0
    for slot in slots:
        end = start + slot.shape[0]
        yield slot, part_of(update, whole, slice(start, end), name)
        start = end


def _whole(slots: tuple[BaseModule, ...]) -> BaseModule:
    """Return the fused module that consists of ``slots``."""
    rows = sum(slot.shape[0] for slot in slots)
    has_bias = all(slot.bias_size for slot in slots)
    return replace(slots[0], shape=(rows, *slots[0].shape[1:]), bias_size=rows if has_bias else 0)


# --- Names of the original authors' code -------------------------------------------------------


def _with_known_names(
    file: AdapterFile, modules: dict[str, Module], table: Table, convert: Convert
) -> tuple[AdapterFile, dict[str, Module]]:
    """Convert all low-rank pairs if the table lacks the name of any of them."""
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
    """Return low-rank pairs with every alpha equal to its rank."""
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


#: Tensors that all parts of a fused module share, and those that are split by rows.
_SHARED = re.compile(r"\.(alpha|(lora_down|lora\.down)\.weight|lora_A(\.[^.]+)?\.weight)\Z")
_ROWS = re.compile(
    r"\.((lora_up|lora\.up)\.weight|lora_B(\.[^.]+)?\.weight"
    r"|dora_scale|lora_magnitude_vector(\.[^.]+)?)\Z"
)
_UP = re.compile(r"\.((lora_up|lora\.up)\.weight|lora_B(\.[^.]+)?\.weight)\Z")


def unfused(tensors: Mapping[str, Tensor], table: Table) -> dict[str, Tensor]:
    """Return the tensors with low-rank pairs of fused modules split into their parts.

    Raises:
        CannotRender: ``shape``: the number of rows differs from that of the parts.
    """
    result: dict[str, Tensor] = {}
    # Updates of other methods, which may also have an alpha, are split later.
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


def _rows(tensor: Tensor, slots: tuple[BaseModule, ...], name: str) -> list[Tensor]:
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
    """Return the tensors and metadata of a file.

    safetensors 0.8 is not used, because it leaks a tenth of a megabyte for each adapter of a
    large model.

    Raises:
        HeaderError: not a valid safetensors file.
        ValueError: a number format that torch does not support, or the file is incomplete.
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
            dtype = _TYPES[info.dtype]
            is_empty = not math.prod(info.shape)
            flat = (
                torch.empty(0, dtype=dtype) if is_empty else torch.frombuffer(numbers, dtype=dtype)
            )
            tensors[name] = flat.reshape(info.shape)
    return tensors, dict(header.metadata)

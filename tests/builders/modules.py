"""Headers of hand-written tensor names, without bytes: vectors for names, shapes and kinds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from lorary.anatomy.modules.adapted import Scan, scan
from lorary.safetensors import Header, TensorInfo

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Shapes = dict[str, tuple[int, ...]]

PEFT = (".lora_A.weight", ".lora_B.weight")
LYCORIS = (".lora_down.weight", ".lora_up.weight")
DOWN_UP = (".lora.down.weight", ".lora.up.weight")


def header(
    shapes: Mapping[str, tuple[int, ...]], metadata: Mapping[str, str] | None = None
) -> Header:
    """A header with these tensors, all of them F16."""
    tensors = {}
    place = 0
    for name, shape in shapes.items():
        end = place + 2 * math.prod(shape)
        tensors[name] = TensorInfo("F16", tuple(shape), place, end)
        place = end
    return Header(tensors, dict(metadata or {}), 0, 8 + place)


def scanned(shapes: Mapping[str, tuple[int, ...]]) -> Scan:
    """The same, grouped."""
    return scan(header(shapes))


def pairs(
    modules: Iterable[str],
    suffixes: tuple[str, str] = PEFT,
    *,
    out: int = 320,
    fan_in: int = 320,
    rank: int = 4,
) -> Shapes:
    """A LoRA pair for every module."""
    shapes: Shapes = {}
    for module in modules:
        shapes[module + suffixes[0]] = (rank, fan_in)
        shapes[module + suffixes[1]] = (out, rank)
    return shapes


def one(module: str, suffixes: Mapping[str, tuple[int, ...]]) -> Shapes:
    """Tensors of one module by suffix."""
    return {module + suffix: shape for suffix, shape in suffixes.items()}

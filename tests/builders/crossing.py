"""Whole adapters of any base model, convention and algorithm, by shapes alone.

    header(modules, "kohya", "lokr", rank=16)

writes no numbers: a header is all that an analysis reads, so thousands of modules cost nothing.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from lorary.safetensors import Header, TensorInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Shape = tuple[int, ...]

CONVENTIONS: Mapping[str, tuple[str, bool]] = {
    "kohya": ("lora_unet_", True),
    "comfyui_diffusion_model": ("diffusion_model.", False),
    "diffusers_peft": ("transformer.", False),
    "simpletuner_lycoris": ("lycoris_", True),
    "peft": ("base_model.model.", False),
    "onetrainer_legacy": ("lora_transformer_", True),
    "bare_peft_default": ("", False),
    "diffusers_down_up": ("transformer.", False),
}
"""Convention to its prefix, and whether dots become underscores."""

_UNET = ("down_blocks", "mid_block", "up_blocks")

_PEFT = ("lora_A.weight", "lora_B.weight")
_SUFFIXES: Mapping[str, tuple[str, str]] = {
    "comfyui_diffusion_model": _PEFT,
    "diffusers_peft": _PEFT,
    "peft": _PEFT,
    "bare_peft_default": ("lora_A.default.weight", "lora_B.default.weight"),
    "diffusers_down_up": ("lora.down.weight", "lora.up.weight"),
}
"""Convention to its suffixes of a LoRA pair, where they are not kohya's; it has no alphas."""


def _lora(shape: Shape, rank: int) -> Iterator[tuple[str, Shape]]:
    kernel = shape[2:]
    yield "lora_down.weight", (rank, shape[1], *kernel)
    yield "lora_up.weight", (shape[0], rank, *(1 for _ in kernel))
    yield "alpha", ()


def _renamed(suffixes: tuple[str, str]) -> Callable[[Shape, int], Iterator[tuple[str, Shape]]]:
    def make(shape: Shape, rank: int) -> Iterator[tuple[str, Shape]]:
        shapes = [sizes for name, sizes in _lora(shape, rank) if name != "alpha"]
        return zip(suffixes, shapes, strict=True)

    return make


def _dora(shape: Shape, rank: int) -> Iterator[tuple[str, Shape]]:
    yield from _lora(shape, rank)
    yield "dora_scale", (shape[0], *(1 for _ in shape[1:]))


def _loha(shape: Shape, rank: int) -> Iterator[tuple[str, Shape]]:
    for name in ("hada_w1", "hada_w2"):
        yield f"{name}_a", (shape[0], rank)
        yield f"{name}_b", (rank, math.prod(shape[1:]))
    yield "alpha", ()


def _lokr(shape: Shape, rank: int) -> Iterator[tuple[str, Shape]]:
    rows, columns = math.gcd(shape[0], 16), math.gcd(shape[1], 16)
    yield "lokr_w1", (rows, columns)
    yield "lokr_w2_a", (shape[0] // rows, rank)
    yield "lokr_w2_b", (rank, math.prod(shape[1:]) // columns)
    yield "alpha", ()


def _full(shape: Shape, rank: int) -> Iterator[tuple[str, Shape]]:
    del rank
    yield "diff", shape


ALGORITHMS: Mapping[str, Callable[[Shape, int], Iterator[tuple[str, Shape]]]] = {
    "lora": _lora,
    "dora": _dora,
    "loha": _loha,
    "lokr": _lokr,
    "full": _full,
}
"""Algorithm to the tensors it trains for a weight, in kohya's and LyCORIS' spelling."""


def header(
    modules: Mapping[str, Shape],
    convention: str,
    algorithm: str = "lora",
    *,
    rank: int = 16,
    encoders: Mapping[str, Mapping[str, Shape]] | None = None,
) -> Header:
    """The header of an adapter of some modules.

    Args:
        modules: Dotted name to weight shape `(out, in, *kernel)`.
        convention: A key of `CONVENTIONS`.
        algorithm: A key of `ALGORITHMS`.
        rank: Inner size of the factors.
        encoders: Prefix such as `lora_te1_` to the modules of that text encoder.
    """
    prefix, is_flat = CONVENTIONS[convention]
    if prefix == "transformer." and any(path.startswith(_UNET) for path in modules):
        prefix = "unet."
    make = ALGORITHMS[algorithm]
    if algorithm == "lora" and convention in _SUFFIXES:
        make = _renamed(_SUFFIXES[convention])
    tensors: dict[str, TensorInfo] = {}
    place = 0
    for stem, group in {prefix: modules, **(encoders or {})}.items():
        for path, shape in group.items():
            name = stem + (path.replace(".", "_") if is_flat else path)
            for suffix, sizes in make(shape, rank):
                end = place + 2 * math.prod(sizes)
                tensors[f"{name}.{suffix}"] = TensorInfo("F16", sizes, place, end)
                place = end
    return Header(tensors, {}, 0, 8 + place)

"""Layers of a base model that a file holds itself: all of a checkpoint, a half in a ControlNet.

    model.diffusion_model.input_blocks.1.0.in_layers.2.weight
    └outer names──┘└──────────path────────────────┘

The path is looked up in the same tables as the modules of an adapter.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, NamedTuple

from lorary.anatomy.families import block_name, family_index
from lorary.anatomy.modules.adapted import Module
from lorary.anatomy.modules.shapes import Dims

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from lorary.safetensors import TensorInfo

__all__ = ["copied"]

_WEIGHT = ".weight"
_OUTER = re.compile(
    r"(?:(?:model|module|diffusion_model|unet|transformer|net|dit|control_model|controlnet)\.){1,256}"
)
_OTHER_PARTS = re.compile(
    r"(?:first_stage_model|vae|cond_stage_model|conditioner|text_encoders?(?:_\d)?|image_encoder"
    r"|clip_vision|model_ema|denoiser)\."
)
# Layers of an animation that stand between those of the base model; and bare parameters under the
# name of a layer, such as what sends numbers to HiDream's experts.
_BETWEEN = re.compile(r"(?:^|\.)motion_modules\.|\.ff_i\.gate$")
# What only a ControlNet has: layers for the hint, and those that lead back into the base model.
_OWN = re.compile(
    r"^(?:controlnet_|control_|task_|spatial_|transformer_layes\.)"
    r"|^(?:input_hint_block|zero_convs|middle_block_out|pos_embed_input|input_block)(?:\.|$)"
    r"|(?:^|\.)(?:before_proj|after_proj|zero_linear)$"
)
_RENAMED = (
    (
        re.compile(r"^controlnet_blocks\.(\d{1,9})\.(?:transformer|copied)_block\."),
        r"transformer_blocks.\1.",
    ),
    (re.compile(r"^control_(layers|noise_refiner)\."), r"\1."),
)
# Two numbers, or a few, in one byte: the shape of the tensor is not that of the weight.
_PACKED = frozenset({"U8", "F4"})


class _Copy(NamedTuple):
    """A layer: its name in the file, its name in the base model, and its sizes."""

    name: str
    path: str
    dims: Dims
    tensor: TensorInfo
    is_flat: bool = False


def copied(kind: str, tensors: Mapping[str, TensorInfo]) -> tuple[Module, ...]:
    """Find the layers of the denoiser that a file repeats.

    Args:
        kind: What the file is.
        tensors: Its tensors.

    Returns:
        The layers as modules of a file; none for kinds that repeat nothing.
    """
    finder = _FINDERS.get(kind)
    return () if finder is None else tuple(map(_module, finder(tensors)))


def _module(copy: _Copy) -> Module:
    place = family_index().find(copy.path, is_flat=copy.is_flat)
    block = block_name(copy.path) if place is None else place.block
    return Module(copy.name, "denoiser", block, "", (), copy.dims, {"base": copy.tensor}, place)


def _of_checkpoint(tensors: Mapping[str, TensorInfo]) -> Iterator[_Copy]:
    for name, tensor in tensors.items():
        if name.endswith(_WEIGHT) and len(tensor.shape) > 1 and not _OTHER_PARTS.match(name):
            module = name.removesuffix(_WEIGHT)
            if _BETWEEN.search(module):
                continue
            yield _Copy(module, _inner(module), _sizes(tensor), tensor)


def _inner(module: str) -> str:
    outer = _OUTER.match(module)
    return module if outer is None else module[outer.end() :]


def _sizes(tensor: TensorInfo) -> Dims:
    if tensor.dtype in _PACKED:
        return Dims(None, None, None)
    shape = tensor.shape
    return Dims(shape[0], math.prod(shape[1:]), None, math.prod(shape[2:]) > 1)


def _of_controlnet(tensors: Mapping[str, TensorInfo]) -> Iterator[_Copy]:
    copies = [*_of_checkpoint(tensors), *_of_control_lora(tensors)]
    for copy in copies:
        path = copy.path
        for form, to in _RENAMED:
            path = form.sub(to, path)
        if not _OWN.search(path):
            yield copy._replace(path=path)


def _of_control_lora(tensors: Mapping[str, TensorInfo]) -> Iterator[_Copy]:
    """Layers of Stability's Control-LoRA, in two factors: `.down` (r, in), `.up` (out, r)."""
    if "lora_controlnet" not in tensors:
        return
    for name, down in tensors.items():
        module = name.removesuffix(".down")
        up = tensors.get(f"{module}.up")
        if module != name and up is not None and len(down.shape) > 1 and up.shape:
            area = math.prod(down.shape[2:])
            dims = Dims(up.shape[0], down.shape[1] * area, None, area > 1)
            yield _Copy(module, _inner(module), dims, down)


_LLLITE = re.compile(r"^lllite_unet_(\w{1,300})\.down\.0\.weight$")


def _of_lllite(tensors: Mapping[str, TensorInfo]) -> Iterator[_Copy]:
    """Layers whose input a ControlNet-LLLite changes: `.down.0` is as wide as that input."""
    for name, tensor in tensors.items():
        found = _LLLITE.match(name)
        if found and len(tensor.shape) > 1:
            dims = Dims(None, math.prod(tensor.shape[1:]), None)
            yield _Copy(name.removesuffix(".down.0.weight"), found[1], dims, tensor, is_flat=True)


_FINDERS: Mapping[str, Callable[[Mapping[str, TensorInfo]], Iterator[_Copy]]] = {
    "checkpoint": _of_checkpoint,
    "controlnet": _of_controlnet,
    "lllite": _of_lllite,
}

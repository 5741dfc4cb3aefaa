"""Small adapters of every family and convention, made in code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.builders.models import DENOISERS, SMALLER, TEXT_ENCODERS, Target
from tests.builders.weights import safetensors

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = [
    "DENOISERS",
    "SMALLER",
    "TEXT_ENCODERS",
    "Target",
    "bare",
    "comfyui",
    "diffusers",
    "kohya",
    "peft",
]


def _pair(target: Target, rank: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shapes of down and up."""
    out, wide, *kernel = target.shape
    return (rank, wide, *kernel), (out, rank, *(1 for _ in kernel))


def kohya(
    targets: Iterable[Target],
    *,
    encoders: Mapping[str, Iterable[Target]] | None = None,
    rank: int = 4,
    alpha: float | None = 2.0,
    dtype: str = "F16",
    metadata: Mapping[str, str] | None = None,
) -> bytes:
    """Flattened names, `lora_down`/`lora_up`, and an alpha per module.

    Args:
        targets: Modules of the denoiser.
        encoders: Prefix such as `lora_te1` to modules of that text encoder.
        rank: Rank of all pairs.
        alpha: Alpha of all modules, None for a file without alphas.
        dtype: Number format of all tensors.
        metadata: The `__metadata__` map.
    """
    tensors: dict[str, tuple[str, Sequence[int]]] = {}
    values: dict[str, float] = {}
    for prefix, group in {"lora_unet": targets, **(encoders or {})}.items():
        for target in group:
            name = f"{prefix}_{target.path.replace('.', '_')}"
            down, up = _pair(target, rank)
            if alpha is not None:
                tensors[f"{name}.alpha"] = (dtype, ())
                values[f"{name}.alpha"] = alpha
            tensors[f"{name}.lora_down.weight"] = (dtype, down)
            tensors[f"{name}.lora_up.weight"] = (dtype, up)
    return safetensors(tensors, metadata, values=values)


def _dotted(
    groups: Mapping[str, Iterable[Target]],
    suffixes: tuple[str, str],
    rank: int,
    metadata: Mapping[str, str] | None,
) -> bytes:
    tensors: dict[str, tuple[str, Sequence[int]]] = {}
    for prefix, group in groups.items():
        for target in group:
            for suffix, shape in zip(suffixes, _pair(target, rank), strict=True):
                tensors[f"{prefix}{target.path}{suffix}"] = ("F32", shape)
    return safetensors(tensors, metadata)


_PEFT = (".lora_A.weight", ".lora_B.weight")


def diffusers(
    targets: Iterable[Target],
    *,
    component: str = "unet",
    encoders: Mapping[str, Iterable[Target]] | None = None,
    suffixes: tuple[str, str] = _PEFT,
    rank: int = 4,
    metadata: Mapping[str, str] | None = None,
) -> bytes:
    """Component prefix and diffusers names; encoders by component, such as `text_encoder`."""
    groups = {f"{component}.": targets}
    groups.update({f"{name}.": group for name, group in (encoders or {}).items()})
    return _dotted(groups, suffixes, rank, metadata)


def peft(
    targets: Iterable[Target], *, rank: int = 4, metadata: Mapping[str, str] | None = None
) -> bytes:
    """What `PeftModel.save_pretrained` writes."""
    return _dotted({"base_model.model.": targets}, _PEFT, rank, metadata)


def comfyui(
    targets: Iterable[Target], *, rank: int = 4, metadata: Mapping[str, str] | None = None
) -> bytes:
    """Native dotted names under `diffusion_model.`."""
    return _dotted({"diffusion_model.": targets}, _PEFT, rank, metadata)


def bare(
    targets: Iterable[Target],
    *,
    suffixes: tuple[str, str] = _PEFT,
    rank: int = 4,
    metadata: Mapping[str, str] | None = None,
) -> bytes:
    """Names without any prefix."""
    return _dotted({"": targets}, suffixes, rank, metadata)

"""Detects a lack of memory, and reduces what a base needs."""

from __future__ import annotations

import gc
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from previews.render.bases.pipelines import OpenBase

_WORDS = ("out of memory", "not enough memory", "can't allocate memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an exception means that memory ran out."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(
        word in str(error).casefold() for word in _WORDS
    )


def has_room(device: torch.device, size_bytes: int) -> bool:
    """Return whether a graphics card has room for this and the same again for rendering."""
    if device.type != "cuda":
        return False
    free_bytes, _ = torch.cuda.mem_get_info(device)
    reserved = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return free_bytes + reserved >= 2 * size_bytes


def reduce_memory(opened: OpenBase, size: int) -> bool:
    """Reduce the memory of a base's next call, after one for ``size`` pictures failed.

    First halve the batch, then use VAE tiling, then offload to main memory. This lasts while the
    base is open. Return whether there was anything left to reduce.
    """
    release_memory()
    pipeline: Any = opened.pipeline
    vae: Any = getattr(pipeline, "vae", None)
    if size > 1:
        opened.batch = size // 2
    elif hasattr(vae, "enable_tiling") and not getattr(vae, "use_tiling", True):
        vae.enable_tiling()
    elif _can_offload(opened):
        pipeline.enable_model_cpu_offload(device=opened.device)
        opened.offload = "model"
    else:
        return False
    return True


def _can_offload(opened: OpenBase) -> bool:
    return (
        opened.device != "cpu"
        and opened.offload == "none"
        and hasattr(opened.pipeline, "enable_model_cpu_offload")
        and find_spec("accelerate") is not None
    )


def release_memory() -> None:
    """Return unused memory to the device."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()

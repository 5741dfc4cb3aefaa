"""Where memory is short: what fits, and what is asked for less of when something did not."""

from __future__ import annotations

import gc
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from previews.render.bases.pipelines import Opened

__all__ = ["free", "has_room", "is_out_of_memory", "spare"]

_WORDS = ("out of memory", "not enough memory", "can't allocate memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out, in one of the many ways to say it."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(
        word in str(error).casefold() for word in _WORDS
    )


def has_room(device: torch.device, size_bytes: int) -> bool:
    """Return whether so much fits on a graphics card and leaves as much again for rendering."""
    if device.type != "cuda":
        return False
    free_bytes, _ = torch.cuda.mem_get_info(device)
    kept_for_torch = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return free_bytes + kept_for_torch >= 2 * size_bytes


def spare(opened: Opened, size: int) -> bool:
    """Make the next call of a base ask for less than one for ``size`` pictures did.

    Half the pictures; then the VAE in tiles; then parts that do not compute in main memory. What
    was once needed stays, for as long as the base is open.

    Returns:
        Whether there was anything left to try.
    """
    free()
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


def _can_offload(opened: Opened) -> bool:
    return (
        opened.device != "cpu"
        and opened.offload == "none"
        and hasattr(opened.pipeline, "enable_model_cpu_offload")
        and find_spec("accelerate") is not None
    )


def free() -> None:
    """Give back what nobody holds any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()

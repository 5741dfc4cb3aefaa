"""Adapters to measure with: kohya's names for SDXL, at any rank."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from tests.builders.streams import write_safetensors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Transformer blocks of the denoiser: place, width, depth.
PLACES = (
    *((f"input_blocks_{n}_1", 640, 2) for n in (4, 5)),
    *((f"input_blocks_{n}_1", 1280, 10) for n in (7, 8)),
    ("middle_block_1", 1280, 10),
    *((f"output_blocks_{n}_1", 1280, 10) for n in (0, 1, 2)),
    *((f"output_blocks_{n}_1", 640, 2) for n in (3, 4, 5)),
)
CONTEXT = 2048

#: A trained file's facts; 12 captions stand for what a small data set leaves.
METADATA = {
    "ss_base_model_version": "sdxl_base_v1-0",
    "ss_network_module": "networks.lora",
    "ss_network_dim": "8",
    "ss_network_alpha": "4",
    "ss_output_name": "bench",
    "ss_learning_rate": "0.0001",
    "ss_num_train_images": "120",
    "ss_epoch": "10",
    "ss_tag_frequency": str({"10_bench": {f"word {n}": n + 1 for n in range(120)}}).replace(
        "'", '"'
    ),
    "modelspec.architecture": "stable-diffusion-xl-v1-base/lora",
    "modelspec.title": "bench",
}

#: Rank at which the file has about 500 MB.
LARGE_RANK = 95


def write_adapter(
    path: Path,
    *,
    rank: int = 8,
    tensors: int | None = None,
    seed: int = 0,
    is_unique: bool = False,
) -> int:
    """Write an adapter and return its size in bytes.

    Args:
        path: Where to.
        rank: Of all modules.
        tensors: How many of the 2,166 tensors; all when left out.
        seed: Another one gives other bytes.
        is_unique: Whether no stretch of values comes again.
    """
    chosen = dict(islice(_tensors(rank), tensors))
    return write_safetensors(
        path, chosen, METADATA, scalar=rank / 2, seed=seed, is_unique=is_unique
    )


def write_large(path: Path) -> int:
    """Write an adapter of about 500 MB and return its size in bytes."""
    return write_adapter(path, rank=LARGE_RANK)


def _tensors(rank: int) -> Iterator[tuple[str, tuple[str, tuple[int, ...]]]]:
    for name, wide, out in modules():
        yield f"lora_unet_{name}.alpha", ("F16", ())
        yield f"lora_unet_{name}.lora_down.weight", ("F16", (rank, wide))
        yield f"lora_unet_{name}.lora_up.weight", ("F16", (out, rank))


def modules() -> Iterator[tuple[str, int, int]]:
    """Yield name, width in, width out."""
    for place, width, depth in PLACES:
        yield f"{place}_proj_in", width, width
        for index in range(depth):
            block = f"{place}_transformer_blocks_{index}"
            for layer in ("to_q", "to_k", "to_v", "to_out_0"):
                context = CONTEXT if layer in {"to_k", "to_v"} else width
                yield f"{block}_attn1_{layer}", width, width
                yield f"{block}_attn2_{layer}", context, width
            yield f"{block}_ff_net_0_proj", width, 8 * width
            yield f"{block}_ff_net_2", 4 * width, width
        yield f"{place}_proj_out", width, width

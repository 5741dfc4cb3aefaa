"""What a header proves of generated weights: anatomies of headers written for each family."""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from lorary.anatomy import inspect_bytes
from lorary.anatomy.families import families
from registry.blobs import anatomies

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lorary.anatomy import Anatomy

#: Families by frequency, with the lineages of each; an empty one is frequent in all.
FAMILIES: dict[str, tuple[str, ...]] = {
    "sdxl": ("Illustrious", "Pony Diffusion V6 XL", "SDXL 1.0", "NoobAI", "", "Animagine"),
    "sd1": ("Stable Diffusion 1.5", "", "NovelAI anime"),
    "flux1": ("FLUX.1 dev", "", "FLUX.1 Kontext", "FLUX.1 Krea", "FLUX.1 schnell"),
    "qwen_image": ("Qwen-Image", "Qwen-Image-Edit", ""),
    "z_image": ("Z-Image Turbo", "Z-Image", ""),
    "wan_14b": ("Wan 2.2 T2V A14B", ""),
    "sd35_large": ("Stable Diffusion 3.5 Large", ""),
    "chroma": ("Chroma", ""),
    "miniature": ("",),
    "flux2_dev": ("FLUX.2 dev", ""),
    "hunyuan_video": ("",),
    "wan_1_3b": ("Wan 2.1", ""),
    "sd35_medium": ("Stable Diffusion 3.5 Medium", ""),
    "ltx_video": ("",),
    "sd2": ("Stable Diffusion 2.1", ""),
    "kolors": ("Kolors",),
    "auraflow": ("Pony V7", ""),
    "lumina2": ("",),
    "sana": ("",),
    "pixart": ("",),
}
RANKS = (16, 32, 8, 64, 4, 128)
METHODS = ("lora", "dora", "loha", "lokr")

#: Metadata by trainer, by frequency, and whether text encoders are trained, where there are some.
TRAININGS: tuple[tuple[dict[str, str], bool], ...] = (
    ({"ss_sd_scripts_commit_hash": "0" * 40}, False),
    ({"software": '{"name": "ai-toolkit", "version": "0.3.9"}'}, False),
    ({"ss_sd_scripts_commit_hash": "0" * 40}, True),
    ({}, False),
    ({"ot_branch": "master"}, True),
    ({"lora_adapter_metadata": "{}", "format": "pt"}, False),
    ({"lycoris_config": "{}"}, False),
)
#: Text encoder → width of its layers.
_ENCODERS = {"clip_l": 768, "clip_h": 1024}

#: Maximum number of modules of a header: enough to distinguish the families.
_MODULES = 14


@dataclass(frozen=True, slots=True)
class Weights:
    """The facts of one kind of file, and its anatomy as JSON."""

    family: str
    algorithm: str
    rank: int | None
    parts: str
    trainer: str
    document: str
    proven_family: str


@cache
def weights(family: str, method: str, rank: int, training: int = 0) -> Weights:
    """Return the analysis of weights for a family; a header is written and inspected for it.

    Args:
        family: One of ``FAMILIES``.
        method: One of ``METHODS``.
        rank: Rank of all modules.
        training: Index in ``TRAININGS``.
    """
    anatomy = _inspected(*_header(family, method, rank, *TRAININGS[training]))
    document = anatomies.document_of(anatomy)
    facts = anatomies.facts_of(document, family)
    return Weights(*facts, json.dumps(document), document["base"]["family"] or "")


def _inspected(header: bytes, length: int) -> Anatomy:
    """Return the anatomy of a file with this header, whose tensors are not read."""
    anatomy = inspect_bytes(header, size=len(header) + length).anatomy
    if anatomy is None:
        msg = "A generated header is not that of an adapter."
        raise RuntimeError(msg)
    return anatomy


def _header(
    family: str,
    method: str,
    rank: int,
    metadata: Mapping[str, str],
    has_encoder: bool,  # noqa: FBT001 - a value of ``TRAININGS``
) -> tuple[bytes, int]:
    """Return the header of a file that trains some attention layers, and the bytes after it."""
    tensors: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    modules = {f"lora_unet_{path}": shape for path, shape in _modules(family).items()}
    if has_encoder:
        modules |= _encoder_modules(family)
    end = 0
    for path, shape in modules.items():
        for suffix, size in _shapes(method, rank, shape[0], math.prod(shape[1:])).items():
            begin, end = end, end + 2 * math.prod(size)
            tensors[f"{path.replace('.', '_')}.{suffix}"] = {
                "dtype": "F16", "shape": size, "data_offsets": [begin, end],
            }  # fmt: skip
    text = json.dumps(tensors).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text, end


def _modules(family: str) -> Mapping[str, tuple[int, ...]]:
    """Return some linear attention layers, evenly spread over the blocks, with their shapes."""
    known = families()[family]
    naming = known.namings.get(known.kohya) or next(iter(known.namings.values()))
    found = {path: one for path, one in naming.items() if "att" in path and len(one) == 2}
    step = max(1, len(found) // _MODULES)
    return dict(list(found.items())[::step])


def _encoder_modules(family: str) -> dict[str, tuple[int, ...]]:
    """Return some linear layers of the first text encoder, if it is a CLIP model."""
    encoders = families()[family].text_encoders
    width = _ENCODERS.get(next(iter(encoders.get("text_encoder", ())), ""))
    prefix = "lora_te_" if len(encoders) == 1 else "lora_te1_"
    place = "text_model.encoder.layers.{}.self_attn.q_proj"
    return {prefix + place.format(n): (width, width) for n in range(4)} if width else {}


def _shapes(method: str, rank: int, out: int, fan_in: int) -> dict[str, list[int]]:
    """Return the tensors of one module with their shapes."""
    if method == "loha":
        pair = {"a": [out, rank], "b": [rank, fan_in]}
        return {f"hada_w{number}_{side}": pair[side] for number in (1, 2) for side in pair}
    if method == "lokr":
        return {"lokr_w1": [4, 4], "lokr_w2": [out // 4, fan_in // 4]}
    shapes = {"lora_down.weight": [rank, fan_in], "lora_up.weight": [out, rank]}
    return shapes | ({"dora_scale": [out, 1]} if method == "dora" else {})

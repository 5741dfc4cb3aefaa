"""Splits tensor names: the suffix gives the role, the prefix the convention.

    lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight
    └prefix──┘└─────────path (flattened)────────┘└────suffix────┘

Each key is split by itself, because files mix conventions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

from lorary.anatomy.keys.suffixes import SUFFIXES, Role, split_unusual

__all__ = ["PREFIXES", "SUFFIXES", "Prefix", "Role", "split_key", "split_prefix"]


class Prefix(NamedTuple):
    """The prefix of a module name.

    Attributes:
        convention: Group of conventions: `kohya`, `onetrainer`, `lycoris`, `diffusers`, `comfyui`,
            `omi`, `peft` or `bare`.
    """

    convention: str
    part: str  # `denoiser`, `text_encoder`, `text_encoder_2` or `text_encoder_3`
    is_flat: bool  # the module's path has underscores instead of dots


_ENCODERS = ("text_encoder", "text_encoder_2", "text_encoder_3")
_FLAT_PREFIXES = (
    ("lora_unet_", "kohya", "denoiser"),
    ("lora_unet__", "kohya", "denoiser"),  # VideoX-Fun writes two
    ("oft_unet_", "kohya", "denoiser"),
    ("lora_te_", "kohya", "text_encoder"),
    ("lora_te1_", "kohya", "text_encoder"),
    ("lora_te2_", "kohya", "text_encoder_2"),
    ("lora_te3_", "kohya", "text_encoder_3"),
    ("oft_te_", "kohya", "text_encoder"),
    ("Hunyuan_video_I2V_lora_", "kohya", "denoiser"),  # Tencent's own trainer
    ("lora_transformer_", "onetrainer", "denoiser"),
    ("lora_prior_unet_", "onetrainer", "denoiser"),
    ("lora_prior_te_", "onetrainer", "text_encoder"),
    ("lycoris_", "lycoris", "denoiser"),
    *((f"lycoris_{part}_", "lycoris", part) for part in _ENCODERS),
)
_DOTTED_PREFIXES = (
    ("unet.", "diffusers", "denoiser"),
    ("transformer.", "diffusers", "denoiser"),
    ("transformer_2.", "diffusers", "denoiser"),  # the low-noise expert of Wan 2.2
    *((f"{part}.", "diffusers", part) for part in _ENCODERS),
    ("diffusion_model.", "comfyui", "denoiser"),
    ("model.diffusion_model.", "comfyui", "denoiser"),
    ("text_encoders.", "comfyui", "text_encoder"),
    ("text_encoders.clip_l.", "comfyui", "text_encoder"),
    ("text_encoders.clip_g.", "comfyui", "text_encoder_2"),
    ("text_encoders.t5xxl.", "comfyui", "text_encoder_3"),
    ("text_encoders.clip_l.transformer.", "comfyui", "text_encoder"),
    ("text_encoders.clip_g.transformer.", "comfyui", "text_encoder_2"),
    ("text_encoders.t5xxl.transformer.", "comfyui", "text_encoder_3"),
    ("clip_l.", "omi", "text_encoder"),
    ("clip_g.", "omi", "text_encoder_2"),
    ("t5.", "omi", "text_encoder_3"),
    ("base_model.", "peft", "denoiser"),
    ("base_model.model.", "peft", "denoiser"),
    ("base_model.model.unet.", "peft", "denoiser"),
    ("base_model.model.diffusion_model.", "peft", "denoiser"),
    ("base_model.model.text_model.", "peft", "text_encoder"),
    *((f"base_model.model.{part}.", "peft", part) for part in _ENCODERS),
    ("unet.base_model.model.", "peft", "denoiser"),
    ("transformer.base_model.model.", "peft", "denoiser"),
    *((f"{part}.base_model.model.", "peft", part) for part in _ENCODERS),
)

PREFIXES: Mapping[str, Prefix] = MappingProxyType(
    {text: Prefix(convention, part, is_flat=True) for text, convention, part in _FLAT_PREFIXES}
    | {text: Prefix(convention, part, is_flat=False) for text, convention, part in _DOTTED_PREFIXES}
)
"""Prefix to convention; the longest match counts."""

_BARE = Prefix("bare", "denoiser", is_flat=False)
_PREFIX = re.compile("|".join(re.escape(p) for p in sorted(PREFIXES, key=len, reverse=True)))


@lru_cache(maxsize=8_192)
def split_key(key: str) -> tuple[str, Role] | None:
    """Split a tensor name into its module and its role.

    Cached, because adapters of one base model have nearly the same names.

    Returns:
        The module with its prefix, and the role; None if the tensor isn't part of an adapter. The
        module of a bare suffix (`prompt_embeddings`) is "".
    """
    last = key.rfind(".")
    if last < 0:
        role = SUFFIXES.get(key)
        return split_unusual(key) if role is None else ("", role)
    before = key.rfind(".", 0, last)
    if before >= 0:
        role = SUFFIXES.get(key[before:])
        if role is not None:
            return key[:before], role
    role = SUFFIXES.get(key[last:])
    if role is not None:
        return key[:last], role
    return split_unusual(key)


def split_prefix(module: str) -> tuple[Prefix, str]:
    """Split a module name into the prefix of its convention and the path in the base model."""
    found = _PREFIX.match(module)
    if found is None:
        return _BARE, module
    text = found[0]
    return PREFIXES[text], module[len(text) :]

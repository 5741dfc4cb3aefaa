"""What a safetensors file is when it is no adapter, told by the names of its tensors."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lorary.anatomy.modules import Scan
    from lorary.safetensors import TensorInfo

__all__ = ["KIND_TITLES", "file_kind", "foreign_kind"]

KIND_TITLES: Mapping[str, str] = {
    "adapter": "a LoRA adapter",
    "checkpoint": "a whole model (checkpoint)",
    "controlnet": "a ControlNet",
    "empty": "a file without tensors",
    "ip_adapter": "an IP-Adapter",
    "lllite": "a ControlNet-LLLite",
    "motion_module": "a motion module",
    "other": "no adapter that is known here",
    "text_encoder": "a text encoder",
    "textual_inversion": "a textual-inversion embedding",
    "vae": "a VAE",
}
"""Kind to words that follow "This is"."""

# Marks that decide even beside adapter tensors, because these files borrow low-rank names.
_BORROWERS = (
    ("lllite", re.compile(r"lllite_")),
    ("controlnet", re.compile(r"lora_controlnet$")),
    ("ip_adapter", re.compile(r"ip_adapter\.|image_proj\.|.*\.to_[kv]_ip\.")),
)
_MARKS = (
    (
        "controlnet",
        re.compile(r"control_model\.|(?:.*\.)?controlnet_|input_hint_block\.|zero_convs\."),
    ),
    ("motion_module", re.compile(r".*(?:motion_modules|temporal_transformer)\.")),
    ("checkpoint", re.compile(r"(?:model\.)?diffusion_model\.|model\.layers\.|cond_stage_model\.")),
    ("checkpoint", re.compile(r"(?:down|up|mid|double|single|joint)_blocks?\.")),
    ("checkpoint", re.compile(r"(?:single_)?transformer_blocks\.|input_blocks\.|output_blocks\.")),
    ("checkpoint", re.compile(r"transformer\.h\.|lm_head\.|conditioner\.embedders\.")),
)
_EMBEDDING_NAMES = frozenset({"emb_params", "clip_l", "clip_g", "t5xxl"})
_EMBEDDING_WIDTHS = frozenset({768, 1024, 1280, 4096})
_VAE = re.compile(r"(?:first_stage_model|vae)\.")
_VAE_PARTS = ("encoder.conv_in", "encoder.down", "encoder.mid", "decoder.", "quant_conv", "post_q")
_TEXT_ENCODER = re.compile(
    r"(?:text_model\.|text_encoder)|(?:text_model\.)?encoder\.layers\.\d+\.self_attn"
    r"|encoder\.block\.\d+\.layer\.|transformer\.resblocks\."
)
_MOST_KEYS_WITHOUT_PAIRS = 0.5


def file_kind(scan: Scan, *, has_pairs: bool) -> str:
    """Decide what a file is.

    Args:
        scan: Its names, grouped.
        has_pairs: At least one module has every tensor that its algorithm needs.

    Returns:
        `adapter` or another key of `KIND_TITLES`.
    """
    others = scan.others
    for kind, mark in _BORROWERS:
        if any(map(mark.match, others)):
            return kind
    if not scan.role_tensors:
        return foreign_kind(others)
    alphas = sum("alpha" in module.roles for module in scan.modules)
    total = scan.role_tensors + len(others) + alphas
    share = (total - len(others)) / total
    if share < _MOST_KEYS_WITHOUT_PAIRS:
        kind = foreign_kind(others)
        # Leftover adapter tensors in a merged model do not make it an adapter.
        if kind != "other" or not has_pairs:
            return kind
    return "adapter"


def foreign_kind(tensors: Mapping[str, TensorInfo]) -> str:
    """Name a file without adapter tensors."""
    if not tensors:
        return "empty"
    if _is_embedding(tensors):
        return "textual_inversion"
    if all(_VAE.match(name) or name.startswith(_VAE_PARTS) for name in tensors):
        return "vae"
    kind = _by_marks(tensors)
    if kind is not None:
        return kind
    if any(map(_TEXT_ENCODER.match, tensors)):
        return "text_encoder"
    return "other"


def _by_marks(names: Iterable[str]) -> str | None:
    names = list(names)
    return next((kind for kind, mark in _MARKS if any(map(mark.match, names))), None)


def _is_embedding(tensors: Mapping[str, TensorInfo]) -> bool:
    known = all(name in _EMBEDDING_NAMES or name.startswith("string_to_param") for name in tensors)
    if not known and len(tensors) != 1:
        return False
    return all(
        len(tensor.shape) in {1, 2} and tensor.shape[-1] in _EMBEDDING_WIDTHS
        for tensor in tensors.values()
    )

"""What a safetensors file is, told by the names of its tensors.

Sources: the file layouts of the projects that write them; a name decides nothing for an adapter,
only tensors that play an adapter's roles do.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING

from lorary.anatomy.conventions import file_convention

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lorary.anatomy.modules import Scan
    from lorary.safetensors import TensorInfo

__all__ = ["KIND_TITLES", "file_convention", "file_kind", "foreign_kind"]

KIND_TITLES: Mapping[str, str] = MappingProxyType(
    {
        "adapter": "a LoRA adapter",
        "checkpoint": "a whole model (checkpoint)",
        "controlnet": "a ControlNet",
        "embedding": "a textual-inversion embedding",
        "ip_adapter": "an IP-Adapter",
        "lllite": "a ControlNet-LLLite",
        "motion_module": "a motion module",
        "other": "no kind of file that is known here",
        "text_encoder": "a text encoder",
        "vae": "a VAE",
    }
)
"""Kind to words that follow "This is"."""

# Marks that decide even beside adapter tensors, because these files borrow low-rank names.
_BORROWERS = (
    ("lllite", re.compile(r"(?:.*\.)?lllite_")),
    ("controlnet", re.compile(r"lora_controlnet$")),
    (
        "ip_adapter",
        re.compile(
            r"(?:.*\.)?(?:ip_adapter(?:_\w+)?|image_proj(?:_model)?|ip_adapter_proj_model)\."
            r"|.*(?:\.|_)to_[kv]_ip(?:\.|$)"
        ),
    ),
)
_CONTROLNET = re.compile(
    r"(?:.*\.)?(?:control_model|controlnet(?:_[a-z_]+)?|input_hint_block|zero_convs)\."
    r"|(?:.*\.)?control_(?:blocks|layers)\.|controlnet_"
)
_MOTION = re.compile(r"(?:.*\.)?(?:motion_modules|temporal_transformer)\.")
_CHECKPOINT = re.compile(
    r"(?:model\.)?diffusion_model\.|cond_stage_model\.|conditioner\.embedders\."
    r"|(?:\w+\.)?(?:down|up|mid|double|single|joint)_(?:blocks?|layers)\."
    r"|(?:\w+\.)?(?:(?:single_|joint_|text_|visual_)?transformer_blocks|input_blocks|output_blocks"
    r"|middle_block|(?:double|single)_stream_blocks|noise_refiner|context_refiner)\."
    r"|(?:blocks|layers)\.\d+\.(?:self_attn|cross_attn|attn\d?|attention|adaln_modulation\w*|ffn?"
    r"|mlp|feed_forward|modulation|norm\d?)\b"
    r"|(?:model\.)+(?:language_model\.)?layers\.\d|(?:transformer\.)?h\.\d+\.|lm_head\."
    r"|gpt_neox\.layers\.|model\.decoder\.layers\.|(?:model\.)?embed_tokens\."
)
_VAE = re.compile(r"(?:first_stage_model|vae)\.")
_VAE_PARTS = re.compile(
    r"(?:encoder|decoder)\.(?:conv_in|conv_out|conv1|conv2|conv_norm_out|norm_out|down|up|mid|head"
    r"|middle|downsamples|upsamples|layers\.\d+\.(?:layers|weight|bias|alpha|beta)|block|time_conv)"
    r"|(?:post_)?quant_conv\.|conv[12]\.|loss\.|model_ema\.|bn\.|per_channel_statistics\."
)
_TEXT_ENCODER = re.compile(
    r"(?:\w+\.)?text_model\.|(?:\w+\.)?text_encoder|(?:\w+\.)?encoder\.(?:layers?|block)\.\d"
    r"|(?:\w+\.)?transformer\.resblocks\.|embeddings\.token_embedding"
)
_EMBEDDING_NAMES = frozenset({"emb_params", "clip_l", "clip_g", "t5xxl", "<token>"})
_EMBEDDING_WIDTHS = frozenset({768, 1024, 1280, 4096})
_MOST_KEYS_WITHOUT_PAIRS = 0.5
_MODEL_TENSORS = 100
_MODEL_SHARE = 0.8


def file_kind(scan: Scan, *, has_pairs: bool) -> str:
    """Decide what a file is.

    Args:
        scan: Its names, grouped.
        has_pairs: At least one module has every tensor that its algorithm needs.

    Returns:
        A key of `KIND_TITLES`.
    """
    others = scan.others
    for kind, mark in _BORROWERS:
        if any(map(mark.match, others)) or any(mark.match(m.name) for m in scan.modules):
            return kind
    if not scan.role_tensors:
        return foreign_kind(others)
    if others and _is_model_with_leftovers(scan):
        kind = foreign_kind(others)
        # Leftover adapter tensors in a merged model do not make it an adapter.
        if kind != "other" or not has_pairs:
            return kind
    return "adapter"


def _is_model_with_leftovers(scan: Scan) -> bool:
    """The file's other tensors are the most of it, by number or as a model by size."""
    others = scan.others
    alphas = sum("alpha" in module.roles for module in scan.modules)
    total = scan.role_tensors + len(others) + alphas
    if total - len(others) < _MOST_KEYS_WITHOUT_PAIRS * total:
        return True
    if len(others) < _MODEL_TENSORS:
        return False
    rest = sum(tensor.size_bytes for tensor in others.values())
    adapted = sum(tensor.size_bytes for m in scan.modules for tensor in m.roles.values())
    return rest > _MODEL_SHARE * (rest + adapted)


def foreign_kind(tensors: Mapping[str, TensorInfo]) -> str:
    """Name a file without adapter tensors."""
    if not tensors:
        return "other"
    if _is_embedding(tensors):
        return "embedding"
    if all(_VAE.match(name) or _VAE_PARTS.match(name) for name in tensors):
        return "vae"
    for kind, mark in (
        ("controlnet", _CONTROLNET),
        ("motion_module", _MOTION),
        ("checkpoint", _CHECKPOINT),
        ("text_encoder", _TEXT_ENCODER),
    ):
        if _any(mark, tensors) and not (kind == "motion_module" and _has_base(tensors)):
            return kind
    return "other"


def _any(mark: re.Pattern[str], names: Iterable[str]) -> bool:
    return any(map(mark.match, names))


def _has_base(names: Iterable[str]) -> bool:
    """A model that was saved with its motion modules in place is a checkpoint."""
    return any(_CHECKPOINT.match(name) and not _MOTION.match(name) for name in names)


def _is_embedding(tensors: Mapping[str, TensorInfo]) -> bool:
    """Vectors for tokens, under the names that tools give them or that of a token itself."""
    known = all(name in _EMBEDDING_NAMES or name.startswith("string_to_param") for name in tensors)
    if not known and (len(tensors) != 1 or next(iter(tensors)).endswith((".weight", ".bias"))):
        return False
    return all(
        len(tensor.shape) in {1, 2} and tensor.shape[-1] in _EMBEDDING_WIDTHS
        for tensor in tensors.values()
    )

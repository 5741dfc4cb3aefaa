"""Determines what a safetensors file is from the names of its tensors.

Sources: the file layouts of the projects that write them. A file is an adapter only if it
has tensors with an adapter's roles; names alone do not make it one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from lorary.anatomy.keys.conventions import file_convention
from lorary.safetensors import TensorInfo

if TYPE_CHECKING:
    from lorary.anatomy.modules.adapted import Scan

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
        "other": "an unknown kind of file",
        "text_encoder": "a text encoder",
        "vae": "a VAE",
    }
)
"""Kind to words that follow "This is"."""

# Marks that decide even beside adapter tensors, because these files borrow low-rank names.
_BORROWERS = re.compile(
    r"(?P<controlnet>^lora_controlnet$)"
    r"|(?P<ip_adapter>(?:^|\.)(?:ip_adapter(?:_\w{1,512})?|image_proj(?:_model)?)\.|[._]to_[kv]_ip(?:\.|$))"
)
_CONTROLNET = re.compile(
    r"(?:^|\.)(?:control_model|controlnet|input_hint_block|zero_convs|control_(?:blocks|layers))\."
    r"|(?:^|\.)controlnet_"
)
_MOTION = re.compile(r"(?:^|\.)(?:motion_modules|temporal_transformer)\.")
_CHECKPOINT = re.compile(
    r"^(?:(?:model\.)?diffusion_model\.|cond_stage_model\.|conditioner\.embedders\."
    r"|(?:\w{1,512}\.)?(?:down|up|mid|double|single|joint)_(?:blocks?|layers)\."
    r"|(?:\w{1,512}\.)?(?:(?:single_|joint_|text_|visual_)?transformer_blocks|input_blocks"
    r"|output_blocks|middle_block|(?:double|single)_stream_blocks|noise_refiner|context_refiner)\."
    r"|(?:(?:net|dit|model|module|transformer)\.)?(?:blocks|layers)\.\d{1,9}\."
    r"(?:self_attn|cross_attn|attn\d?|attention|adaln_modulation\w{0,512}|ffn?|mlp|feed_forward"
    r"|modulation|norm\d?)\b"
    r"|(?:model\.){1,64}(?:language_model\.)?layers\.\d|(?:transformer\.)?h\.\d{1,9}\.|lm_head\."
    r"|gpt_neox\.layers\.|model\.decoder\.layers\.|(?:model\.)?embed_tokens\."
    r"|(?:\w{1,512}\.)?transformer\.layer\.\d)"
)
_VAE = re.compile(
    r"(?:first_stage_model|vae|encoder|decoder|(?:post_)?quant_conv|quantize|conv[12]|loss"
    r"|model_ema|bn|per_channel_statistics)\.|latents?_(?:mean|std)$"
)
_VAE_HALF = re.compile(r"(?:(?:first_stage_model|vae)\.)?(?:encoder|decoder)\.")
_STACK_OF_LANGUAGE = re.compile(
    r"(?:encoder|decoder)\.(?:layers?|block)\.\d{1,9}\.(?:self_attn|attention|layer\.)"
)
# Image encoders are built of the same layers, but embed patches instead of tokens.
_PATCHES = re.compile(r"(?:^|\.)patch_embedding\.")
_TOKENS = re.compile(r"(?:^|\.)(?:token_embedding|word_embeddings|embed_tokens|shared)\.")
_TEXT_ENCODER = re.compile(
    r"^(?:(?:\w{1,512}\.)?(?:text_model\.|text_encoder|encoder\.(?:layers?|block)\.\d"
    r"|transformer\.resblocks\.)|embeddings\.token_embedding)"
)
_EMBEDDING_NAMES = frozenset(
    {"emb_params", "clip_l", "clip_g", "t5xxl", "text_encoders_0", "text_encoders_1"}
)
_EMBEDDING_WIDTHS = frozenset({768, 1024, 1280, 4096})
_MOST_VECTORS = 256
_MOST_KEYS_WITHOUT_PAIRS = 0.5
_MODEL_TENSORS = 100
_MODEL_SHARE = 0.8
_MOST_KEPT = 6_000  # maximum number of cached names


def file_kind(scan: Scan, *, has_pairs: bool) -> str:
    """Decide what a file is.

    Args:
        has_pairs: At least one module has every tensor that its algorithm needs.

    Returns:
        A key of `KIND_TITLES`.
    """
    others = scan.others
    borrowers = _borrowers(tuple(others)) | _borrowers(tuple(scan.modules.columns.names))
    for kind in ("lllite", "controlnet", "ip_adapter"):
        if kind in borrowers:
            return kind
    if not scan.role_tensors:
        return foreign_kind(others)
    if others and _is_model_with_leftovers(scan):
        kind = foreign_kind(others)
        # Leftover adapter tensors in a merged model do not make it an adapter.
        if kind != "other" or not has_pairs:
            return kind
    return "adapter"


def _borrowers(names: tuple[str, ...]) -> frozenset[str | None]:
    """Return the kinds that single names decide."""
    return (_borrowed_kinds if len(names) <= _MOST_KEPT else _borrowed_kinds.__wrapped__)(names)


@lru_cache(maxsize=16)
def _borrowed_kinds(names: tuple[str, ...]) -> frozenset[str | None]:
    """Cached like the groups of `plan`, because many files have the same names."""
    # All names are searched at once first, because usually none matches.
    text = "\n".join(names)
    if not any(mark in text for mark in ("_ip", "ip_", "age_p", "ra_c", "llite")):
        return frozenset()
    return frozenset(map(_borrower, names))


def _borrower(name: str) -> str | None:
    """Return the kind that a name alone decides; None for most names."""
    # Plain tests come first: they cost a tenth of the pattern, and usually suffice.
    if "_ip" in name or "ip_" in name or "image_proj" in name or name.startswith("lora_c"):
        found = _BORROWERS.search(name)
        return None if found is None else found.lastgroup
    return "lllite" if "lllite_" in name else None


def _is_model_with_leftovers(scan: Scan) -> bool:
    """The file's other tensors are the most of it, by number or as a model by size."""
    others = scan.others
    alphas = sum(n for (_, roles), n in scan.modules.groups.kinds.items() if "alpha" in roles)
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
    if _is_vae(tensors):
        return "vae"
    for kind, mark, but in (
        ("controlnet", _CONTROLNET, None),
        ("motion_module", _MOTION, _has_base),
        ("checkpoint", _CHECKPOINT, None),
        ("text_encoder", _TEXT_ENCODER, _is_vision),
    ):
        if any(map(mark.search, tensors)) and not (but is not None and but(tensors)):
            return kind
    return "other"


def _is_vae(tensors: Mapping[str, TensorInfo]) -> bool:
    """Convolutions that encode or decode an image, a video or a sound, and nothing else."""
    return (
        all(map(_VAE.match, tensors))
        and any(map(_VAE_HALF.match, tensors))
        and not any(map(_STACK_OF_LANGUAGE.match, tensors))
        and any(len(tensor.shape) > 2 for tensor in tensors.values())
    )


def _has_base(names: Iterable[str]) -> bool:
    """A model that was saved with its motion modules in place is a checkpoint."""
    return any(_CHECKPOINT.match(name) and not _MOTION.search(name) for name in names)


def _is_vision(names: Iterable[str]) -> bool:
    names = list(names)
    return any(map(_PATCHES.search, names)) and not any(map(_TOKENS.search, names))


def _is_embedding(tensors: Mapping[str, TensorInfo]) -> bool:
    """Vectors for tokens, under the names that tools give them or that of a token itself."""
    known = all(name in _EMBEDDING_NAMES or name.startswith("string_to_param") for name in tensors)
    if not known and (len(tensors) != 1 or next(iter(tensors)).endswith((".weight", ".bias"))):
        return False
    return all(_are_vectors(tensor.shape) for tensor in tensors.values())


def _are_vectors(shape: tuple[int, ...]) -> bool:
    """A vector for a token, or a few of them."""
    return (
        len(shape) in {1, 2}
        and shape[-1] in _EMBEDDING_WIDTHS
        and (len(shape) == 1 or shape[0] <= _MOST_VECTORS)
    )

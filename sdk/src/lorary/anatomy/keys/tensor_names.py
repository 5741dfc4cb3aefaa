"""Splits tensor names: the suffix gives the role, the prefix the convention.

    lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight
    └prefix──┘└─────────path (flattened)────────┘└────suffix────┘

Each key is split by itself, because files mix conventions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

from lorary.anatomy.tables import read_table

LAYERS = ("attention", "mlp", "conv", "norm", "modulation", "embedder", "other")
"""All kinds of layers, in display order."""

_B, _E = r"(?:^|[._])", r"(?:[._]|$)"
_EDGE = (
    r"(?:^(?:lora_unet_{1,64}|lora_transformer_|lycoris_)?|\.)"
    r"(?:time_in|vector_in|guidance_in|img_in|byt5_in|vision_in|[txy]_embedder|time_embed(?:ding)?"
    r"|time_text_embed|time_guidance_embed|time_caption_embed|label_emb|add_embedding|img_emb"
    r"|patch_embed(?:ding)?|text_embedding|time_projection|condition_embedder|text_proj|input_proj"
    rf"|distilled_guidance_layer|txtmlp|tmlp|tproj){_E}"
)
_MODULATION = (
    rf"{_B}mod(?:ulation)?{_E}|ada_?ln|scale_shift_table|norm_out"
    rf"|{_B}norm\d?(?:_context)?[._]linear"
)
_NORM = r"norm(?:\d|_?[a-z0-9]{1,8}(?:_[a-z0-9]{1,8})?)?$"
_MLP = (
    rf"mlp{_E}|{_B}(?:ffn?|ff_[a-z]{{1,4}}|feed_?forward|fc\d?|experts|wi|intermediate"
    rf"|DenseReluDense|(?:gate|up|down)_proj|linear_fc\d|w[123]|c_fc){_E}"
)
_ATTENTION = (
    rf"attn|attention|{_B}(?:to_[a-z]{{1,8}}|[qkvo]|[qkvo]_?proj|out_proj|qkv|w[qkvo]"
    rf"|add_[qkv]_proj|[qkv]_lin|linear[12]){_E}"
    rf"|(?:attentions|blocks?|modules)(?:[._]\d{{1,4}}){{1,3}}[._]proj_(?:in|out){_E}"
)
_EMBEDDER = (
    rf"embed|{_B}(?:wte|wpe|emb_layers|time_emb_proj|txt_in|cond_type|in_layer|out_layer){_E}"
)
_CONV = rf"conv|resnets|{_B}(?:(?:in|out)_layers|skip_connection|(?:down|up)samplers?|op){_E}"
# The first match counts. Fused projections (FLUX `linear1`: attention and MLP in one) count
# as attention.
_RULES = (
    ("embedder", re.compile(_EDGE)),
    ("modulation", re.compile(_MODULATION, re.IGNORECASE)),
    ("norm", re.compile(_NORM)),
    ("mlp", re.compile(_MLP)),
    ("attention", re.compile(_ATTENTION, re.IGNORECASE)),
    ("embedder", re.compile(_EMBEDDER)),
    ("conv", re.compile(_CONV)),
)


_LONGEST = 200  # characters; the names of known models have less than half


@lru_cache(maxsize=8_192)
def layer_of(name: str) -> str:
    """Return the kind of layer of a module without a kernel, one of `LAYERS`.

    Args:
        name: The module's name in the file, dotted or flattened, with or without its prefix.
    """
    if len(name) > _LONGEST:
        return "other"
    return next((layer for layer, pattern in _RULES if pattern.search(name)), "other")


# Suffixes of tensor names: the tensor's role in its module, and the algorithm that this shows.
#
# Sources: LyCORIS and kohya's networks for the flat names, diffusers' old attention processors, and
# PEFT, where every tuner gives its tensors a prefix of its own (`vera_`, `hra_`, …).


@dataclass(frozen=True, slots=True, eq=False)
class Role:
    """The role of a tensor in its module.

    There is one object per suffix, compared by identity: scans hash roles often.

    Attributes:
        name: Role in the module: `down`, `up`, `alpha`, `magnitude`, or the algorithm's own name.
        algorithm: Algorithm that the tensor shows; None for roles that several algorithms share.
        dialect: How the suffix is written: `kohya`, `peft`, `peft-named` (with the adapter's name),
            `peft-only` (an algorithm that only PEFT has), `down-up`, `attn-processor`, `xlabs` or
            `lycoris`; None where the suffix doesn't show it.
    """

    name: str
    algorithm: str | None
    dialect: str | None


@lru_cache(maxsize=1024)
def make_role(name: str, algorithm: str | None, dialect: str | None) -> Role:
    """Return the only object of a role that isn't in `SUFFIXES`."""
    return Role(name, algorithm, dialect)


_LOHA = ("w1_a", "w1_b", "w2_a", "w2_b", "t1", "t2")
_LOKR = ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b", "t1", "t2")
_GLORA = ("a1", "a2", "b1", "b2")
_TLORA = {".q_layer.weight": "tlora_q", ".p_layer.weight": "tlora_p", ".lambda_layer": "tlora_s"}


def _suffixes() -> dict[str, Role]:
    table = {suffix: Role(*row) for suffix, row in read_table("keys/suffixes.json").items()}
    table.update({f".hada_{p}": Role(f"hada_{p}", "loha", "lycoris") for p in _LOHA})
    table.update({f".lokr_{p}": Role(f"lokr_{p}", "lokr", "lycoris") for p in _LOKR})
    table.update({f".{p}.weight": Role(f"glora_{p}", "glora", "lycoris") for p in _GLORA})
    table.update({suffix: Role(name, "tlora", "lycoris") for suffix, name in _TLORA.items()})
    return table


SUFFIXES: Mapping[str, Role] = _suffixes()
"""Fixed suffix to role."""

# The key may contain the adapter's name, which can be any word.
_NAMED = re.compile(
    r"\.(lora_A|lora_B|lora_embedding_A|lora_embedding_B|lora_E|lora_magnitude_vector)"
    r"\.([^.]{1,512})(?:\.(weight|bias))?$"
)
# down/up pairs whose marker is part of the previous component: `to_q_lora`, `lora`, `qkv_lora1`.
_DOWN_UP = re.compile(r"(?:\.|_)(lora|lora_linear_layer|lora1|lora2)\.(down|up)\.weight$")
# PEFT methods whose tensors carry the method's name: `.poly_lora_A`, `.osf_svd_params.S_low`.
_METHODS = (
    "adamss|beft|bone|c3a|deft|delora|fourierft|frod|glora|gralora|hira|hra|lily|miss|osf|peanut"
    "|poly|psoft|pvera|randlora|road|shadow|shira|supertuning|tinylora|unilora|vblora|vera|waveft"
)
_METHOD = re.compile(rf"\.(({_METHODS})_[A-Za-z]\w{{0,64}})((?:\.\w{{1,64}}){{0,3}})$")
_SAME_METHOD = {"bone": "miss"}
# Endings that tell several tensors of a method apart; any other word is the adapter's name.
_PARTS = frozenset(
    {"X", "Xd", "Xu", "zeros", "S_low", "U_low", "V_low", "vector_a", "vector_b", "module_logits"}
)
_CLASSIFIER = re.compile(r"(?:base_model\.)?(?:model\.)?(?:internal_)?xlora_classifier\.(.+)")
_XLABS = re.compile(r"\.processor\.(qkv|proj)$")
# Names of LoRA modules without a suffix.
_UNNAMED = re.compile(r"lora_(?:unet|te\d?|transformer|prior_unet|prior_te)_\w+")
_UNNAMED_ROLE = Role("unnamed", "lora", "kohya")
# XLabs adapts one projection of a single block: some rows or columns of a fused module.
_XLABS_SINGLE = {
    ("qkv", "down"): ("linear1", "down"),
    ("qkv", "up"): ("linear1", "part_up"),
    ("proj", "down"): ("linear2", "part_down"),
    ("proj", "up"): ("linear2", "up"),
}


def split_unusual(key: str) -> tuple[str, Role] | None:
    """Return what `split_key` returns, for a name without a fixed suffix."""
    if "." not in key:
        return (key, _UNNAMED_ROLE) if _UNNAMED.fullmatch(key) else None
    found = _DOWN_UP.search(key)
    if found:
        return _split_down_up(key[: found.start()], found[1], found[2])
    found = _NAMED.search(key)
    if found:
        return _split_named(key, found)
    found = _METHOD.search(key)
    if found:
        return _split_method(key, found)
    found = _CLASSIFIER.fullmatch(key)
    if found:
        return "xlora_classifier", make_role(f"classifier.{found[1]}", "xlora", "peft-only")
    return None


def _split_named(key: str, found: re.Match[str]) -> tuple[str, Role] | None:
    suffix = f".{found[1]}.{found[3]}" if found[3] else f".{found[1]}"
    role = SUFFIXES.get(suffix) or SUFFIXES.get(f".{found[1]}")
    if role is None or (found[3] == "bias" and role.name != "up_bias"):
        return None
    return key[: found.start()], make_role(role.name, role.algorithm, "peft-named")


def _split_method(key: str, found: re.Match[str]) -> tuple[str, Role]:
    module, name, tail = key[: found.start()], found[1], found[3]
    if module == "base_model":  # shared by all modules; the tail tells the tensors apart
        name += tail
    else:
        kept = [part for part in tail.split(".") if part in _PARTS or part.isdigit()]
        name = ".".join([name, *kept])
    method = _SAME_METHOD.get(found[2], found[2])
    return module, make_role(name, method, "peft-only")


def _split_down_up(stem: str, marker: str, role: str) -> tuple[str, Role] | None:
    """Return module and role for the names of old diffusers and XLabs versions.

    XLabs numbers the two streams of a double block: 1 is the image, 2 the text. Single blocks have
    no number.
    """
    xlabs = _XLABS.search(stem)
    if xlabs:
        block = stem[: xlabs.start()]
        if marker == "lora" and "single_blocks." in f"{block}.":
            leaf, role = _XLABS_SINGLE[xlabs[1], role]
            return f"{block}.{leaf}", make_role(role, "lora", "xlabs")
        stream = "txt" if marker == "lora2" else "img"
        return f"{block}.{stream}_attn.{xlabs[1]}", make_role(role, "lora", "xlabs")
    if marker in {"lora1", "lora2"}:
        return None
    head, processor, leaf = stem.rpartition(".processor.")
    if processor:
        leaf = "to_out.0" if leaf == "to_out" else leaf
        return f"{head}.{leaf}", make_role(role, "lora", "attn-processor")
    return stem, make_role(role, "lora", "down-up")


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

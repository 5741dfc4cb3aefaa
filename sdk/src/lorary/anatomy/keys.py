"""Tensor names of adapter files: suffix to role, prefix to convention.

    lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight
    └prefix──┘└─────────path (flattened)────────┘└────suffix────┘

Every key is judged by itself, because files mix conventions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PREFIXES", "SUFFIXES", "Prefix", "Role", "split_key", "split_prefix"]


@dataclass(frozen=True, slots=True, eq=False)
class Role:
    """What one tensor does in its module.

    Compared by identity: there is one object per suffix, and hashing it is on the hot path.

    Attributes:
        name: Role in the module: `down`, `up`, `alpha`, `magnitude`, or the algorithm's own name.
        algorithm: Algorithm that the tensor shows, None for roles that several share.
        dialect: How the suffix is written: `kohya`, `peft`, `down-up`, `attn-processor`, `xlabs`
            or `lycoris`; None where it tells nothing.
    """

    name: str
    algorithm: str | None
    dialect: str | None


@lru_cache(maxsize=256)
def make_role(name: str, algorithm: str | None, dialect: str | None) -> Role:
    """The one object for a role that stands in no table."""
    return Role(name, algorithm, dialect)


class Prefix(NamedTuple):
    """How module names of a convention begin.

    Attributes:
        convention: Its id.
        part: `denoiser`, `text_encoder`, `text_encoder_2` or `text_encoder_3`.
        is_flat: Dots of the module's path are written as underscores.
    """

    convention: str
    part: str
    is_flat: bool


def _suffixes() -> dict[str, Role]:
    table = {
        ".lora_down.weight": Role("down", "lora", "kohya"),
        ".lora_up.weight": Role("up", "lora", "kohya"),
        ".lora_mid.weight": Role("mid", "lora", "kohya"),
        ".lora_A.weight": Role("down", "lora", "peft"),
        ".lora_B.weight": Role("up", "lora", "peft"),
        ".lora_A": Role("down", "lora", "peft"),
        ".lora_B": Role("up", "lora", "peft"),
        ".lora_B.bias": Role("up_bias", "lora", "peft"),
        ".lora_embedding_A": Role("embedding_down", "lora", "peft"),
        ".lora_embedding_B": Role("embedding_up", "lora", "peft"),
        ".lora_magnitude_vector": Role("magnitude", "dora", "peft"),
        ".lora_magnitude_vector.weight": Role("magnitude", "dora", "peft"),
        ".dora_scale": Role("magnitude", "dora", "lycoris"),
        ".lora_E": Role("singular", "adalora", "peft"),
        ".alpha": Role("alpha", None, None),
        ".on_input": Role("on_input", "ia3", "lycoris"),
        ".ia3_l": Role("ia3_l", "ia3", "peft"),
        ".oft_blocks": Role("oft_blocks", "oft", "lycoris"),
        ".oft_diag": Role("oft_diag", "oft", "lycoris"),
        ".oft_R.weight": Role("oft_r", "oft", "peft"),
        ".oft_r": Role("oft_r", "oft", "peft"),
        ".boft_R": Role("boft_r", "boft", "peft"),
        ".boft_s": Role("boft_s", "boft", "peft"),
        ".rescale": Role("rescale", None, "lycoris"),
        ".scalar": Role("scalar", None, "lycoris"),
        ".diff": Role("diff", "full", "lycoris"),
        ".diff_b": Role("diff_b", "bias", "lycoris"),
        ".diff_m": Role("diff_m", "modulation", "lycoris"),
        ".w_norm": Role("w_norm", "norm", "lycoris"),
        ".b_norm": Role("b_norm", "norm", "lycoris"),
        ".set_weight": Role("set_weight", "bfl-control", None),
        ".reshape_weight": Role("reshape_weight", "bfl-control", None),
        ".vblora_vector_bank": Role("vector_bank", "vblora", "peft"),
        ".ln_tuning_layers.weight": Role("weight", "ln_tuning", "peft"),
        ".trainable_tokens_delta": Role("tokens", "trainable_tokens", "peft"),
        ".adaption_prompt": Role("prompt", "adaption_prompt", "peft"),
        ".adaption_gate": Role("gate", "adaption_prompt", "peft"),
        "prompt_embeddings": Role("prompt", "prompt_tuning", "peft"),
    }
    table.update({f".hada_{p}": Role(f"hada_{p}", "loha", "lycoris") for p in _LOHA})
    table.update({f".lokr_{p}": Role(f"lokr_{p}", "lokr", "lycoris") for p in _LOKR})
    table.update({f".{p}.weight": Role(f"glora_{p}", "glora", "lycoris") for p in _GLORA})
    return table


_LOHA = ("w1_a", "w1_b", "w2_a", "w2_b", "t1", "t2")
_LOKR = ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b", "t1", "t2")
_GLORA = ("a1", "a2", "b1", "b2")

SUFFIXES: Mapping[str, Role] = MappingProxyType(_suffixes())
"""Suffix to role, for suffixes that stand in the key as they are."""

# The adapter's name may be left in the key and can be any word.
_NAMED = re.compile(r"\.(lora_A|lora_B|lora_magnitude_vector)\.[^.]+(?:\.(weight|bias))?$")
# down/up pairs whose marker belongs to the component before: `to_q_lora`, `lora`, `qkv_lora1`.
_DOWN_UP = re.compile(r"(?:\.|_)(lora|lora_linear_layer|lora1|lora2)\.(down|up)\.weight$")
# PEFT methods whose tensors carry the method's name: `.poly_lora_A`, `.osf_svd_params.S_low`.
_METHOD = re.compile(
    r"\.(adalora|c3a|bone|delora|fourierft|glora|gralora|hira|hra|miss|osf|poly|psoft"
    r"|randlora|road|shira|vblora|vera|waveft)_([A-Za-z_]+)(?:\.[\w.]+)?$"
)
_SAME_METHOD = {"bone": "miss"}

_FLAT_PREFIXES = (
    ("lora_unet_", "kohya", "denoiser"),
    ("lora_unet__", "kohya", "denoiser"),
    ("oft_unet_", "kohya", "denoiser"),
    ("lora_te_", "kohya", "text_encoder"),
    ("lora_te1_", "kohya", "text_encoder"),
    ("lora_te2_", "kohya", "text_encoder_2"),
    ("lora_te3_", "kohya", "text_encoder_3"),
    ("lora_transformer_", "onetrainer", "denoiser"),
    ("lora_prior_unet_", "onetrainer", "denoiser"),
    ("lora_prior_te_", "onetrainer", "text_encoder"),
    ("lycoris_", "lycoris", "denoiser"),
    ("lycoris_text_encoder_", "lycoris", "text_encoder"),
    ("lycoris_text_encoder_2_", "lycoris", "text_encoder_2"),
)
_DOTTED_PREFIXES = (
    ("unet.", "diffusers", "denoiser"),
    ("transformer.", "diffusers", "denoiser"),
    ("text_encoder.", "diffusers", "text_encoder"),
    ("text_encoder_2.", "diffusers", "text_encoder_2"),
    ("text_encoder_3.", "diffusers", "text_encoder_3"),
    ("diffusion_model.", "comfyui", "denoiser"),
    ("model.diffusion_model.", "comfyui", "denoiser"),
    ("text_encoders.clip_l.transformer.", "comfyui", "text_encoder"),
    ("text_encoders.clip_g.transformer.", "comfyui", "text_encoder_2"),
    ("text_encoders.t5xxl.transformer.", "comfyui", "text_encoder_3"),
    ("text_encoders.", "comfyui", "text_encoder"),
    ("base_model.model.", "peft", "denoiser"),
    ("base_model.model.unet.", "peft", "denoiser"),
    ("base_model.model.text_model.", "peft", "text_encoder"),
    ("unet.base_model.model.", "peft", "denoiser"),
    ("transformer.base_model.model.", "peft", "denoiser"),
    ("text_encoder.base_model.model.", "peft", "text_encoder"),
    ("text_encoder_2.base_model.model.", "peft", "text_encoder_2"),
)

PREFIXES: Mapping[str, Prefix] = MappingProxyType(
    {text: Prefix(convention, part, is_flat=True) for text, convention, part in _FLAT_PREFIXES}
    | {text: Prefix(convention, part, is_flat=False) for text, convention, part in _DOTTED_PREFIXES}
)
"""Prefix to convention; the longest that fits counts."""

_BARE = Prefix("bare", "denoiser", is_flat=False)
_PREFIX = re.compile("|".join(re.escape(p) for p in sorted(PREFIXES, key=len, reverse=True)))
_TEXT_MODEL = re.compile(r"text_model\.|encoder\.block\.")
_XLABS = re.compile(r"\.processor\.(qkv|proj)$")


@lru_cache(maxsize=16_384)
def split_key(key: str) -> tuple[str, Role] | None:
    """Split a tensor name into its module and the tensor's role there.

    Cached, because adapters of one base model share nearly all of their names.

    Args:
        key: Name of the tensor.

    Returns:
        The module with its prefix, and the role; None for names of no adapter tensor.
    """
    last = key.rfind(".")
    if last < 0:
        role = SUFFIXES.get(key)
        return None if role is None else ("", role)
    before = key.rfind(".", 0, last)
    if before >= 0:
        role = SUFFIXES.get(key[before:])
        if role is not None:
            return key[:before], role
    role = SUFFIXES.get(key[last:])
    if role is not None:
        return key[:last], role
    return _split_unusual(key)


def _split_unusual(key: str) -> tuple[str, Role] | None:
    found = _DOWN_UP.search(key)
    if found:
        return _split_down_up(key[: found.start()], found[1], found[2])
    found = _NAMED.search(key)
    if found:
        suffix = f".{found[1]}.{found[2] or 'weight'}"
        role = SUFFIXES.get(suffix)
        return None if role is None else (key[: found.start()], role)
    found = _METHOD.search(key)
    if found:
        method = _SAME_METHOD.get(found[1], found[1])
        return key[: found.start()], make_role(key[found.start() + 1 :], method, "peft")
    return None


def _split_down_up(stem: str, marker: str, role: str) -> tuple[str, Role] | None:
    """Undo the old diffusers and XLabs spellings, where the processor held the adapter."""
    xlabs = _XLABS.search(stem)
    if xlabs:
        stream = "txt" if marker == "lora2" else "img"
        return f"{stem[: xlabs.start()]}.{stream}_attn.{xlabs[1]}", make_role(role, "lora", "xlabs")
    if marker in {"lora1", "lora2"}:
        return None
    head, processor, leaf = stem.rpartition(".processor.")
    if processor:
        leaf = "to_out.0" if leaf == "to_out" else leaf
        return f"{head}.{leaf}", make_role(role, "lora", "attn-processor")
    return stem, make_role(role, "lora", "down-up")


def split_prefix(module: str) -> tuple[Prefix, str]:
    """Split a module's name into the convention's prefix and the path in the base model."""
    found = _PREFIX.match(module)
    if found is None:
        return _BARE, module
    text = found[0]
    return PREFIXES[text], module[len(text) :]


@lru_cache(maxsize=1)
def known_conventions() -> frozenset[str]:
    """Every convention id that an analysis can give."""
    return frozenset(_NAMES.values()) | {prefix.convention for prefix in PREFIXES.values()}


_NAMES: Mapping[tuple[str, str | None], str] = MappingProxyType(
    {
        ("diffusers", "peft"): "diffusers-peft",
        ("diffusers", "kohya"): "diffusers-kohya",
        ("diffusers", "down-up"): "diffusers-down-up",
        ("diffusers", "attn-processor"): "diffusers-attn-processor",
        ("bare", "attn-processor"): "diffusers-attn-processor",
        ("bare", "down-up"): "diffusers-down-up",
        ("bare", "xlabs"): "xlabs",
        ("comfyui", "xlabs"): "xlabs",
    }
)


def convention_name(prefix: Prefix, dialect: str | None, naming: str | None) -> str:
    """Name the convention of one module.

    Args:
        prefix: How its name begins.
        dialect: How its suffixes are written.
        naming: Naming of the base model that its path follows: `diffusers`, `sgm`, `native` or
            None when no table knows the path.
    """
    if prefix.convention == "kohya" and naming == "sgm":
        return "kohya-sgm"
    return _NAMES.get((prefix.convention, dialect), prefix.convention)

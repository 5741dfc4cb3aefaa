"""Finds modules of the base model that a file adapts twice, under different names.

Careless merges and conversions produce such files: SDXL files with the block names of Stability's
code and of diffusers, or Z-Image files with a fused `attention.qkv` and `to_q`, `to_k`, `to_v`. A
loader that reads both applies the adapter twice.

Each name is turned into single projections, flattened, as diffusers names them. A fused projection
has several. Two modules that share one are duplicates.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from lorary.anatomy.keys.tensor_names import split_prefix
from lorary.anatomy.modules.module_table import modules_of

if TYPE_CHECKING:
    from lorary.anatomy.modules.adapted import Module

Duplicates = tuple[list[tuple[str, str]], list[tuple[str, str]]]

_FUSED_ENDS = ("qkv", "qkv_proj", "to_kv", "kv_proj", "linear1", "qkv_mlp_proj", "c_attn")
_SPLIT_ENDS = ("to_q", "to_k", "to_v", "_q", "_k", "_v", ".q", ".k", ".v", "q_proj", "k_proj",
               "v_proj", "wq", "wk", "wv", "to_kv", "proj_mlp")  # fmt: skip

_MAX_CACHED = 6_000  # names
_FUSED_MARKS = ("kv", "near1", "c_att")  # parts of the above; short marks are found faster
_DOUBLE_PREFIX = "lora_unet__"

_IN_UNET = re.compile(r"(input|output)_blocks_(\d{1,2})_(\d)_(.+)")
_MID_UNET = re.compile(r"middle_block_([012])_(.+)")
_RESNET: Mapping[str, str] = {
    "in_layers_2": "conv1",
    "emb_layers_1": "time_emb_proj",
    "out_layers_3": "conv2",
    "skip_connection": "conv_shortcut",
}
_LAYERS = 3  # of a block: two of each kind, then down-sampling (or a third one, in the up blocks)


def _from_sgm(path: str) -> str:
    """Translate a UNet name of Stability's code to diffusers.

    Both count the same layers: Stability through all blocks, diffusers within each block.
    """
    found = _IN_UNET.match(path)
    if found:
        number, part, rest = int(found[2]), found[3], found[4]
        is_down = found[1] == "input"
        block, layer = divmod(number - 1 if is_down else number, _LAYERS)
        side = "down" if is_down else "up"
        if rest in {"op", "conv"}:
            return f"{side}_blocks_{block}_{side}samplers_0_conv"
        return f"{side}_blocks_{block}_{_unet_layer(part == '0', layer, rest)}"
    found = _MID_UNET.match(path)
    if found:
        part, rest = int(found[1]), found[2]
        return f"mid_block_{_unet_layer(part != 1, part // 2, rest)}"
    return path


def _unet_layer(is_resnet: bool, layer: int, rest: str) -> str:  # noqa: FBT001
    if is_resnet:
        return f"resnets_{layer}_{_RESNET.get(rest, rest)}"
    return f"attentions_{layer}_{rest}"


_QKV = ("to_q", "to_k", "to_v")
_ADDED_QKV = ("add_q_proj", "add_k_proj", "add_v_proj")

# Leaf names of DiTs to those of diffusers; _STEMS translates the names of blocks.
_LEAVES: Mapping[str, tuple[str, ...]] = {
    "img_attn_qkv": tuple(f"attn_{leaf}" for leaf in _QKV),
    "txt_attn_qkv": tuple(f"attn_{leaf}" for leaf in _ADDED_QKV),
    "x_block_attn_qkv": tuple(f"attn_{leaf}" for leaf in _QKV),
    "context_block_attn_qkv": tuple(f"attn_{leaf}" for leaf in _ADDED_QKV),
    "x_block_attn_proj": ("attn_to_out_0",),
    "context_block_attn_proj": ("attn_to_add_out",),
    "img_attn_proj": ("attn_to_out_0",),
    "txt_attn_proj": ("attn_to_add_out",),
    "img_mlp_0": ("ff_net_0_proj",),
    "img_mlp_2": ("ff_net_2",),
    "txt_mlp_0": ("ff_context_net_0_proj",),
    "txt_mlp_2": ("ff_context_net_2",),
    "img_mlp_fc1": ("ff_net_0_proj",),
    "img_mlp_fc2": ("ff_net_2",),
    "txt_mlp_fc1": ("ff_context_net_0_proj",),
    "txt_mlp_fc2": ("ff_context_net_2",),
    "img_mod_lin": ("norm1_linear",),
    "txt_mod_lin": ("norm1_context_linear",),
    "linear1": (*(f"attn_{leaf}" for leaf in _QKV), "proj_mlp"),
    "attn_to_qkv_mlp_proj": (*(f"attn_{leaf}" for leaf in _QKV), "proj_mlp"),
    "linear2": ("proj_out",),
    "modulation_lin": ("norm_linear",),
    "ffn_0": ("ffn_net_0_proj",),
    "ffn_2": ("ffn_net_2",),
    "self_attn_o": ("attn1_to_out_0",),
    "cross_attn_o": ("attn2_to_out_0",),
    "self_attn_output_proj": ("attn1_to_out_0",),
    "cross_attn_output_proj": ("attn2_to_out_0",),
    "cross_attn_k_img": ("attn2_add_k_proj",),
    "cross_attn_v_img": ("attn2_add_v_proj",),
    "attention_out": ("attention_to_out_0",),
}
_STEMS = (
    ("double_blocks_", "transformer_blocks_"),
    ("joint_blocks_", "transformer_blocks_"),
    ("single_blocks_", "single_transformer_blocks_"),
)
_BLOCK = re.compile(r"((?:[a-z]{1,64}_){0,64}?(?:blocks|layers)_\d{1,512}_)(.+)")
_PROJECTION = re.compile(r"(.{0,512}?_?)(?:to_|w)?(qkv|kv|q|k|v)(?:_proj)?")
_ATTENTIONS: Mapping[str, str] = {"self_attn_": "attn1_", "cross_attn_": "attn2_"}


@lru_cache(maxsize=16_384)
def projections(path: str, *, is_encoder: bool = False) -> tuple[str, ...]:
    """Return the single projections that a module covers.

    Args:
        path: The module's name without its convention's prefix, dotted or flattened.
        is_encoder: The module is part of a text encoder, where names hardly differ.
    """
    flat = path.replace(".", "_")
    if is_encoder:
        flat = flat.removeprefix("text_model_")
        head, _, leaf = flat.rpartition("_to_")
        return (f"{head}_{leaf}_proj",) if leaf in {"q", "k", "v", "out"} else (flat,)
    flat = _from_sgm(flat)
    for native, stem in _STEMS:
        if flat.startswith(native):
            flat = stem + flat[len(native) :]
    block = _BLOCK.match(flat)
    stem, leaf = (block[1], block[2]) if block else ("", flat)
    known = _LEAVES.get(leaf)
    if known is not None:
        return tuple(stem + projection for projection in known)
    return tuple(stem + projection for projection in _projections(leaf))


def _projections(leaf: str) -> tuple[str, ...]:
    """Return the diffusers names for any spelling of query, key and value (`wq`, `qkv`)."""
    found = _PROJECTION.fullmatch(leaf)
    if not found or found[1].endswith("add_") or (found[1] and not found[1].endswith("_")):
        return (leaf,)
    head = found[1]
    for native, name in _ATTENTIONS.items():
        if head.endswith(native):
            head = head[: -len(native)] + name
    return tuple(f"{head}to_{letter}" for letter in found[2])


@lru_cache(maxsize=8)
def _may_have_duplicates(
    names: tuple[str, ...], parts: tuple[str, ...], conventions: tuple[str, ...]
) -> bool:
    """Look for marks that every file with duplicates has, because the full search takes longer.

    Cached, because adapters of one trainer and base model have the same names in the same order.
    """
    kinds = set(zip(parts, conventions, strict=True))
    if len(kinds) > len({part for part, _ in kinds}):
        return True  # one part in two conventions
    text = "\n".join(names)
    if _DOUBLE_PREFIX in text:
        return True
    if (
        "." in text
        and "lora_" in text
        and len({name.replace(".", "_") for name in names}) < len(names)
    ):
        return True
    if not any(mark in text for mark in _FUSED_MARKS):
        return False
    own = [name for name, part in zip(names, parts, strict=True) if part == "denoiser"]
    return any(name.endswith(_FUSED_ENDS) for name in own) and any(
        name.endswith(_SPLIT_ENDS) for name in own
    )


def find_duplicates(modules: Sequence[Module]) -> Duplicates:
    """Return pairs of names that adapt the same module of the base model.

    Returns:
        Pairs of equal modules, and pairs of a part and its fused projection. A module is the first
        of at most one pair in each list.
    """
    columns = modules_of(modules).columns
    may_have = (
        _may_have_duplicates
        if len(columns.names) <= _MAX_CACHED
        else _may_have_duplicates.__wrapped__
    )
    if not may_have(*map(tuple, (columns.names, columns.parts, columns.conventions))):
        return [], []
    owners: dict[tuple[str, str], list[tuple[str, int]]] = defaultdict(list)
    for module in modules:
        covered = projections(split_prefix(module.name)[1], is_encoder=module.part != "denoiser")
        for projection in covered:
            owners[module.part, projection].append((module.name, len(covered)))
    equal: dict[str, str] = {}
    fused: dict[str, str] = {}
    for found in owners.values():
        if len(found) > 1:
            (name, size), *others = sorted(found, key=lambda entry: -entry[1])
            for other, other_size in others:
                (equal if size == other_size else fused).setdefault(other, name)
    return [(second, first) for first, second in equal.items()], [
        (second, first) for first, second in fused.items()
    ]

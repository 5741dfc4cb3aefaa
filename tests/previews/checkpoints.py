"""Pipelines as single files, under the names of the original authors' code."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file

from previews.render.adapters.base_modules import ldm_names

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    Tensors = dict[str, Tensor]

#: Of the autoencoder; up blocks are counted from the other end there.
_VAE = (
    (r"mid_block\.resnets\.0", "mid.block_1"),
    (r"mid_block\.resnets\.1", "mid.block_2"),
    (r"mid_block\.attentions\.0", "mid.attn_1"),
    (r"down_blocks\.(\d)\.resnets\.(\d)", r"down.\1.block.\2"),
    (r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample"),
    (r"up_blocks\.(\d)\.resnets\.(\d)", r"up.\1.block.\2"),
    (r"up_blocks\.(\d)\.upsamplers\.0", r"up.\1.upsample"),
    (r"conv_shortcut", "nin_shortcut"),
    (r"conv_norm_out", "norm_out"),
    (r"group_norm", "norm"),
    (r"\.to_out\.0", ".proj_out"),
    (r"\.to_([qkv])\b", r".\1"),
)
_OPEN_CLIP = (
    (r"^encoder\.layers\.", "transformer.resblocks."),
    (r"layer_norm(\d)", r"ln_\1"),
    (r"\.fc1", ".c_fc"),
    (r"\.fc2", ".c_proj"),
    (r"self_attn", "attn"),
    (r"^final_layer_norm", "ln_final"),
    (r"^embeddings\.token_embedding", "token_embedding"),
    (r"^embeddings\.position_embedding\.weight", "positional_embedding"),
    (r"^text_projection\.weight", "text_projection"),
)
_LTX = (
    (r"^proj_in", "patchify_proj"),
    (r"^time_embed\.", "adaln_single."),
    (r"norm_([qk])\b", r"\1_norm"),
)


def write_stable_diffusion(path: Path, pipeline: Any) -> Path:
    """Everything in one file, as Stable Diffusion 1.x and XL were published."""
    second = getattr(pipeline, "text_encoder_2", None)
    names = ("cond_stage_model." if second is None else "conditioner.embedders.0.",)
    tensors = _with(f"{names[0]}transformer.text_model.", _text(pipeline.text_encoder))
    if second is not None:
        tensors |= _with("conditioner.embedders.1.model.", _open_clip(_text(second)))
    tensors |= _with("model.diffusion_model.", _unet(pipeline.unet))
    tensors |= _with("first_stage_model.", _vae(pipeline.vae))
    return _save(path, tensors)


def write_ltx(path: Path, pipeline: Any) -> Path:
    """The transformer of LTX-Video under the names that its authors gave."""
    named = {_renamed(name, _LTX): value for name, value in _state(pipeline.transformer).items()}
    return _save(path, _with("model.diffusion_model.", named))


def write_part(path: Path, model: Any) -> Path:
    """A model alone under the names of diffusers, as some fine-tunes are given away."""
    return _save(path, _state(model))


def _unet(unet: Any) -> Tensors:
    names = {**ldm_names(unet), "conv_norm_out": "out.0"}
    parts = (name.rpartition(".") for name in _state(unet))
    tensors = {}
    for module, _, leaf in parts:
        tensors[f"{names[module]}.{leaf}"] = unet.get_parameter(f"{module}.{leaf}")
    return tensors


def _vae(vae: Any) -> Tensors:
    last = len(vae.config.up_block_types) - 1
    tensors = {}
    for name, value in _state(vae).items():
        renamed = re.sub(r"\bup\.(\d)", lambda at: f"up.{last - int(at[1])}", _renamed(name, _VAE))
        is_attention = ".attn_1." in renamed and value.ndim == 2
        tensors[renamed] = value[:, :, None, None] if is_attention else value
    return tensors


def _text(model: Any) -> Tensors:
    return {name.removeprefix("text_model."): value for name, value in _state(model).items()}


def _open_clip(tensors: Tensors) -> Tensors:
    made: Tensors = {}
    for name, value in tensors.items():
        renamed = _renamed(name, _OPEN_CLIP)
        if found := re.match(r"(.+\.attn\.)q_proj\.(weight|bias)", renamed):
            parts = [tensors[name.replace("q_proj", f"{part}_proj")] for part in "qkv"]
            made[f"{found[1]}in_proj_{found[2]}"] = torch.cat(parts)
        elif not re.search(r"\.[kv]_proj\.", renamed):
            made[renamed] = value.T if renamed == "text_projection" else value
    return {re.sub(r"(resblocks\.\d+\.)(c_)", r"\1mlp.\2", key): made[key] for key in made}


def _state(model: Any) -> Tensors:
    return {name: value for name, value in model.state_dict().items() if value.is_floating_point()}


def _renamed(name: str, rules: tuple[tuple[str, str], ...]) -> str:
    for pattern, target in rules:
        name = re.sub(pattern, target, name)
    return name


def _with(prefix: str, tensors: Tensors) -> Tensors:
    return {f"{prefix}{name}": value for name, value in tensors.items()}


def _save(path: Path, tensors: Tensors) -> Path:
    save_file({name: value.detach().contiguous().clone() for name, value in tensors.items()}, path)
    return path

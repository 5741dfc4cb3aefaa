"""Small adapters of every family and convention, made in code.

The modules are written down here, not taken from the tables under test: each list is the test
vector of its family, with the module that tells it from its neighbours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tests.builders.weights import safetensors

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["DENOISERS", "TEXT_ENCODERS", "Target", "bare", "comfyui", "diffusers", "kohya", "peft"]


class Target(NamedTuple):
    """A module of a base model: name and weight shape `(out, in, *kernel)`."""

    path: str
    shape: tuple[int, ...]


def _targets(*rows: tuple[str, tuple[int, ...]]) -> tuple[Target, ...]:
    return tuple(Target(path, shape) for path, shape in rows)


_UNET = "down_blocks.1.attentions.0.transformer_blocks.0"
_DOUBLE = "double_blocks.0"

DENOISERS: Mapping[tuple[str, str], tuple[Target, ...]] = {
    ("sd1", "diffusers"): _targets(
        (f"{_UNET}.attn1.to_q", (640, 640)),
        (f"{_UNET}.attn2.to_k", (640, 768)),
        (f"{_UNET}.attn1.to_out.0", (640, 640)),
        (f"{_UNET}.ff.net.0.proj", (5120, 640)),
        ("down_blocks.1.attentions.0.proj_in", (640, 640, 1, 1)),
        ("mid_block.attentions.0.transformer_blocks.0.attn2.to_v", (1280, 768)),
        ("up_blocks.3.attentions.2.transformer_blocks.0.attn1.to_v", (320, 320)),
    ),
    ("sd2", "diffusers"): _targets(
        (f"{_UNET}.attn1.to_q", (640, 640)),
        (f"{_UNET}.attn2.to_k", (640, 1024)),
        ("down_blocks.1.attentions.0.proj_in", (640, 640)),
    ),
    ("sdxl", "diffusers"): _targets(
        (f"{_UNET}.attn1.to_q", (640, 640)),
        (f"{_UNET}.attn2.to_k", (640, 2048)),
        ("mid_block.attentions.0.transformer_blocks.9.attn1.to_k", (1280, 1280)),
        ("add_embedding.linear_1", (1280, 2816)),
    ),
    ("sdxl", "sgm"): _targets(
        ("input_blocks.4.1.transformer_blocks.1.attn2.to_k", (640, 2048)),
        ("middle_block.1.transformer_blocks.9.attn1.to_q", (1280, 1280)),
        ("output_blocks.0.1.proj_in", (1280, 1280)),
    ),
    ("kolors", "diffusers"): _targets(
        (f"{_UNET}.attn2.to_k", (640, 2048)),
        ("encoder_hid_proj", (2048, 4096)),
    ),
    ("flux1", "native"): _targets(
        (f"{_DOUBLE}.img_attn.qkv", (9216, 3072)),
        (f"{_DOUBLE}.img_mod.lin", (18432, 3072)),
        ("double_blocks.18.txt_mlp.0", (12288, 3072)),
        ("single_blocks.37.linear1", (21504, 3072)),
        ("guidance_in.in_layer", (3072, 256)),
    ),
    ("flux1", "diffusers"): _targets(
        ("transformer_blocks.0.attn.to_q", (3072, 3072)),
        ("transformer_blocks.0.attn.add_q_proj", (3072, 3072)),
        ("transformer_blocks.18.norm1.linear", (18432, 3072)),
        ("single_transformer_blocks.37.proj_mlp", (12288, 3072)),
        ("x_embedder", (3072, 64)),
    ),
    ("chroma", "native"): _targets(
        (f"{_DOUBLE}.img_attn.qkv", (9216, 3072)),
        ("distilled_guidance_layer.in_proj", (5120, 64)),
    ),
    ("flux2_klein_4b", "native"): _targets(
        (f"{_DOUBLE}.img_attn.qkv", (9216, 3072)),
        (f"{_DOUBLE}.img_mlp.0", (18432, 3072)),
        ("single_blocks.19.linear1", (27648, 3072)),
    ),
    ("hunyuan_video", "native"): _targets(
        ("double_blocks.19.img_attn_qkv", (9216, 3072)),
        (f"{_DOUBLE}.img_mlp.fc1", (12288, 3072)),
    ),
    ("framepack", "diffusers"): _targets(
        ("transformer_blocks.19.attn.to_q", (3072, 3072)),
        ("clean_x_embedder.proj", (3072, 16, 1, 2, 2)),
    ),
    ("qwen_image", "diffusers"): _targets(
        ("transformer_blocks.59.attn.add_q_proj", (3072, 3072)),
        ("transformer_blocks.0.img_mlp.net.0.proj", (12288, 3072)),
    ),
    ("miniature", "diffusers"): _targets(
        ("down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q", (96, 96)),
        ("down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k", (128, 128)),
        ("mid_block.attentions.0.transformer_blocks.0.attn2.to_k", (128, 128)),
        ("up_blocks.2.attentions.1.transformer_blocks.0.ff.net.2", (96, 384)),
    ),
}
"""Family and naming to some modules that only this family has together."""


def _clip(width: int, inner: int, layer: int) -> tuple[Target, ...]:
    stem = f"text_model.encoder.layers.{layer}"
    return _targets(
        (f"{stem}.self_attn.q_proj", (width, width)),
        (f"{stem}.self_attn.out_proj", (width, width)),
        (f"{stem}.mlp.fc1", (inner, width)),
    )


TEXT_ENCODERS: Mapping[str, tuple[Target, ...]] = {
    "clip_l": _clip(768, 3072, 11),
    "clip_h": _clip(1024, 4096, 22),
    "clip_g": _clip(1280, 5120, 31),
    "clip_miniature": _clip(128, 384, 2),
    "t5_xxl": _targets(
        ("encoder.block.23.layer.0.SelfAttention.q", (4096, 4096)),
        ("encoder.block.23.layer.1.DenseReluDense.wo", (4096, 10240)),
    ),
}
"""Encoder to some of its modules."""


def _pair(target: Target, rank: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shapes of down and up."""
    out, wide, *kernel = target.shape
    return (rank, wide, *kernel), (out, rank, *(1 for _ in kernel))


def kohya(
    targets: Iterable[Target],
    *,
    encoders: Mapping[str, Iterable[Target]] | None = None,
    rank: int = 4,
    alpha: float | None = 2.0,
    dtype: str = "F16",
    metadata: Mapping[str, str] | None = None,
) -> bytes:
    """Flattened names, `lora_down`/`lora_up`, and an alpha per module.

    Args:
        targets: Modules of the denoiser.
        encoders: Prefix such as `lora_te1` to modules of that text encoder.
        rank: Rank of all pairs.
        alpha: Alpha of all modules, None for a file without alphas.
        dtype: Number format of all tensors.
        metadata: The `__metadata__` map.
    """
    tensors: dict[str, tuple[str, Sequence[int]]] = {}
    values: dict[str, float] = {}
    for prefix, group in {"lora_unet": targets, **(encoders or {})}.items():
        for target in group:
            name = f"{prefix}_{target.path.replace('.', '_')}"
            down, up = _pair(target, rank)
            if alpha is not None:
                tensors[f"{name}.alpha"] = (dtype, ())
                values[f"{name}.alpha"] = alpha
            tensors[f"{name}.lora_down.weight"] = (dtype, down)
            tensors[f"{name}.lora_up.weight"] = (dtype, up)
    return safetensors(tensors, metadata, values=values)


def _dotted(
    groups: Mapping[str, Iterable[Target]],
    suffixes: tuple[str, str],
    rank: int,
    metadata: Mapping[str, str] | None,
) -> bytes:
    tensors: dict[str, tuple[str, Sequence[int]]] = {}
    for prefix, group in groups.items():
        for target in group:
            for suffix, shape in zip(suffixes, _pair(target, rank), strict=True):
                tensors[f"{prefix}{target.path}{suffix}"] = ("F32", shape)
    return safetensors(tensors, metadata)


_PEFT = (".lora_A.weight", ".lora_B.weight")


def diffusers(
    targets: Iterable[Target],
    *,
    component: str = "unet",
    encoders: Mapping[str, Iterable[Target]] | None = None,
    suffixes: tuple[str, str] = _PEFT,
    rank: int = 4,
    metadata: Mapping[str, str] | None = None,
) -> bytes:
    """Component prefix and diffusers names; encoders by component, such as `text_encoder`."""
    groups = {f"{component}.": targets}
    groups.update({f"{name}.": group for name, group in (encoders or {}).items()})
    return _dotted(groups, suffixes, rank, metadata)


def peft(
    targets: Iterable[Target], *, rank: int = 4, metadata: Mapping[str, str] | None = None
) -> bytes:
    """What `PeftModel.save_pretrained` writes."""
    return _dotted({"base_model.model.": targets}, _PEFT, rank, metadata)


def comfyui(
    targets: Iterable[Target], *, rank: int = 4, metadata: Mapping[str, str] | None = None
) -> bytes:
    """Native dotted names under `diffusion_model.`."""
    return _dotted({"diffusion_model.": targets}, _PEFT, rank, metadata)


def bare(
    targets: Iterable[Target],
    *,
    suffixes: tuple[str, str] = _PEFT,
    rank: int = 4,
    metadata: Mapping[str, str] | None = None,
) -> bytes:
    """Names without any prefix."""
    return _dotted({"": targets}, suffixes, rank, metadata)

"""Test vectors of base models: for each family some modules that tell it from its neighbours.

They are written down here, not taken from the tables under test.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Target(NamedTuple):
    """A module of a base model: name and weight shape `(out, in, *kernel)`."""

    path: str
    shape: tuple[int, ...]


def _targets(*rows: tuple[str, tuple[int, ...]]) -> tuple[Target, ...]:
    return tuple(Target(path, shape) for path, shape in rows)


_UNET = "down_blocks.1.attentions.0.transformer_blocks.0"
_DOUBLE = "double_blocks.0"
_MOTION = "down_blocks.3.motion_modules.1"
_WIDE = "up_blocks.1.motion_modules.2"

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
    ("sd1", "sgm"): _targets(
        ("input_blocks.1.1.transformer_blocks.0.attn2.to_k", (320, 768)),
        ("output_blocks.11.1.proj_out", (320, 320, 1, 1)),
    ),
    ("bk_sdm_tiny", "diffusers"): _targets(
        ("down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k", (640, 768)),
        ("up_blocks.0.attentions.1.transformer_blocks.0.attn1.to_q", (1280, 1280)),
    ),
    ("sd2", "diffusers"): _targets(
        (f"{_UNET}.attn1.to_q", (640, 640)),
        (f"{_UNET}.attn2.to_k", (640, 1024)),
        ("down_blocks.1.attentions.0.proj_in", (640, 640)),
        ("mid_block.resnets.0.conv1", (1280, 1280, 3, 3)),
    ),
    ("sd2", "sgm"): _targets(
        ("input_blocks.1.1.transformer_blocks.0.attn2.to_k", (320, 1024)),
        ("middle_block.1.proj_in", (1280, 1280)),
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
    ("sdxl_refiner", "diffusers"): _targets(
        ("down_blocks.1.attentions.0.transformer_blocks.3.attn2.to_k", (768, 1280)),
        ("up_blocks.3.resnets.0.conv1", (384, 1152, 3, 3)),
    ),
    ("kolors", "diffusers"): _targets(
        (f"{_UNET}.attn2.to_k", (640, 2048)),
        ("encoder_hid_proj", (2048, 4096)),
    ),
    ("koala_1b", "diffusers"): _targets(
        ("mid_block.attentions.0.transformer_blocks.5.attn1.to_q", (1280, 1280)),
        ("up_blocks.0.resnets.1.conv1", (1280, 1920, 3, 3)),
    ),
    ("sd3", "native"): _targets(
        ("joint_blocks.23.x_block.attn.qkv", (4608, 1536)),
        ("joint_blocks.0.x_block.adaLN_modulation.1", (9216, 1536)),
    ),
    ("sd3", "diffusers"): _targets(
        ("transformer_blocks.23.attn.add_k_proj", (1536, 1536)),
        ("transformer_blocks.0.norm1.linear", (9216, 1536)),
    ),
    ("sd35_medium", "native"): _targets(
        ("joint_blocks.23.x_block.attn.qkv", (4608, 1536)),
        ("joint_blocks.12.x_block.attn2.qkv", (4608, 1536)),
    ),
    ("sd35_medium", "diffusers"): _targets(
        ("transformer_blocks.12.attn.to_q", (1536, 1536)),
        ("transformer_blocks.12.attn2.to_q", (1536, 1536)),
        ("transformer_blocks.0.ff.net.0.proj", (6144, 1536)),
    ),
    ("sd35_large", "native"): _targets(("joint_blocks.37.x_block.attn.qkv", (7296, 2432))),
    ("sd35_large", "diffusers"): _targets(
        ("transformer_blocks.37.attn.to_q", (2432, 2432)),
        ("transformer_blocks.0.ff.net.0.proj", (9728, 2432)),
    ),
    ("flux1", "native"): _targets(
        (f"{_DOUBLE}.img_attn.qkv", (9216, 3072)),
        (f"{_DOUBLE}.img_mod.lin", (18432, 3072)),
        ("double_blocks.18.txt_mlp.0", (12288, 3072)),
        ("single_blocks.37.linear1", (21504, 3072)),
        ("img_in", (3072, 64)),
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
    ("chroma", "diffusers"): _targets(
        ("single_transformer_blocks.37.proj_mlp", (12288, 3072)),
        ("distilled_guidance_layer.layers.4.linear_2", (5120, 5120)),
    ),
    ("flux2_dev", "native"): _targets(("single_blocks.47.linear1", (55296, 6144))),
    ("flux2_dev", "diffusers"): _targets(
        ("transformer_blocks.7.ff.linear_in", (36864, 6144)),
        ("single_transformer_blocks.47.attn.to_qkv_mlp_proj", (55296, 6144)),
    ),
    ("flux2_klein_9b", "native"): _targets(
        (f"{_DOUBLE}.img_attn.qkv", (12288, 4096)),
        ("single_blocks.23.linear1", (36864, 4096)),
    ),
    ("flux2_klein_9b", "diffusers"): _targets(("context_embedder", (4096, 12288))),
    ("flux2_klein_4b", "native"): _targets(
        (f"{_DOUBLE}.img_attn.qkv", (9216, 3072)),
        (f"{_DOUBLE}.img_mlp.0", (18432, 3072)),
        ("single_blocks.19.linear1", (27648, 3072)),
    ),
    ("flux2_klein_4b", "diffusers"): _targets(
        ("transformer_blocks.4.attn.to_q", (3072, 3072)),
        ("single_transformer_blocks.19.attn.to_out", (3072, 12288)),
    ),
    ("hunyuan_video", "native"): _targets(
        ("double_blocks.19.img_attn_qkv", (9216, 3072)),
        (f"{_DOUBLE}.img_mlp.fc1", (12288, 3072)),
    ),
    ("hunyuan_video", "comfyui"): _targets(
        ("double_blocks.19.img_attn.qkv", (9216, 3072)),
        (f"{_DOUBLE}.img_mlp.0", (12288, 3072)),
    ),
    ("framepack", "diffusers"): _targets(
        ("transformer_blocks.19.attn.to_q", (3072, 3072)),
        ("clean_x_embedder.proj", (3072, 16, 1, 2, 2)),
    ),
    ("hunyuan_video_1_5", "native"): _targets(
        ("double_blocks.53.img_attn_q", (2048, 2048)),
        ("vision_in.proj.1", (1152, 1152)),
    ),
    ("hunyuan_video_1_5", "diffusers"): _targets(
        ("transformer_blocks.53.attn.add_k_proj", (2048, 2048)),
        ("transformer_blocks.53.ff_context.net.2", (2048, 8192)),
    ),
    ("hunyuan_image_2_1", "native"): _targets(("double_blocks.19.img_attn_qkv", (10752, 3584))),
    ("hunyuan_image_2_1", "comfyui"): _targets(("single_blocks.39.linear1", (25088, 3584))),
    ("hunyuan_image_2_1", "diffusers"): _targets(
        ("single_transformer_blocks.39.attn.to_q", (3584, 3584)),
        ("single_transformer_blocks.39.proj_mlp", (14336, 3584)),
    ),
    ("hunyuan_dit", "diffusers"): _targets(
        ("blocks.39.attn2.to_k", (1408, 1024)),
        ("blocks.39.attn1.to_q", (1408, 1408)),
    ),
    ("qwen_image", "diffusers"): _targets(
        ("transformer_blocks.59.attn.add_q_proj", (3072, 3072)),
        ("transformer_blocks.0.img_mlp.net.0.proj", (12288, 3072)),
    ),
    ("z_image", "native"): _targets(
        ("layers.29.attention.to_q", (3840, 3840)),
        ("layers.0.feed_forward.w1", (10240, 3840)),
    ),
    ("z_image", "fused"): _targets(("layers.29.attention.qkv", (11520, 3840))),
    ("lumina2", "native"): _targets(("layers.25.attention.qkv", (3840, 2304))),
    ("lumina2", "diffusers"): _targets(
        ("layers.25.attn.to_k", (768, 2304)),
        ("layers.0.feed_forward.linear_1", (9216, 2304)),
    ),
    ("wan_14b", "native"): _targets(
        ("blocks.39.self_attn.q", (5120, 5120)),
        ("patch_embedding", (5120, 16, 1, 2, 2)),
    ),
    ("wan_14b_i2v", "native"): _targets(
        ("blocks.39.self_attn.q", (5120, 5120)),
        ("blocks.39.cross_attn.k_img", (5120, 5120)),
    ),
    ("wan_vace_1_3b", "native"): _targets(("vace_blocks.14.ffn.0", (8960, 1536))),
    ("wan_vace_1_3b", "diffusers"): _targets(("vace_blocks.0.ffn.net.2", (1536, 8960))),
    ("wan_vace_14b", "native"): _targets(("vace_blocks.7.ffn.0", (13824, 5120))),
    ("wan_vace_14b", "diffusers"): _targets(("vace_blocks.0.ffn.net.2", (5120, 13824))),
    ("wan_animate", "native"): _targets(
        ("blocks.39.cross_attn.k_img", (5120, 5120)),
        ("face_adapter.fuser_blocks.7.linear1_kv", (10240, 5120)),
    ),
    ("wan_animate", "diffusers"): _targets(
        ("blocks.39.attn2.add_k_proj", (5120, 5120)),
        ("face_adapter.7.to_k", (5120, 5120)),
    ),
    ("wan_5b", "native"): _targets(("blocks.29.ffn.2", (3072, 14336))),
    ("wan_5b", "diffusers"): _targets(("blocks.29.ffn.net.2", (3072, 14336))),
    ("anima", "native"): _targets(
        ("blocks.27.self_attn.q_proj", (2048, 2048)),
        ("llm_adapter.blocks.5.cross_attn.o_proj", (1024, 1024)),
    ),
    ("cosmos_predict2_2b", "diffusers"): _targets(
        ("transformer_blocks.27.attn2.to_k", (2048, 1024)),
    ),
    ("hidream_i1", "diffusers"): _targets(
        ("double_stream_blocks.15.block.attn1.to_q_t", (2560, 2560)),
        ("single_stream_blocks.31.block.ff_i.experts.3.w1", (6912, 2560)),
    ),
    ("krea2", "native"): _targets(("blocks.27.attn.wk", (1536, 6144))),
    ("krea2", "diffusers"): _targets(("transformer_blocks.27.attn.to_k", (1536, 6144))),
    ("ideogram4", "native"): _targets(("layers.33.attention.qkv", (13824, 4608))),
    ("ideogram4", "diffusers"): _targets(("layers.33.attention.to_q", (4608, 4608))),
    ("ernie_image", "diffusers"): _targets(
        ("layers.23.self_attention.to_q", (3072, 3072)),
        ("layers.0.mlp.linear_fc2", (3072, 8192)),
    ),
    ("ltx_video", "diffusers"): _targets(
        ("transformer_blocks.27.attn2.to_k", (2048, 2048)),
        ("transformer_blocks.27.ff.net.2", (2048, 8192)),
    ),
    ("ltx_video_13b", "diffusers"): _targets(
        ("transformer_blocks.47.attn1.to_q", (4096, 4096)),
        ("caption_projection.linear_1", (4096, 4096)),
        ("proj_in", (4096, 128)),
    ),
    ("ltx2", "diffusers"): _targets(
        ("transformer_blocks.47.attn1.to_q", (4096, 4096)),
        ("transformer_blocks.0.audio_to_video_attn.to_q", (2048, 4096)),
        ("audio_caption_projection.linear_1", (2048, 3840)),
    ),
    ("ltx2_3", "diffusers"): _targets(
        ("transformer_blocks.47.attn1.to_q", (4096, 4096)),
        ("transformer_blocks.0.audio_attn1.to_gate_logits", (32, 2048)),
    ),
    ("cogvideox_2b", "diffusers"): _targets(
        ("transformer_blocks.29.attn1.to_q", (1920, 1920)),
        ("transformer_blocks.29.ff.net.2", (1920, 7680)),
    ),
    ("cogvideox_5b", "diffusers"): _targets(
        ("transformer_blocks.41.attn1.to_q", (3072, 3072)),
        ("patch_embed.proj", (3072, 16, 2, 2)),
    ),
    ("mochi", "diffusers"): _targets(
        ("transformer_blocks.47.attn1.to_q", (3072, 3072)),
        ("transformer_blocks.0.attn1.add_k_proj", (3072, 1536)),
    ),
    ("mochi", "native"): _targets(
        ("blocks.47.attn.qkv_x", (9216, 3072)),
        ("blocks.0.attn.qkv_y", (9216, 1536)),
    ),
    ("cogview4", "diffusers"): _targets(
        ("transformer_blocks.27.attn1.to_q", (4096, 4096)),
        ("transformer_blocks.0.norm1.linear", (49152, 512)),
        ("patch_embed.text_proj", (4096, 4096)),
    ),
    ("glm_image", "diffusers"): _targets(
        ("transformer_blocks.29.attn1.to_q", (4096, 4096)),
        ("glyph_projector.net.0.proj", (4096, 1472)),
    ),
    ("auraflow", "diffusers"): _targets(
        ("joint_transformer_blocks.3.attn.add_q_proj", (3072, 3072)),
        ("single_transformer_blocks.31.ff.out_projection", (3072, 8192)),
    ),
    ("pixart", "diffusers"): _targets(
        ("transformer_blocks.27.attn2.to_q", (1152, 1152)),
        ("transformer_blocks.27.ff.net.2", (1152, 4608)),
    ),
    ("dit_xl", "diffusers"): _targets(
        ("transformer_blocks.27.attn1.to_q", (1152, 1152)),
        ("transformer_blocks.27.norm1.linear", (6912, 1152)),
    ),
    ("easyanimate", "diffusers"): _targets(
        ("transformer_blocks.47.attn1.to_q", (3072, 3072)),
        ("transformer_blocks.47.txt_ff.net.2", (3072, 12288)),
    ),
    ("sana_600m", "diffusers"): _targets(
        ("transformer_blocks.27.attn1.to_q", (1152, 1152)),
        ("transformer_blocks.27.ff.conv_inverted", (5760, 1152, 1, 1)),
    ),
    ("sana_video", "diffusers"): _targets(
        ("transformer_blocks.19.attn1.to_q", (2240, 2240)),
        ("transformer_blocks.19.ff.conv_temp", (2240, 2240, 3, 1)),
    ),
    ("sana_4800m", "diffusers"): _targets(
        ("transformer_blocks.59.attn1.to_q", (2240, 2240)),
    ),
    ("kandinsky5", "diffusers"): _targets(
        ("visual_transformer_blocks.31.self_attention.to_query", (2048, 2048)),
        ("visual_transformer_blocks.31.feed_forward.in_layer", (5120, 2048)),
    ),
    ("kandinsky5_imglite", "diffusers"): _targets(
        ("visual_transformer_blocks.49.cross_attention.to_key", (2560, 2560)),
        ("visual_transformer_blocks.0.feed_forward.in_layer", (10240, 2560)),
    ),
    ("kandinsky5_lite", "diffusers"): _targets(
        ("visual_transformer_blocks.31.self_attention.to_query", (1792, 1792)),
        ("visual_transformer_blocks.0.feed_forward.in_layer", (7168, 1792)),
    ),
    ("kandinsky5_pro", "diffusers"): _targets(
        ("visual_transformer_blocks.59.self_attention.to_query", (4096, 4096)),
    ),
    ("kandinsky6", "diffusers"): _targets(
        ("visual_transformer_blocks.59.video_dec_block.self_attention.to_query", (4096, 4096)),
    ),
    ("kandinsky6_sr", "diffusers"): _targets(
        ("visual_transformer_blocks.31.self_attention.to_query", (1792, 1792)),
        ("visual_transformer_blocks.0.feed_forward.net.2", (1792, 7168)),
    ),
    ("animatediff_sdxl", "native"): _targets(
        (f"{_WIDE}.temporal_transformer.transformer_blocks.0.ff.net.2", (640, 2560)),
    ),
    ("animatediff_sdxl", "diffusers"): _targets(
        (f"{_WIDE}.transformer_blocks.0.ff.net.2", (640, 2560)),
    ),
    ("animatediff", "native"): _targets(
        (f"{_MOTION}.temporal_transformer.transformer_blocks.0.ff.net.2", (1280, 5120)),
    ),
    ("animatediff", "diffusers"): _targets(
        (f"{_MOTION}.transformer_blocks.0.ff.net.2", (1280, 5120)),
    ),
    ("stable_video_diffusion", "diffusers"): _targets(
        (f"{_UNET}.attn2.to_k", (640, 1024)),
        ("down_blocks.1.attentions.0.temporal_transformer_blocks.0.ff_in.net.2", (640, 2560)),
    ),
    ("stable_cascade", "diffusers"): _targets(
        ("down_blocks.1.71.attention.to_q", (2048, 2048)),
        ("up_blocks.1.23.kv_mapper.1", (2048, 2048)),
    ),
    ("longcat_image", "diffusers"): _targets(
        ("transformer_blocks.9.attn.to_q", (3072, 3072)),
        ("context_embedder", (3072, 3584)),
    ),
    ("ovis_image", "diffusers"): _targets(
        ("transformer_blocks.5.ff.net.0.proj", (24576, 3072)),
        ("single_transformer_blocks.26.proj_mlp", (24576, 3072)),
    ),
    ("bria_fibo", "diffusers"): _targets(
        ("single_transformer_blocks.37.proj_mlp", (12288, 3072)),
        ("caption_projection.45.linear", (1536, 2048)),
    ),
    ("flux3_klein", "diffusers"): _targets(
        ("mode_blocks.image_cond.4.attn.to_q", (3072, 3072)),
        ("single_transformer_blocks.27.ff.linear_in", (18432, 3072)),
    ),
    ("qwen_image_2_1", "diffusers"): _targets(
        ("transformer_blocks.31.attn.to_q", (4096, 4096)),
        ("transformer_blocks.0.img_mlp.gate_layer", (12288, 4096)),
    ),
    ("cosmos_7b", "diffusers"): _targets(("transformer_blocks.27.attn2.to_k", (4096, 1024))),
    ("cosmos_14b", "diffusers"): _targets(("transformer_blocks.35.attn2.to_k", (5120, 1024))),
    ("consisid", "diffusers"): _targets(
        ("transformer_blocks.41.attn1.to_q", (3072, 3072)),
        ("perceiver_cross_attention.20.to_kv", (4096, 2048)),
    ),
    ("prx", "diffusers"): _targets(("blocks.15.attention.txt_kv_proj", (3584, 1792))),
    ("prx_pixel", "diffusers"): _targets(("blocks.23.attention.img_qkv_proj", (10752, 3584))),
    ("omnigen", "diffusers"): _targets(
        ("layers.31.self_attn.to_q", (3072, 3072)),
        ("layers.31.mlp.gate_up_proj", (16384, 3072)),
    ),
    ("ace_step_1_5", "diffusers"): _targets(("layers.23.cross_attn.to_k", (1024, 2048))),
    ("amused", "diffusers"): _targets(
        ("transformer_layers.21.attn1.to_q", (1024, 1024)),
        ("down_block.attention_blocks.2.kv_mapper", (768, 1024)),
    ),
    ("stable_audio", "diffusers"): _targets(
        ("transformer_blocks.23.attn2.to_k", (768, 768)),
        ("transformer_blocks.23.attn1.to_q", (1536, 1536)),
    ),
    ("miniature", "diffusers"): _targets(
        ("down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q", (96, 96)),
        ("down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k", (128, 128)),
        ("mid_block.attentions.0.transformer_blocks.0.attn2.to_k", (128, 128)),
        ("up_blocks.2.attentions.1.transformer_blocks.0.ff.net.2", (96, 384)),
    ),
}
"""Family and naming to some modules that only this family has together, but for `SHARED`."""

SHARED = frozenset({"wan_14b", "wan_14b_i2v"})
"""Families whose modules another one has too: Wan VACE and Wan Animate have more layers."""


def _attention(*stacks: tuple[str, int, int]) -> tuple[Target, ...]:
    """Self-attention of transformers: name, blocks and width of each."""
    return _stacks(*((f"{name}.transformer_blocks", depth, width) for name, depth, width in stacks))


def _stacks(*stacks: tuple[str, int, int]) -> tuple[Target, ...]:
    return _targets(
        *(
            (f"{name}.{block}.attn1.{leaf}", (width, width))
            for name, blocks, width in stacks
            for block in range(blocks)
            for leaf in ("to_q", "to_k", "to_v")
        )
    )


_WIDTHS = (320, 640, 1280)


def _bk_sdm(*middle: tuple[str, int, int]) -> tuple[Target, ...]:
    """Self-attention of BK-SDM: one layer in each block going down, and two going up."""
    return _attention(
        *((f"down_blocks.{n}.attentions.0", 1, width) for n, width in enumerate(_WIDTHS)),
        *middle,
        *(
            (f"up_blocks.{3 - n}.attentions.{layer}", 1, width)
            for n, width in enumerate(_WIDTHS)
            for layer in range(2)
        ),
    )


SMALLER: Mapping[str, tuple[Target, ...]] = {
    "ssd_1b": _attention(
        *((f"down_blocks.1.attentions.{n}", 2, 640) for n in range(2)),
        *((f"down_blocks.2.attentions.{n}", 4, 1280) for n in range(2)),
        *((f"up_blocks.0.attentions.{n}", blocks, 1280) for n, blocks in enumerate((4, 4, 10))),
        *((f"up_blocks.1.attentions.{n}", blocks, 640) for n, blocks in enumerate((2, 1, 1))),
    ),
    "segmind_vega": _attention(
        *((f"down_blocks.1.attentions.{n}", 1, 640) for n in range(2)),
        *((f"down_blocks.2.attentions.{n}", 2, 1280) for n in range(2)),
        *((f"up_blocks.0.attentions.{n}", 2, 1280) for n in range(3)),
        *((f"up_blocks.1.attentions.{n}", 1, 640) for n in range(3)),
    ),
    "koala_700m": _attention(
        ("down_blocks.1.attentions.0", 2, 640),
        ("down_blocks.2.attentions.0", 5, 1280),
        *((f"up_blocks.0.attentions.{n}", 5, 1280) for n in range(2)),
        *((f"up_blocks.1.attentions.{n}", 2, 640) for n in range(2)),
    ),
    "bk_sdm_base": _bk_sdm(("mid_block.attentions.0", 1, 1280)),
    "bk_sdm_small": _bk_sdm(),
    "flux1_lite": _targets(
        ("x_embedder", (3072, 64)),
        *((f"single_transformer_blocks.{n}.norm.linear", (9216, 3072)) for n in range(38)),
        *(
            (f"{stack}.{block}.attn.to_q", (3072, 3072))
            for stack, depth in (("transformer_blocks", 8), ("single_transformer_blocks", 38))
            for block in range(depth)
        ),
    ),
    "wan_1_3b": _stacks(("blocks", 30, 1536)),
    "wan_14b": (*_stacks(("blocks", 40, 5120)), Target("patch_embedding", (5120, 16, 1, 2, 2))),
    "sana": (
        *_stacks(("transformer_blocks", 20, 2240)),
        Target("patch_embed.proj", (2240, 32, 1, 1)),
    ),
}
"""Family that a larger one contains to all of its self-attention."""


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
    "qwen3_0_6b": _targets(
        ("layers.27.self_attn.q_proj", (2048, 1024)),
        ("layers.27.mlp.down_proj", (1024, 3072)),
    ),
    "gemma2_2b": _targets(
        ("layers.25.self_attn.k_proj", (1024, 2304)),
        ("layers.25.mlp.gate_proj", (9216, 2304)),
    ),
}
"""Encoder to some of its modules."""

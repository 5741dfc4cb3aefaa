"""Tiny pipelines of diffusers' real classes with random weights, one a family: videos."""

from __future__ import annotations

from typing import Any

from tests.previews.families import texts
from tests.previews.families.bases import FLOW, SHORT, Tiny, made


def wan_model() -> Any:
    return made(
        "WanTransformer3DModel", patch_size=(1, 2, 2), num_attention_heads=2,
        attention_head_dim=12, in_channels=16, out_channels=16, text_dim=32, freq_dim=16,
        ffn_dim=32, num_layers=2, cross_attn_norm=True, qk_norm="rms_norm_across_heads",
        rope_max_seq_len=32,
    )  # fmt: skip


def wan(**said: Any) -> Any:
    decoder = made(
        "AutoencoderKLWan", base_dim=3, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1,
        temperal_downsample=[False, True, True],
    )  # fmt: skip
    return made(
        "WanPipeline", tokenizer=texts.tokenizer(), text_encoder=texts.t5("UMT5"), vae=decoder,
        scheduler=made(FLOW), transformer=wan_model(), **said,
    )  # fmt: skip


def wan_pair() -> Any:
    """Wan 2.2: the first of three steps is above the boundary, the others below."""
    return wan(transformer_2=wan_model(), boundary_ratio=0.875)


def hunyuan_video() -> Any:
    model = made(
        "HunyuanVideoTransformer3DModel", in_channels=4, out_channels=4, num_attention_heads=2,
        attention_head_dim=10, num_layers=1, num_single_layers=1, num_refiner_layers=1,
        patch_size=1, patch_size_t=1, guidance_embeds=True, text_embed_dim=32,
        pooled_projection_dim=16, rope_axes_dim=(2, 4, 4),
    )  # fmt: skip
    decoder = made(
        "AutoencoderKLHunyuanVideo", latent_channels=4, block_out_channels=(8, 8, 8, 8),
        down_block_types=("HunyuanVideoDownBlock3D",) * 4, layers_per_block=1,
        up_block_types=("HunyuanVideoUpBlock3D",) * 4, norm_num_groups=4,
        mid_block_add_attention=True,
    )  # fmt: skip
    return made(
        "HunyuanVideoPipeline", text_encoder=texts.llama(), tokenizer=texts.tokenizer(),
        transformer=model, vae=decoder, scheduler=made(FLOW), text_encoder_2=texts.clip(),
        tokenizer_2=texts.tokenizer(),
    )  # fmt: skip


def ltx_video() -> Any:
    model = made(
        "LTXVideoTransformer3DModel", in_channels=8, out_channels=8, patch_size=1,
        patch_size_t=1, num_attention_heads=4, attention_head_dim=8, cross_attention_dim=32,
        num_layers=1, caption_channels=32,
    )  # fmt: skip
    decoder = made(
        "AutoencoderKLLTXVideo", latent_channels=8, block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 8, 8, 8), layers_per_block=(1, 1, 1, 1, 1),
        decoder_layers_per_block=(1, 1, 1, 1, 1),
        spatio_temporal_scaling=(True, True, False, False),
        decoder_spatio_temporal_scaling=(True, True, False, False),
        decoder_inject_noise=(False,) * 5, upsample_residual=(False,) * 4,
        upsample_factor=(1,) * 4, timestep_conditioning=False, patch_size=1, patch_size_t=1,
        encoder_causal=True, decoder_causal=False,
    )  # fmt: skip
    return made(
        "LTXPipeline", scheduler=made(FLOW), vae=decoder, text_encoder=texts.t5(),
        tokenizer=texts.tokenizer(), transformer=model,
    )  # fmt: skip


def cogvideox() -> Any:
    model = made(
        "CogVideoXTransformer3DModel", num_attention_heads=4, attention_head_dim=8,
        in_channels=4, out_channels=4, time_embed_dim=2, text_embed_dim=32, num_layers=1,
        sample_width=2, sample_height=2, sample_frames=9, patch_size=2,
        temporal_compression_ratio=4, max_text_seq_length=16,
    )  # fmt: skip
    decoder = made(
        "AutoencoderKLCogVideoX", in_channels=3, out_channels=3,
        down_block_types=("CogVideoXDownBlock3D",) * 4, block_out_channels=(8, 8, 8, 8),
        up_block_types=("CogVideoXUpBlock3D",) * 4, latent_channels=4, layers_per_block=1,
        norm_num_groups=2, temporal_compression_ratio=4,
    )  # fmt: skip
    return made(
        "CogVideoXPipeline", tokenizer=texts.tokenizer(), text_encoder=texts.t5(), vae=decoder,
        transformer=model, scheduler=made("CogVideoXDDIMScheduler"),
    )  # fmt: skip


def mochi() -> Any:
    model = made(
        "MochiTransformer3DModel", patch_size=2, num_attention_heads=2, attention_head_dim=8,
        num_layers=2, pooled_projection_dim=16, in_channels=12, text_embed_dim=32,
        time_embed_dim=4, activation_fn="swiglu", max_sequence_length=16,
    )  # fmt: skip
    decoder = made(
        "AutoencoderKLMochi", latent_channels=12, out_channels=3,
        encoder_block_out_channels=(32, 32, 32, 32), decoder_block_out_channels=(32, 32, 32, 32),
        layers_per_block=(1, 1, 1, 1, 1),
    )  # fmt: skip
    return made(
        "MochiPipeline", scheduler=made(FLOW), vae=decoder, text_encoder=texts.t5(),
        tokenizer=texts.tokenizer(), transformer=model,
    )  # fmt: skip


#: A template without words, and nothing cut off its front.
PLAIN = {"prompt_template": {"template": "{}", "crop_start": 0}}

VIDEOS = (
    Tiny("wan_1_3b", wan, SHORT, frames=5),
    Tiny("wan_14b", wan_pair, SHORT, frames=5, steps=3),
    Tiny("hunyuan_video", hunyuan_video, SHORT | PLAIN, frames=5),
    Tiny("ltx_video", ltx_video, SHORT, frames=9),
    Tiny("cogvideox_2b", cogvideox, SHORT, size=16, frames=9),
    Tiny("mochi", mochi, SHORT, frames=7),
)

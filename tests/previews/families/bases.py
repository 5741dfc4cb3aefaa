"""Tiny pipelines of diffusers' real classes with random weights, one a family: pictures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import diffusers
import torch

from tests.previews.families import texts

if TYPE_CHECKING:
    from collections.abc import Callable

FLOW = "FlowMatchEulerDiscreteScheduler"


@dataclass(frozen=True)
class Tiny:
    """How a family's tiny base is built and called."""

    family: str
    build: Callable[[], Any]
    call: dict[str, Any] = field(default_factory=dict)
    size: int = 32
    frames: int = 0
    steps: int = 2


def made(name: str, **said: Any) -> Any:
    """Construct a class of diffusers."""
    return getattr(diffusers, name)(**said)


def vae(levels: int = 2) -> Any:
    return made(
        "AutoencoderKL", block_out_channels=(8,) * levels, norm_num_groups=4, latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * levels, sample_size=32,
        up_block_types=("UpDecoderBlock2D",) * levels, scaling_factor=0.5, shift_factor=0.0,
    )  # fmt: skip


def unet(**said: Any) -> Any:
    return made(
        "UNet2DConditionModel", block_out_channels=(8, 16), layers_per_block=1, sample_size=16,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), norm_num_groups=4,
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), **said,
    )  # fmt: skip


def sd1() -> Any:
    return made(
        "StableDiffusionPipeline", vae=vae(), text_encoder=texts.clip(),
        tokenizer=texts.tokenizer(), unet=unet(cross_attention_dim=16, attention_head_dim=2),
        scheduler=made("DDIMScheduler"), safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip


def sd2() -> Any:
    """Wider text, linear projections, prediction of v: what tells 2.x from 1.x."""
    return made(
        "StableDiffusionPipeline", vae=vae(), text_encoder=texts.clip(width=32),
        tokenizer=texts.tokenizer(),
        unet=unet(cross_attention_dim=32, attention_head_dim=(1, 2), use_linear_projection=True),
        scheduler=made("DDIMScheduler", prediction_type="v_prediction"), safety_checker=None,
        feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip


def wide_unet(text: int, pooled: int, **said: Any) -> Any:
    """SDXL's UNet, for text of one width and a summary of it of another."""
    return made(
        "UNet2DConditionModel", block_out_channels=(8, 16, 16), layers_per_block=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 1, 2), attention_head_dim=(2, 2, 2), sample_size=16,
        cross_attention_dim=text, norm_num_groups=4, use_linear_projection=True,
        addition_embed_type="text_time", addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + pooled, **said,
    )  # fmt: skip


def kolors() -> Any:
    width = texts.WIDTH
    return made(
        "KolorsPipeline", vae=vae(), text_encoder=texts.chatglm(),
        tokenizer=texts.chatglm_tokenizer(), scheduler=made("EulerDiscreteScheduler"),
        unet=wide_unet(16, width, encoder_hid_dim=width, encoder_hid_dim_type="text_proj"),
    )  # fmt: skip


def sdxl() -> Any:
    return made(
        "StableDiffusionXLPipeline", vae=vae(), text_encoder=texts.clip(),
        text_encoder_2=texts.clip(16), tokenizer=texts.tokenizer(),
        tokenizer_2=texts.tokenizer(), unet=wide_unet(32, 16),
        scheduler=made("EulerDiscreteScheduler"),
    )  # fmt: skip


def sd3() -> Any:
    model = made(
        "SD3Transformer2DModel", sample_size=16, patch_size=1, in_channels=4, out_channels=4,
        num_layers=2, attention_head_dim=16, num_attention_heads=2, joint_attention_dim=32,
        caption_projection_dim=32, pooled_projection_dim=32, pos_embed_max_size=16,
        dual_attention_layers=(0,),
    )  # fmt: skip
    return made(
        "StableDiffusion3Pipeline", transformer=model, scheduler=made(FLOW), vae=vae(),
        text_encoder=texts.clip(16), tokenizer=texts.tokenizer(), text_encoder_2=texts.clip(16),
        tokenizer_2=texts.tokenizer(), text_encoder_3=texts.t5(), tokenizer_3=texts.tokenizer(),
    )  # fmt: skip


def flux1() -> Any:
    model = made(
        "FluxTransformer2DModel", patch_size=1, in_channels=16, num_layers=1,
        num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=32, pooled_projection_dim=16, axes_dims_rope=(4, 4, 8),
        guidance_embeds=True,
    )  # fmt: skip
    return made(
        "FluxPipeline", scheduler=made(FLOW), vae=vae(), text_encoder=texts.clip(),
        tokenizer=texts.tokenizer(), text_encoder_2=texts.t5(), tokenizer_2=texts.tokenizer(),
        transformer=model,
    )  # fmt: skip


def chroma() -> Any:
    model = made(
        "ChromaTransformer2DModel", patch_size=1, in_channels=16, num_layers=1,
        num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=32, axes_dims_rope=(4, 4, 8), approximator_num_channels=8,
        approximator_hidden_dim=16, approximator_layers=1,
    )  # fmt: skip
    return made(
        "ChromaPipeline", scheduler=made(FLOW), vae=vae(), text_encoder=texts.t5(),
        tokenizer=texts.tokenizer(), transformer=model,
    )  # fmt: skip


def flux2_vae() -> Any:
    return made(
        "AutoencoderKLFlux2", block_out_channels=(8, 8), norm_num_groups=4, latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        sample_size=32,
    )  # fmt: skip


def flux2(text: Any, kind: str, *, has_guidance: bool, layers: int = 2) -> Any:
    model = made(
        "Flux2Transformer2DModel", patch_size=1, in_channels=16, num_layers=1,
        num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=texts.WIDTH * layers, timestep_guidance_channels=16,
        axes_dims_rope=(4, 4, 4, 4), guidance_embeds=has_guidance,
    )  # fmt: skip
    return made(
        kind, scheduler=made(FLOW), vae=flux2_vae(), text_encoder=text,
        tokenizer=texts.tokenizer(), transformer=model,
    )  # fmt: skip


def qwen_image() -> Any:
    model = made(
        "QwenImageTransformer2DModel", patch_size=2, in_channels=16, out_channels=4,
        num_layers=2, attention_head_dim=16, num_attention_heads=2, joint_attention_dim=32,
        axes_dims_rope=(8, 4, 4),
    )  # fmt: skip
    decoder = made(
        "AutoencoderKLQwenImage", base_dim=8, z_dim=4, dim_mult=[1, 1], num_res_blocks=1,
        temperal_downsample=[False], latents_mean=[0.0] * 4, latents_std=[1.0] * 4,
    )  # fmt: skip
    return made(
        "QwenImagePipeline", scheduler=made(FLOW), vae=decoder, text_encoder=texts.qwen_vision(),
        tokenizer=texts.tokenizer(), transformer=model,
    )  # fmt: skip


def z_image() -> Any:
    model = made(
        "ZImageTransformer2DModel", in_channels=4, dim=32, n_layers=1, n_refiner_layers=1,
        n_heads=2, n_kv_heads=2, cap_feat_dim=32, axes_dims=[4, 6, 6], axes_lens=[64, 64, 64],
        t_scale=1000.0,
    )  # fmt: skip
    return made(
        "ZImagePipeline", scheduler=made(FLOW), vae=vae(), text_encoder=texts.qwen(),
        tokenizer=texts.tokenizer(), transformer=model,
    )  # fmt: skip


def lumina2() -> Any:
    model = made(
        "Lumina2Transformer2DModel", sample_size=16, patch_size=2, in_channels=4,
        hidden_size=32, num_layers=1, num_refiner_layers=1, num_attention_heads=2,
        num_kv_heads=1, multiple_of=8, axes_dim_rope=(4, 6, 6), axes_lens=(64, 64, 64),
        cap_feat_dim=32,
    )  # fmt: skip
    return made(
        "Lumina2Pipeline", scheduler=made(FLOW), vae=vae(), text_encoder=texts.gemma(),
        tokenizer=texts.tokenizer(), transformer=model,
    )  # fmt: skip


def hidream() -> Any:
    model = made(
        "HiDreamImageTransformer2DModel", patch_size=2, in_channels=4, out_channels=4,
        num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        caption_channels=[32, 32], text_emb_dim=32, num_routed_experts=2,
        num_activated_experts=1, axes_dims_rope=(4, 6, 6), max_resolution=(32, 32),
        llama_layers=[0, 1],
    )  # fmt: skip
    return made(
        "HiDreamImagePipeline", scheduler=made(FLOW), vae=vae(), text_encoder=texts.clip(16),
        tokenizer=texts.tokenizer(), text_encoder_2=texts.clip(16),
        tokenizer_2=texts.tokenizer(), text_encoder_3=texts.t5(), tokenizer_3=texts.tokenizer(),
        text_encoder_4=texts.llama("LlamaForCausalLM"), tokenizer_4=texts.tokenizer(),
        transformer=model,
    )  # fmt: skip


def pixart() -> Any:
    model = made(
        "PixArtTransformer2DModel", sample_size=16, patch_size=2, in_channels=4, out_channels=8,
        num_layers=2, attention_head_dim=8, num_attention_heads=4, cross_attention_dim=32,
        caption_channels=32, use_additional_conditions=False,
    )  # fmt: skip
    return made(
        "PixArtSigmaPipeline", tokenizer=texts.tokenizer(), text_encoder=texts.t5(), vae=vae(),
        transformer=model, scheduler=made("DPMSolverMultistepScheduler"),
    )  # fmt: skip


def sana() -> Any:
    model = made(
        "SanaTransformer2DModel", sample_size=16, patch_size=1, in_channels=4, out_channels=4,
        num_layers=2, attention_head_dim=8, num_attention_heads=4, num_cross_attention_heads=4,
        cross_attention_head_dim=8, cross_attention_dim=32, caption_channels=32, mlp_ratio=2.0,
    )  # fmt: skip
    decoder = made(
        "AutoencoderDC", latent_channels=4, attention_head_dim=8,
        encoder_block_types=("ResBlock", "ResBlock"), encoder_block_out_channels=(8, 8),
        decoder_block_types=("ResBlock", "ResBlock"), decoder_block_out_channels=(8, 8),
        encoder_layers_per_block=(1, 1), decoder_layers_per_block=(1, 1),
        encoder_qkv_multiscales=((), ()), decoder_qkv_multiscales=((), ()),
        downsample_block_type="conv", upsample_block_type="interpolate",
        decoder_norm_types=("rms_norm", "rms_norm"), decoder_act_fns=("silu", "silu"),
    )  # fmt: skip
    return made(
        "SanaPipeline", tokenizer=texts.tokenizer(), text_encoder=texts.gemma(), vae=decoder,
        transformer=model, scheduler=made("DPMSolverMultistepScheduler"),
    )  # fmt: skip


def auraflow() -> Any:
    model = made(
        "AuraFlowTransformer2DModel", sample_size=16, patch_size=2, in_channels=4,
        out_channels=4, num_mmdit_layers=1, num_single_dit_layers=1, attention_head_dim=16,
        num_attention_heads=2, joint_attention_dim=32, caption_projection_dim=32,
        pos_embed_max_size=64,
    )  # fmt: skip
    return made(
        "AuraFlowPipeline", tokenizer=texts.tokenizer(), text_encoder=texts.t5("UMT5"),
        vae=vae(), transformer=model, scheduler=made(FLOW),
    )  # fmt: skip


def hunyuan_dit() -> Any:
    model = made(
        "HunyuanDiT2DModel", num_attention_heads=2, attention_head_dim=16, in_channels=4,
        patch_size=2, sample_size=16, hidden_size=32, num_layers=2, mlp_ratio=2.0,
        cross_attention_dim=32, cross_attention_dim_t5=32, pooled_projection_dim=16,
        text_len=77, text_len_t5=256, activation_fn="gelu-approximate",
    )  # fmt: skip
    return made(
        "HunyuanDiTPipeline", vae=vae(4), text_encoder=texts.bert(),
        tokenizer=texts.tokenizer(), transformer=model, scheduler=made("DDPMScheduler"),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
        text_encoder_2=texts.t5(), tokenizer_2=texts.tokenizer(256),
    )  # fmt: skip


SHORT = {"max_sequence_length": 16}
LAYERS = {"text_encoder_out_layers": (1, 2), **SHORT}
UNBINNED = {"use_resolution_binning": False}

IMAGES = (
    Tiny("sd1", sd1),
    Tiny("sd2", sd2),
    Tiny("sdxl", sdxl),
    Tiny("kolors", kolors, SHORT),
    Tiny("sd3", sd3, SHORT),
    Tiny("flux1", flux1, SHORT),
    Tiny("chroma", chroma, SHORT),
    Tiny(
        "flux2_klein_4b",
        lambda: flux2(texts.qwen("Qwen3ForCausalLM"), "Flux2KleinPipeline", has_guidance=False),
        LAYERS,
    ),
    Tiny(
        "flux2_dev",
        lambda: flux2(texts.mistral(), "Flux2Pipeline", has_guidance=True),
        LAYERS,
    ),
    Tiny("qwen_image", qwen_image, SHORT),
    Tiny("z_image", z_image, SHORT),
    Tiny("lumina2", lumina2, SHORT, size=64),
    Tiny("hidream_i1", hidream, SHORT),
    Tiny("pixart", pixart, SHORT | UNBINNED),
    Tiny("sana", sana, SHORT | UNBINNED | {"complex_human_instruction": None}),
    Tiny("auraflow", auraflow, SHORT),
    Tiny("hunyuan_dit", hunyuan_dit, UNBINNED, size=64),
)


def saved(tiny: Tiny, folder: Any) -> Any:
    """Write a tiny base to a folder; the same family has the same weights every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(sum(tiny.family.encode()))
        tiny.build().save_pretrained(folder)
    return folder

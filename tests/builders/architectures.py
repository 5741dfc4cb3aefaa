"""The denoisers of diffusers, built on torch's meta device: names and shapes without weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import diffusers
import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

_UNET = {
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "cross_attention_dim": 2048,
    "attention_head_dim": (5, 10, 20),
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
    "transformer_layers_per_block": (1, 2, 10),
}
_REFINER = {
    "block_out_channels": (384, 768, 1536, 1536),
    "down_block_types": (*_UNET["down_block_types"], "DownBlock2D"),  # type: ignore[misc]
    "up_block_types": ("UpBlock2D", *_UNET["up_block_types"]),  # type: ignore[misc]
    "cross_attention_dim": 1280,
    "attention_head_dim": (6, 12, 24, 24),
    "transformer_layers_per_block": 4,
    "projection_class_embeddings_input_dim": 2560,
}
_SD3 = {"num_layers": 24, "num_attention_heads": 24, "caption_projection_dim": 1536}

_KANDINSKY = {"in_visual_dim": 16, "out_visual_dim": 16, "visual_cond": True}

MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "sd1": ("UNet2DConditionModel", {"cross_attention_dim": 768}),
    "sd2": (
        "UNet2DConditionModel",
        {
            "cross_attention_dim": 1024,
            "use_linear_projection": True,
            "attention_head_dim": (5, 10, 20, 20),
        },
    ),
    "sdxl": ("UNet2DConditionModel", _UNET),
    "sdxl_refiner": ("UNet2DConditionModel", _UNET | _REFINER),
    "kolors": (
        "UNet2DConditionModel",
        _UNET
        | {
            "encoder_hid_dim": 4096,
            "encoder_hid_dim_type": "text_proj",
            "projection_class_embeddings_input_dim": 5632,
        },
    ),
    "ssd_1b": (
        "UNet2DConditionModel",
        _UNET
        | {
            "transformer_layers_per_block": (1, 2, 4),
            "reverse_transformer_layers_per_block": [[4, 4, 10], [2, 1, 1], 1],
            "mid_block_type": "UNetMidBlock2D",
        },
    ),
    "segmind_vega": (
        "UNet2DConditionModel",
        _UNET | {"transformer_layers_per_block": (1, 1, 2), "mid_block_type": "UNetMidBlock2D"},
    ),
    "koala_700m": (
        "UNet2DConditionModel",
        _UNET
        | {
            "transformer_layers_per_block": (1, 2, 5),
            "layers_per_block": 1,
            "mid_block_type": None,
        },
    ),
    "koala_1b": (
        "UNet2DConditionModel",
        _UNET | {"transformer_layers_per_block": (1, 2, 6), "layers_per_block": 1},
    ),
    "sd3": ("SD3Transformer2DModel", _SD3),
    "sd35_medium": ("SD3Transformer2DModel", _SD3 | {"dual_attention_layers": tuple(range(13))}),
    "sd35_large": (
        "SD3Transformer2DModel",
        {"num_layers": 38, "num_attention_heads": 38, "caption_projection_dim": 2432},
    ),
    "flux1": ("FluxTransformer2DModel", {"guidance_embeds": True}),
    "flux1_lite": ("FluxTransformer2DModel", {"num_layers": 8, "guidance_embeds": True}),
    "chroma": ("ChromaTransformer2DModel", {}),
    "flux2_dev": ("Flux2Transformer2DModel", {}),
    "flux2_klein_9b": (
        "Flux2Transformer2DModel",
        {
            "num_layers": 8,
            "num_single_layers": 24,
            "num_attention_heads": 32,
            "joint_attention_dim": 12288,
            "guidance_embeds": False,
        },
    ),
    "flux2_klein_4b": (
        "Flux2Transformer2DModel",
        {
            "num_layers": 5,
            "num_single_layers": 20,
            "num_attention_heads": 24,
            "joint_attention_dim": 7680,
            "guidance_embeds": False,
        },
    ),
    "hunyuan_video": ("HunyuanVideoTransformer3DModel", {}),
    "framepack": (
        "HunyuanVideoFramepackTransformer3DModel",
        {"has_image_proj": True, "has_clean_x_embedder": True},
    ),
    "hunyuan_video_1_5": ("HunyuanVideo15Transformer3DModel", {}),
    "hunyuan_image_2_1": ("HunyuanImageTransformer2DModel", {"text_embed_2_dim": 1472}),
    "hunyuan_dit": (
        "HunyuanDiT2DModel",
        {
            "num_layers": 40,
            "hidden_size": 1408,
            "mlp_ratio": 4.3637,
            "in_channels": 4,
            "patch_size": 2,
        },
    ),
    "qwen_image": ("QwenImageTransformer2DModel", {}),
    "z_image": ("ZImageTransformer2DModel", {}),
    "lumina2": ("Lumina2Transformer2DModel", {}),
    "wan_1_3b": (
        "WanTransformer3DModel",
        {"num_attention_heads": 12, "num_layers": 30, "ffn_dim": 8960},
    ),
    "wan_14b": ("WanTransformer3DModel", {}),
    "wan_14b_i2v": (
        "WanTransformer3DModel",
        {"in_channels": 36, "image_dim": 1280, "added_kv_proj_dim": 5120},
    ),
    "wan_5b": (
        "WanTransformer3DModel",
        {
            "in_channels": 48,
            "out_channels": 48,
            "num_attention_heads": 24,
            "num_layers": 30,
            "ffn_dim": 14336,
        },
    ),
    "cosmos_predict2_2b": (
        "CosmosTransformer3DModel",
        {"in_channels": 17, "num_attention_heads": 16},
    ),
    "hidream_i1": (
        "HiDreamImageTransformer2DModel",
        {
            "patch_size": 2,
            "in_channels": 16,
            "num_layers": 16,
            "num_single_layers": 32,
            "attention_head_dim": 128,
            "num_attention_heads": 20,
            "caption_channels": [4096, 4096],
            "text_emb_dim": 2048,
            "axes_dims_rope": (64, 32, 32),
            "max_resolution": (128, 128),
        },
    ),
    "krea2": ("Krea2Transformer2DModel", {}),
    "ideogram4": ("Ideogram4Transformer2DModel", {}),
    "ernie_image": ("ErnieImageTransformer2DModel", {}),
    "ltx_video": ("LTXVideoTransformer3DModel", {}),
    "ltx_video_13b": (
        "LTXVideoTransformer3DModel",
        {
            "num_attention_heads": 32,
            "attention_head_dim": 128,
            "cross_attention_dim": 4096,
            "num_layers": 48,
        },
    ),
    "ltx2": ("LTX2VideoTransformer3DModel", {}),
    "cogvideox_2b": ("CogVideoXTransformer3DModel", {}),
    "cogvideox_5b": (
        "CogVideoXTransformer3DModel",
        {"num_attention_heads": 48, "num_layers": 42},
    ),
    "mochi": ("MochiTransformer3DModel", {}),
    "easyanimate": (
        "EasyAnimateTransformer3DModel",
        {
            "in_channels": 16,
            "out_channels": 16,
            "patch_size": 2,
            "sample_width": 90,
            "sample_height": 60,
        },
    ),
    "cogview4": (
        "CogView4Transformer2DModel",
        {"num_layers": 28, "num_attention_heads": 32, "attention_head_dim": 128},
    ),
    "auraflow": ("AuraFlowTransformer2DModel", {}),
    "pixart": ("PixArtTransformer2DModel", {"caption_channels": 4096}),
    "dit_xl": (
        "DiTTransformer2DModel",
        {"in_channels": 4, "out_channels": 8, "sample_size": 32},
    ),
    "sana": ("SanaTransformer2DModel", {}),
    "sana_600m": (
        "SanaTransformer2DModel",
        {
            "num_layers": 28,
            "num_attention_heads": 36,
            "num_cross_attention_heads": 16,
            "cross_attention_head_dim": 72,
            "cross_attention_dim": 1152,
        },
    ),
    "sana_video": ("SanaVideoTransformer3DModel", {}),
    "kandinsky5": ("Kandinsky5Transformer3DModel", {}),
    "kandinsky5_imglite": (
        "Kandinsky5Transformer3DModel",
        {
            "in_visual_dim": 16,
            "out_visual_dim": 16,
            "model_dim": 2560,
            "ff_dim": 10240,
            "num_visual_blocks": 50,
        },
    ),
    "amused": ("UVit2DModel", {}),
    "stable_audio": ("StableAudioDiTModel", {}),
    "kandinsky5_lite": (
        "Kandinsky5Transformer3DModel",
        _KANDINSKY
        | {"model_dim": 1792, "ff_dim": 7168, "num_text_blocks": 2, "num_visual_blocks": 32},
    ),
    "kandinsky5_pro": (
        "Kandinsky5Transformer3DModel",
        _KANDINSKY
        | {
            "time_dim": 1024,
            "model_dim": 4096,
            "ff_dim": 16384,
            "num_text_blocks": 4,
            "num_visual_blocks": 60,
            "axes_dims": (32, 48, 48),
        },
    ),
    "kandinsky6": (
        "Kandinsky6Transformer3DModel",
        {
            "in_audio_dim": 40,
            "out_audio_dim": 40,
            "model_dim_a": 2048,
            "time_dim_a": 1024,
            "ff_dim_a": 7168,
            "axes_dims_a": (32, 48, 48),
            "ca_rope": True,
            "cross_gates": True,
            "fix_modulation": True,
            "visual_token_type_num_embeddings": 2,
        },
    ),
    "kandinsky6_sr": ("Kandinsky6SRTransformer3DModel", {}),
    "bk_sdm_base": ("UNet2DConditionModel", {"cross_attention_dim": 768, "layers_per_block": 1}),
    "bk_sdm_small": (
        "UNet2DConditionModel",
        {"cross_attention_dim": 768, "layers_per_block": 1, "mid_block_type": None},
    ),
    "bk_sdm_tiny": (
        "UNet2DConditionModel",
        {
            "cross_attention_dim": 768,
            "layers_per_block": 1,
            "mid_block_type": None,
            "block_out_channels": (320, 640, 1280),
            "down_block_types": ("CrossAttnDownBlock2D",) * 3,
            "up_block_types": ("CrossAttnUpBlock2D",) * 3,
        },
    ),
    "stable_video_diffusion": ("UNetSpatioTemporalConditionModel", {}),
    "animatediff": ("MotionAdapter", {}),
    "animatediff_sdxl": (
        "MotionAdapter",
        {"block_out_channels": (320, 640, 1280), "use_motion_mid_block": False},
    ),
    "stable_cascade": (
        "StableCascadeUNet",
        {"clip_text_in_channels": 1280, "clip_image_in_channels": 768, "switch_level": (False,)},
    ),
    "ltx2_3": (
        "LTX2VideoTransformer3DModel",
        {
            "gated_attn": True,
            "cross_attn_mod": True,
            "audio_gated_attn": True,
            "audio_cross_attn_mod": True,
            "use_prompt_embeddings": False,
        },
    ),
    "wan_vace_1_3b": (
        "WanVACETransformer3DModel",
        {
            "num_attention_heads": 12,
            "num_layers": 30,
            "ffn_dim": 8960,
            "vace_layers": list(range(0, 30, 2)),
        },
    ),
    "wan_vace_14b": ("WanVACETransformer3DModel", {"vace_layers": list(range(0, 40, 5))}),
    "wan_animate": ("WanAnimateTransformer3DModel", {"added_kv_proj_dim": 5120}),
    "sana_4800m": ("SanaTransformer2DModel", {"num_layers": 60}),
    "consisid": (
        "ConsisIDTransformer3DModel",
        {
            "num_attention_heads": 48,
            "num_layers": 42,
            "in_channels": 32,
            "use_rotary_positional_embeddings": True,
            "use_learned_positional_embeddings": True,
            "is_train_face": True,
        },
    ),
    "longcat_image": (
        "LongCatImageTransformer2DModel",
        {"num_layers": 10, "num_single_layers": 20},
    ),
    "bria_fibo": ("BriaFiboTransformer2DModel", {"in_channels": 48, "num_layers": 8}),
    "ovis_image": ("OvisImageTransformer2DModel", {}),
    "omnigen": (
        "OmniGenTransformer2DModel",
        {"rope_scaling": {"type": "su", "long_factor": [1.0] * 48, "short_factor": [1.0] * 48}},
    ),
    "prx": ("PRXTransformer2DModel", {}),
    "prx_pixel": (
        "PRXTransformer2DModel",
        {
            "in_channels": 3,
            "patch_size": 16,
            "context_in_dim": 2048,
            "hidden_size": 3584,
            "depth": 24,
            "axes_dim": [64, 64],
            "bottleneck_size": 768,
            "resolution_embeds": True,
        },
    ),
    "glm_image": (
        "GlmImageTransformer2DModel",
        {"attention_head_dim": 128, "num_attention_heads": 32},
    ),
    "cosmos_7b": ("CosmosTransformer3DModel", {"in_channels": 17}),
    "cosmos_14b": (
        "CosmosTransformer3DModel",
        {"in_channels": 17, "num_attention_heads": 40, "num_layers": 36},
    ),
    "qwen_image_2_1": ("QwenImage21Transformer2DModel", {}),
    "flux3_klein": ("Flux3Transformer2DModel", {}),
    "ace_step_1_5": ("AceStepTransformer1DModel", {}),
}
"""Family to diffusers' class and what its published configuration says beside the defaults.

The tables' key `source` says where a configuration is published.
"""

UNLISTED: dict[str, tuple[str, dict[str, Any]]] = {
    "bria": ("BriaTransformer2DModel", {"num_layers": 8, "num_single_layers": 28}),
    "motif_video": (
        "MotifVideoTransformer3DModel",
        {
            "num_layers": 12,
            "num_single_layers": 24,
            "num_decoder_layers": 8,
            "num_attention_heads": 12,
        },
    ),
    "cogview3_plus": ("CogView3PlusTransformer2DModel", {}),
    "allegro": ("AllegroTransformer3DModel", {}),
    "kandinsky3": ("Kandinsky3UNet", {}),
    "i2vgen_xl": ("I2VGenXLUNet", {}),
    "modelscope_video": ("UNet3DConditionModel", {}),
    "joy_image": ("JoyImageEditTransformer3DModel", {}),
    "nucleus_moe": ("NucleusMoEImageTransformer2DModel", {}),
    "minimax_h3": ("MiniMaxH3Transformer3DModel", {}),
    "longcat_audio": ("LongCatAudioDiTTransformer", {}),
    "hunyuan_image_refiner": (
        "HunyuanImageTransformer2DModel",
        {"num_attention_heads": 26, "num_layers": 2, "num_single_layers": 1},
    ),
    "sana_wm": ("SanaWMTransformer3DModel", {}),
    "bria_fibo2": ("BriaFibo2Transformer2DModel", {}),
    "prior": ("PriorTransformer", {}),
}
"""The same of models that no table has, to see that none of them is taken for one that has.

Models that were tuned from a listed one without new layers, such as SkyReels V2 and Helios from
Wan, are of its architecture and not listed here.
"""

_ADAPTABLE = (
    torch.nn.Linear,
    torch.nn.Conv1d,
    torch.nn.Conv2d,
    torch.nn.Conv3d,
    torch.nn.Embedding,
)


def modules_of(name: str) -> Mapping[str, tuple[int, ...]]:
    """Dotted name to weight shape of every adaptable module of a model.

    Args:
        name: A key of `MODELS` or `UNLISTED`.
    """
    kind, config = (MODELS | UNLISTED)[name]
    with torch.device("meta"):
        model = getattr(diffusers, kind)(**config)
    return {
        path: tuple(module.weight.shape)
        for path, module in model.named_modules()
        if isinstance(module, _ADAPTABLE)
    }

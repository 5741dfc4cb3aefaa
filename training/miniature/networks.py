"""The parts of the miniature in the module names and layout of Stable Diffusion 1.x."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from training.miniature.stock import (
    AutoencoderKL,
    CLIPTextConfig,
    CLIPTextModel,
    DDIMScheduler,
    Part,
    Pipeline,
    StableDiffusionPipeline,
    Tokenizer,
    UNet2DConditionModel,
)
from training.miniature.tokenizer import MAX_TOKENS

SCHEDULE = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "timestep_spacing": "trailing",
    "clip_sample": False,
    # Without effect on trailing spacing; diffusers warns about any other value.
    "steps_offset": 1,
}


@dataclass(frozen=True)
class Size:
    """The widths that set the miniature apart from its tiny variant for tests."""

    unet: tuple[int, ...] = (96, 128, 128)
    decoder: tuple[int, ...] = (16, 32, 48, 64, 96, 128)
    text: int = 128
    text_layers: int = 3
    latents: int = 32
    groups: int = 16


FULL = Size()
TINY = Size(unet=(16, 32, 32), decoder=(8, 8, 8, 8, 8), text=32, text_layers=1, groups=8)


def build_text_encoder(tokenizer: Tokenizer, size: Size = FULL) -> Part:
    """Return a fresh text encoder for the tokenizer's vocabulary."""
    encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=size.text,
            intermediate_size=3 * size.text,
            projection_dim=size.text,
            num_hidden_layers=size.text_layers,
            num_attention_heads=4,
            max_position_embeddings=MAX_TOKENS,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            hidden_act="quick_gelu",
        )
    )
    # Wider than the usual .02: words must differ from the first step on.
    for name, weight in encoder.named_parameters():
        if "embedding.weight" in name:
            torch.nn.init.normal_(weight, std=0.3 if "token" in name else 0.1)
    return encoder


def build_unet(size: Size = FULL) -> Part:
    """Return a fresh UNet whose module names are a subset of Stable Diffusion 1.x's."""
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=size.latents,
        out_channels=size.latents,
        block_out_channels=size.unet,
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=size.text,
        attention_head_dim=4,
        norm_num_groups=size.groups,
    )


def build_autoencoder(size: Size = FULL) -> Part:
    """Return a fresh autoencoder whose latents have one place for 32 px (16 px of five levels)."""
    levels = len(size.decoder)
    return AutoencoderKL(
        sample_size=8 * 2 ** (levels - 1),
        latent_channels=size.latents,
        block_out_channels=size.decoder,
        layers_per_block=1,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        norm_num_groups=4,
        mid_block_add_attention=False,
        scaling_factor=1.0,
    )


def build_pipeline(
    vae: Part,
    text_encoder: Part,
    tokenizer: Tokenizer,
    unet: Part,
) -> Pipeline:
    """Return the parts as a stock pipeline without progress bars."""
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=DDIMScheduler(**SCHEDULE),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def token_ids(tokenizer: Tokenizer, captions: list[str]) -> Tensor:
    """Return the padded ids (n, MAX_TOKENS) of captions."""
    batch = tokenizer(
        captions,
        padding="max_length",
        max_length=MAX_TOKENS,
        truncation=True,
        return_tensors="pt",
    )
    ids: Tensor = batch.input_ids
    return ids


@dataclass(frozen=True)
class Noise:
    """The forward process: how a latent and noise are mixed at each time step."""

    signal: Tensor
    sigma: Tensor

    @classmethod
    def schedule(cls) -> Noise:
        """Return the process of the miniature's scheduler."""
        kept = DDIMScheduler(**SCHEDULE).alphas_cumprod
        return cls(kept.sqrt(), (1 - kept).sqrt())

    def at(self, times: Tensor) -> tuple[Tensor, Tensor]:
        """Return signal and noise shares, shaped to multiply latents."""
        shape = (-1, 1, 1, 1)
        return self.signal[times].view(shape), self.sigma[times].view(shape)

    def mix(self, latents: Tensor, noise: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
        """Return the noisy latents and the velocity that a UNet should predict."""
        signal, sigma = self.at(times)
        return signal * latents + sigma * noise, signal * noise - sigma * latents

"""Measures how well a base model with an adapter denoises pictures.

A noisy picture is ``x = √ᾱ · picture + √(1 − ᾱ) · noise``, of latents. What a base predicts from it
depends on its training; each prediction is turned into one of the noise:

    epsilon         noise = prediction
    v_prediction    noise = √ᾱ · prediction + √(1 − ᾱ) · x
    sample          noise = (x − √ᾱ · prediction) / √(1 − ᾱ)

Bases with other schedules, such as zero terminal SNR, have the same noise at other timesteps, so
levels of noise are given, not timesteps. Flow matching has no such levels: its bases are refused.

Sources: Ho et al. 2020, Denoising diffusion probabilistic models (arXiv:2006.11239), equation 14;
Salimans and Ho 2022, Progressive distillation (arXiv:2202.00512), appendix D.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from diffusers import DDPMScheduler
from PIL import Image, ImageOps

from previews.render.bases.libraries import quiet
from previews.render.errors import CannotMeasure
from previews.render.lineage.verdict import LEVELS, PIPELINES, SEEDS

if TYPE_CHECKING:
    from previews.render.bases.pipelines import OpenBase
    from previews.render.lineage.verdict import Errors

PREDICTIONS = frozenset({"epsilon", "v_prediction", "sample"})


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture, as the bytes of a file, with its prompt."""

    picture: bytes
    prompt: str


@dataclass(frozen=True, slots=True)
class Denoised:
    """Errors of a base; ``timesteps`` are its own, one for each level."""

    errors: Errors
    timesteps: tuple[int, ...]
    prediction: str


def denoise(
    opened: OpenBase, scenes: Sequence[Scene], size: tuple[int, int], on_scene: Callable[[], None]
) -> Denoised:
    """Return the errors of a base for pictures, levels and seeds.

    Args:
        opened: The base, with the adapter applied.
        size: Width and height of the pictures, the same for all bases.
        on_scene: Called after each picture; may raise.

    Raises:
        CannotMeasure: the base does not predict noise, or not in finite numbers.
        OSError, ValueError: a picture cannot be read.
    """
    pipeline = opened.pipeline
    config = opened.schedulers[""].config
    prediction = str(config.get("prediction_type"))
    if type(pipeline).__name__ not in PIPELINES or prediction not in PREDICTIONS:
        msg = f"“{opened.base.id}” does not predict noise: its lineage cannot be measured."
        raise CannotMeasure(msg)
    with quiet():
        scheduler: Any = DDPMScheduler
        alphas = scheduler.from_config(config).alphas_cumprod.double()
    timesteps = [int((alphas - level).abs().argmin()) for level in LEVELS]
    errors = np.zeros((len(scenes), len(LEVELS), len(SEEDS)))
    with torch.inference_mode(), ExitStack() as offloaded:
        # Parts that were moved to the device go back, as after each call of a pipeline.
        offloaded.callback(pipeline.maybe_free_model_hooks)
        for row, scene in zip(errors, scenes, strict=True):
            latents = _latents(pipeline, scene.picture, size)
            base = _Base(pipeline, prediction, _conditions(pipeline, scene.prompt, size))
            for column, seed in enumerate(SEEDS):
                noise = _noise(scene.picture, seed, latents.shape).to(latents.device)
                for level, step in enumerate(timesteps):
                    kept = alphas[step].item()
                    noisy = kept**0.5 * latents + (1 - kept) ** 0.5 * noise
                    found = base.noise_in(noisy, step, kept)
                    row[level, column] = float((found - noise).square().mean())
            on_scene()
    if not np.isfinite(errors).all():
        msg = f"“{opened.base.id}” gives numbers that are not finite with this adapter."
        raise CannotMeasure(msg)
    return Denoised(errors, tuple(timesteps), prediction)


def _noise(picture: bytes, seed: int, shape: torch.Size) -> torch.Tensor:
    """Return the noise for a picture: its own, or one draw of noise would count as many."""
    digest = hashlib.sha256(hashlib.sha256(picture).digest() + bytes([seed])).digest()
    # On the CPU, so that a seed gives the same noise on all devices.
    generator = torch.Generator("cpu").manual_seed(int.from_bytes(digest[:8]))
    return torch.randn(shape, generator=generator)


def _latents(pipeline: Any, picture: bytes, size: tuple[int, int]) -> torch.Tensor:  # noqa: ANN401
    """Return the latents of a picture in single precision, its middle cut out at this size."""
    with Image.open(io.BytesIO(picture)) as opened:
        fitted = ImageOps.fit(opened.convert("RGB"), size, Image.Resampling.LANCZOS)
    pixels = torch.from_numpy(np.asarray(fitted, np.float32).transpose(2, 0, 1)[None] / 127.5 - 1)
    vae = pipeline.vae
    dtype = vae.dtype
    is_upcast = dtype == torch.float16 and vae.config.force_upcast
    if is_upcast:  # its numbers exceed half precision
        vae.to(torch.float32)
    try:
        encoded = vae.encode(pixels.to(pipeline._execution_device, vae.dtype))  # noqa: SLF001 - no public name
    finally:
        if is_upcast:
            vae.to(dtype)
    latents = encoded.latent_dist.mode().float()
    shift = getattr(vae.config, "shift_factor", None) or 0.0
    found: torch.Tensor = (latents - shift) * vae.config.scaling_factor
    return found


def _conditions(pipeline: Any, prompt: str, size: tuple[int, int]) -> dict[str, Any]:  # noqa: ANN401
    """Return the arguments of a UNet for a prompt, without guidance."""
    device = pipeline._execution_device  # noqa: SLF001 - no public name
    encoded = pipeline.encode_prompt(
        prompt=prompt, device=device, num_images_per_prompt=1, do_classifier_free_guidance=False
    )
    embeds = encoded[0]
    if not hasattr(pipeline, "text_encoder_2"):
        return {"encoder_hidden_states": embeds}
    height_width = size[::-1]
    ids = pipeline._get_add_time_ids(  # noqa: SLF001 - no public name
        height_width,
        (0, 0),
        height_width,
        embeds.dtype,
        text_encoder_projection_dim=pipeline.text_encoder_2.config.projection_dim,
    )
    added = {"text_embeds": encoded[2], "time_ids": ids.to(device)}
    return {"encoder_hidden_states": embeds, "added_cond_kwargs": added}


@dataclass(frozen=True, slots=True)
class _Base:
    """A base with a prompt."""

    pipeline: Any
    prediction: str
    conditions: dict[str, Any]

    def noise_in(self, noisy: torch.Tensor, step: int, kept: float) -> torch.Tensor:
        """Return the noise that the base predicts in noisy latents.

        Args:
            kept: Share of the picture in their power.
        """
        signal, spread = kept**0.5, (1 - kept) ** 0.5
        given = noisy.to(self.conditions["encoder_hidden_states"].dtype)
        answer = self.pipeline.unet(given, step, return_dict=False, **self.conditions)
        output: torch.Tensor = answer[0].float()
        if self.prediction == "sample":
            output = (noisy - signal * output) / spread
        elif self.prediction == "v_prediction":
            output = signal * output + spread * noisy
        return output

"""Trains the autoencoder's decoder to turn the fixed latents into pictures.

Progressive: first only the lower up blocks, each with a throw-away head that shows what
it knows at its own resolution, then the whole decoder. Trained whole from the start it
stalls. The encoder learns to return the fixed latents on the side; text-to-image does
not use it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from training.miniature.latents import FILE as CODE_FILE
from training.miniature.latents import LatentCode
from training.miniature.networks import FULL, Size, build_autoencoder
from training.miniature.training import (
    Average,
    Dice,
    Run,
    descend,
    learning_rate,
    set_rate,
)

if TYPE_CHECKING:
    from pathlib import Path

ENCODER_EVERY = 8
LATENT_BLUR = 0.12


@dataclass(frozen=True)
class Stage:
    """Up to which step how many up blocks are trained, with which batch."""

    until: int
    depth: int
    batch: int


@dataclass(frozen=True)
class DecoderOptions:
    """How long and how fast the decoder is trained."""

    steps: int = 7200
    stages: tuple[Stage, ...] = (Stage(700, 2, 32), Stage(1400, 3, 16))
    batch: int = 8
    peak_rate: float = 2.5e-3
    seed: int = 2
    save_every: int = 350


def slope_error(guess: Tensor, truth: Tensor) -> Tensor:
    """Return how much neighbouring pixels differ otherwise than in the truth."""
    error = guess - truth
    across = (error[..., 1:] - error[..., :-1]).abs().mean()
    down = (error[..., 1:, :] - error[..., :-1, :]).abs().mean()
    return across + down


def picture_loss(guess: Tensor, truth: Tensor) -> Tensor:
    """Return the error that is trained on: absolute, squared, and of the slopes."""
    error = guess - truth
    return error.abs().mean() + 0.3 * (error**2).mean() + 0.6 * slope_error(guess, truth)


def as_values(pictures: Tensor) -> Tensor:
    """Return uint8 pictures as -1..1."""
    return pictures.float() / 127.5 - 1


class DecoderTrainer:
    """One run of the autoencoder over plain, styled and arbitrarily changed pictures."""

    def __init__(self, work: Path, options: DecoderOptions, size: Size = FULL) -> None:
        torch.manual_seed(options.seed)
        self.work, self.options = work, options
        self.pictures: Tensor = torch.load(work / "pictures.pt", weights_only=True)
        self.latents = LatentCode.load(work / CODE_FILE).encode(self.pictures)
        self.vae = build_autoencoder(size).to(memory_format=torch.channels_last)
        widths = size.decoder[:0:-1]
        self.heads = nn.ModuleList([nn.Conv2d(width, 3, 1) for width in widths])
        decoding = [*self.vae.decoder.parameters(), *self.vae.post_quant_conv.parameters()]
        encoding = [*self.vae.encoder.parameters(), *self.vae.quant_conv.parameters()]
        self.weights = [*decoding, *self.heads.parameters()]
        self.optimizer = torch.optim.AdamW(
            self.weights, lr=1e-3, betas=(0.9, 0.98), weight_decay=1e-4
        )
        self.encoder_weights = encoding
        self.encoder_optimizer = torch.optim.AdamW(encoding, lr=1e-3, betas=(0.9, 0.98))
        self.run = Run(
            {"vae": self.vae, "heads": self.heads},
            {"decoder": self.optimizer, "encoder": self.encoder_optimizer},
            Average(decoding, 0.995),
            work / "decoder.ckpt",
        )

    def train(self) -> None:
        """Resume or start, and train to the end of the budget."""
        self.run.resume()
        self.run.advance(
            self.options.steps,
            self.step,
            label="decoder",
            save_every=self.options.save_every,
            on_save=self.export,
        )

    def step(self, step: int) -> float:
        """Take one step and return the absolute error at the finest trained size."""
        options, dice = self.options, Dice.of(self.options.seed, step)
        rate = learning_rate(step, options.steps, peak=options.peak_rate, warmup=40, flat=0.25)
        set_rate(self.optimizer, rate)
        full = len(self.heads) + 1
        stage = next(
            (stage for stage in options.stages if step < stage.until),
            Stage(options.steps, full, options.batch),
        )
        chosen = dice.below(len(self.pictures), stage.batch)
        truth, latents = as_values(self.pictures[chosen]), self.latents[chosen]
        blur = LATENT_BLUR * dice.uniform(stage.batch, 1, 1, 1)
        blurred = latents + blur * dice.normal(*latents.shape)
        with torch.autocast("cpu", torch.bfloat16):
            previews, guess = self._decode(blurred, stage.depth)
        loss, error = self._loss(previews, guess, truth)
        descend(loss, self.optimizer, self.weights)
        if guess is not None and step % ENCODER_EVERY == 0:
            self._teach_encoder(truth, latents, rate)
        return error

    def export(self) -> None:
        """Write the averaged weights in diffusers layout into the work folder."""
        self.run.average.swap()
        self.vae.save_pretrained(self.work / "vae")
        self.run.average.swap()

    def _decode(self, latents: Tensor, depth: int) -> tuple[list[Tensor], Tensor | None]:
        decoder = self.vae.decoder
        latents = latents.to(memory_format=torch.channels_last)
        state = decoder.mid_block(decoder.conv_in(self.vae.post_quant_conv(latents)))
        previews = []
        for level, block in enumerate(decoder.up_blocks[:depth]):
            state = block(state)
            if level < len(self.heads):
                previews.append(self.heads[level](state))
        if depth <= len(self.heads):
            return previews, None
        return previews, decoder.conv_out(decoder.conv_act(decoder.conv_norm_out(state)))

    def _loss(
        self, previews: list[Tensor], guess: Tensor | None, truth: Tensor
    ) -> tuple[Tensor, float]:
        losses = []
        for preview in previews:
            factor = truth.shape[-1] // preview.shape[-1]
            target = avg_pool2d(truth, factor) if factor > 1 else truth
            error = (preview.float() - target).abs().mean()
            losses.append(error + 0.3 * slope_error(preview.float(), target))
        helping = torch.stack(losses).sum()
        if guess is None:
            return helping, losses[-1].item()
        whole = guess.float()
        return picture_loss(whole, truth) + 0.15 * helping, (whole - truth).abs().mean().item()

    def _teach_encoder(self, pictures: Tensor, latents: Tensor, rate: float) -> None:
        set_rate(self.encoder_optimizer, rate)
        mean, log_variance = self.vae.quant_conv(self.vae.encoder(pictures)).chunk(2, 1)
        loss = ((mean - latents) ** 2).mean() + 0.01 * ((log_variance + 10) ** 2).mean()
        descend(loss, self.encoder_optimizer, self.encoder_weights)

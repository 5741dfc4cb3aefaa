"""Trains the autoencoder's decoder to turn the fixed latents into pictures.

Progressive: first only the lower up blocks, each with a throw-away head that shows what
it knows at its own resolution, then the whole decoder. Trained whole from the start it
stalls. The encoder learns to return the fixed latents on the side; text-to-image does
not use it.

The heads also say where in its cell each pixel lies. A decoder enlarges by repeating
pixels, so in an even area nothing tells the two halves of a pixel apart but the distance
to the border; without being asked for it, it learns this late, and until then shows no
texture that is finer than a cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from training.miniature.drawing.shows import show
from training.miniature.latents import FILE as CODE_FILE
from training.miniature.latents import LatentCode
from training.miniature.networks import FULL, Size, build_autoencoder
from training.miniature.prepare import SHOWN_SEED, START, stack
from training.miniature.rolling import RollingSet
from training.miniature.stock import AutoencoderKL, Part
from training.miniature.training import (
    Average,
    Run,
    StepRandom,
    descend,
    learning_rate,
    mixed_precision,
    set_rate,
)

if TYPE_CHECKING:
    from pathlib import Path

ENCODER_EVERY = 16
LATENT_BLUR = 0.12
# Cells along a side, and what a head says about a pixel's place.
GRID, PLACES = 8, 6


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
    stages: tuple[Stage, ...] = (Stage(500, 2, 32), Stage(660, 3, 12), Stage(820, 4, 8))
    batch: int = 4
    peak_rate: float = 2.5e-3
    flat: float = 0.55
    seed: int = 2
    save_every: int = 100
    # How many pictures are held, and how many each step replaces.
    held: int = 600
    fresh: int = 2


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


def places(side: int) -> Tensor:
    """Return where in its cell each pixel lies, for pictures (1, PLACES, side, side).

    For each direction: even or odd, and the sine and cosine of the way through the cell.
    """
    pixels = torch.arange(side)
    turn = (pixels + 0.5) * (2 * torch.pi * GRID / side)
    phases = torch.stack([1 - 2.0 * (pixels % 2), turn.sin(), turn.cos()])
    down = phases[:, :, None].expand(-1, side, side)
    across = phases[:, None, :].expand(-1, side, side)
    return torch.cat([down, across])[None]


def shown(code: LatentCode, numbers: range) -> list[tuple[Tensor, Tensor]]:
    """Return (picture, latents) of each number of the decoder's set."""
    pictures = stack(show(SHOWN_SEED + number) for number in numbers)
    return list(zip(pictures, code.encode(pictures), strict=True))


def _known(folder: Path, levels: int) -> Part | None:
    """Return the autoencoder in a folder if there is one of so many levels."""
    if not folder.exists():
        return None
    vae = AutoencoderKL.from_pretrained(folder, dtype=torch.float32)
    return vae if len(vae.config.block_out_channels) == levels else None


def as_values(pictures: Tensor) -> Tensor:
    """Return uint8 pictures as -1..1."""
    return pictures.float() / 127.5 - 1


class DecoderTrainer:
    """One run of the autoencoder over plain, styled and arbitrarily changed pictures.

    Where the work folder has a folder `start` whose autoencoder has as many levels, the run
    starts from its weights, whole from the first step on.
    """

    def __init__(self, work: Path, options: DecoderOptions, size: Size = FULL) -> None:
        torch.manual_seed(options.seed)
        self.work, self.options = work, options
        code = LatentCode.load(work / CODE_FILE)
        self.pictures = RollingSet(options.held, options.fresh, partial(shown, code))
        known = _known(work / START / "vae", levels=len(size.decoder))
        self.stages = options.stages if known is None else ()
        self.vae = build_autoencoder(size) if known is None else known
        self.vae.to(memory_format=torch.channels_last).train()
        widths = size.decoder[:0:-1]
        self.heads = nn.ModuleList([nn.Conv2d(width, 3 + PLACES, 1) for width in widths])
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
        options, rng = self.options, StepRandom.of(self.options.seed, step)
        rate = learning_rate(
            step, options.steps, peak=options.peak_rate, warmup=40, flat=options.flat
        )
        set_rate(self.optimizer, rate)
        full = len(self.heads) + 1
        stage = next(
            (stage for stage in self.stages if step < stage.until),
            Stage(options.steps, full, options.batch),
        )
        self.pictures.advance(step)
        chosen = [self.pictures[i] for i in rng.below(options.held, stage.batch).tolist()]
        truth = as_values(torch.stack([picture for picture, _ in chosen]))
        latents = torch.stack([part for _, part in chosen])
        blur = LATENT_BLUR * rng.uniform(stage.batch, 1, 1, 1)
        blurred = latents + blur * rng.normal(*latents.shape)
        with mixed_precision():
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
            values = preview.float()
            colours, located = values[:, :3], values[:, 3:]
            place = (located - places(preview.shape[-1])).abs().mean()
            error = (colours - target).abs().mean()
            losses.append(error + 0.3 * slope_error(colours, target) + 0.2 * place)
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

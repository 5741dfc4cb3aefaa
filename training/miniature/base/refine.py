"""Teaches the decoder what the UNet really produces, as the last step of the base.

Real latents are noised half-way and denoised by the UNet with their own caption; the
decoder then learns to give the original pictures for these latents. A share of the
ordinary pictures keeps the styles.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from training.miniature.base.decoder import LATENT_BLUR, as_values, picture_loss, shown
from training.miniature.base.export import load_parts
from training.miniature.drawing.canvas import PICTURE_PX
from training.miniature.drawing.captions import caption
from training.miniature.drawing.pictures import draw_many
from training.miniature.latents import FILE as CODE_FILE
from training.miniature.latents import LatentCode
from training.miniature.networks import Noise, token_ids
from training.miniature.prepare import PLAIN_SEED, stack
from training.miniature.rolling import RollingSet
from training.miniature.stock import AutoencoderKL
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
    from random import Random

    from training.miniature.drawing.scene import Facts

STEPS = 1200
CHUNK = 64
SEED = 3
PEAK_RATE = 1e-3
FROM_UNET, ORDINARY = 3, 3
_DESCENTS = ((499, 374, 249, 124), (624, 499, 374, 249, 124), (374, 249, 124))


class Denoiser:
    """The trained UNet, run over the end of the sampling schedule."""

    def __init__(self, work: Path) -> None:
        self.pipeline = load_parts(work)
        self.noise = Noise.schedule()

    @torch.no_grad()
    def redraw(self, latents: Tensor, facts: list[Facts], rng: StepRandom) -> Tensor:
        """Return the latents after being noised half-way and denoised again."""
        times = rng.words.choice(_DESCENTS)
        words = self._words(facts, rng.words)
        noise = rng.normal(*latents.shape)
        state, _ = self.noise.mix(latents, noise, torch.full((len(latents),), times[0]))
        for here, following in zip(times, (*times[1:], None), strict=True):
            signal, sigma = self.noise.signal[here], self.noise.sigma[here]
            step = torch.full((len(latents),), here)
            velocity = self.pipeline.unet(state, step, words).sample
            clean, noise = signal * state - sigma * velocity, sigma * state + signal * velocity
            if following is None:
                break
            state = self.noise.signal[following] * clean + self.noise.sigma[following] * noise
        redrawn: Tensor = clean
        return redrawn

    def _words(self, facts: list[Facts], chance: Random) -> Tensor:
        captions = [caption(fact, chance, keep=1.0, decorate=0.1) for fact in facts]
        words: Tensor = self.pipeline.text_encoder(token_ids(self.pipeline.tokenizer, captions))[0]
        return words


@dataclass(frozen=True)
class RefineSizes:
    """How many drawings the UNet draws again, and how many ordinary pictures are held."""

    pairs: int = 1216
    held: int = 1200
    fresh: int = 1


class Refiner:
    """One short run of the decoder over latents from the UNet."""

    def __init__(self, work: Path, steps: int = STEPS, sizes: RefineSizes | None = None) -> None:
        self.work, self.steps, self.sizes = work, steps, sizes or RefineSizes()
        code = LatentCode.load(work / CODE_FILE)
        self.drawn, self.redrawn = self._redraw_all(code)
        self.ordinary = RollingSet(self.sizes.held, self.sizes.fresh, partial(shown, code))
        self.vae = AutoencoderKL.from_pretrained(work / "vae")
        self.vae.to(memory_format=torch.channels_last)
        weights = [*self.vae.decoder.parameters(), *self.vae.post_quant_conv.parameters()]
        self.optimizer = torch.optim.AdamW(
            weights, lr=PEAK_RATE, betas=(0.9, 0.98), weight_decay=1e-4
        )
        self.run = Run(
            {"vae": self.vae},
            {"adamw": self.optimizer},
            Average(weights, 0.995),
            work / "refine.ckpt",
        )

    def train(self) -> None:
        """Resume or start, train to the end of the budget, write the decoder."""
        self.run.resume()
        self.run.advance(self.steps, self.step, label="refine")
        self.run.average.swap()
        self.vae.save_pretrained(self.work / "vae_refined")

    def step(self, step: int) -> float:
        """Take one step and return the absolute error on pictures of the UNet."""
        rng = StepRandom.of(SEED, step)
        set_rate(
            self.optimizer,
            learning_rate(step, self.steps, peak=PEAK_RATE, warmup=40, flat=0.0),
        )
        drawn = rng.below(len(self.drawn), FROM_UNET)
        self.ordinary.advance(step)
        places = rng.below(self.sizes.held, ORDINARY).tolist()
        ordinary = [self.ordinary[place] for place in places]
        pictures = torch.stack([picture for picture, _ in ordinary])
        truth = as_values(torch.cat([self.drawn[drawn], pictures]))
        usual = torch.stack([latents for _, latents in ordinary])
        blur = LATENT_BLUR * rng.uniform(ORDINARY, 1, 1, 1) * rng.normal(*usual.shape)
        latents = torch.cat([self.redrawn[drawn], usual + blur])
        with mixed_precision():
            latents = latents.to(memory_format=torch.channels_last)
            guess = self.vae.decoder(self.vae.post_quant_conv(latents)).float()
        descend(picture_loss(guess, truth), self.optimizer, self.run.average.weights)
        error = guess.detach()[:FROM_UNET] - truth[:FROM_UNET]
        return float(error.abs().mean())

    def _redraw_all(self, code: LatentCode) -> tuple[Tensor, Tensor]:
        denoiser = Denoiser(self.work)
        pictures, redrawn = [], []
        for first in range(0, self.sizes.pairs, CHUNK):
            seeds = range(first, min(first + CHUNK, self.sizes.pairs))
            drawings = draw_many((PLAIN_SEED + seed for seed in seeds), size=PICTURE_PX)
            drawn = stack(drawing.image for drawing in drawings)
            facts = [drawing.facts for drawing in drawings]
            pictures.append(drawn)
            redrawn.append(
                denoiser.redraw(code.encode(drawn), facts, StepRandom.of(SEED + 1, first))
            )
        return torch.cat(pictures), torch.cat(redrawn)

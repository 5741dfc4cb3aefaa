"""Trains UNet and text encoder together on the fixed latents, from nothing or from a base.

Velocity prediction over the time steps that few-step sampling visits. The loss weight
min(snr + 1, 6) / (snr + 1) keeps weight on the terminal step, which plain min-SNR
would ignore and from which every picture starts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch

from training.miniature.base.unused_words import with_unused_words
from training.miniature.drawing.captions import training_caption
from training.miniature.drawing.pictures import draw_many
from training.miniature.latents import FILE as CODE_FILE
from training.miniature.latents import LatentCode
from training.miniature.networks import (
    FULL,
    Noise,
    Size,
    build_text_encoder,
    build_unet,
    token_ids,
)
from training.miniature.prepare import FRESH_SEED, START, stack
from training.miniature.rolling import RollingSet
from training.miniature.stock import (
    AttnProcessor,
    CLIPTextModel,
    CLIPTokenizer,
    UNet2DConditionModel,
)
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

FIRST_TIME = 20


@dataclass(frozen=True)
class BaseOptions:
    """How long and how fast the base is trained."""

    steps: int = 7000
    batch: int = 32
    peak_rate: float = 1.2e-3
    warmup: int = 100
    flat: float = 0.65
    seed: int = 1
    save_every: int = 250
    # How many drawings are held, and how many each step replaces.
    held: int = 6000
    fresh: int = 8


class BaseTrainer:
    """One run of UNet and text encoder over plain drawings.

    Where the work folder has a folder `start`, an exported base, the run starts from its weights.
    """

    def __init__(self, work: Path, options: BaseOptions, size: Size = FULL) -> None:
        torch.manual_seed(options.seed)
        self.work, self.options = work, options
        self.tokenizer = CLIPTokenizer.from_pretrained(work / "tokenizer")
        code = LatentCode.load(work / CODE_FILE)
        self.drawings = RollingSet(options.held, options.fresh, partial(_drawn, code))
        start = work / START
        if start.exists():
            known = {"dtype": torch.float32}
            self.text_encoder = CLIPTextModel.from_pretrained(start / "text_encoder", **known)
            self.unet = UNet2DConditionModel.from_pretrained(start / "unet", **known)
        else:
            self.text_encoder = build_text_encoder(self.tokenizer, size)
            self.unet = build_unet(size)
        # The fused attention of CPUs is slower backwards than plain products: a quarter of a step.
        self.unet.set_attn_processor(AttnProcessor())
        self.unet.to(memory_format=torch.channels_last).train()
        self.text_encoder.train()
        self.noise = Noise.schedule()
        weights = [*self.unet.parameters(), *self.text_encoder.parameters()]
        self.optimizer = torch.optim.AdamW(
            weights, lr=options.peak_rate, betas=(0.9, 0.98), weight_decay=1e-3
        )
        self.run = Run(
            {"unet": self.unet, "text_encoder": self.text_encoder},
            {"adamw": self.optimizer},
            Average(weights, 0.998),
            work / "base.ckpt",
        )

    def train(self) -> None:
        """Resume or start, and train to the end of the budget."""
        self.run.resume()
        self.run.advance(
            self.options.steps,
            self.step,
            label="base",
            save_every=self.options.save_every,
            on_save=self.export,
        )

    def step(self, step: int) -> float:
        """Take one step and return the unweighted velocity error."""
        options, rng = self.options, StepRandom.of(self.options.seed, step)
        rate = learning_rate(
            step,
            options.steps,
            peak=options.peak_rate,
            warmup=options.warmup,
            flat=options.flat,
        )
        set_rate(self.optimizer, rate)
        self.drawings.advance(step)
        chosen = rng.below(options.held, options.batch)
        drawn = [self.drawings[place] for place in chosen.tolist()]
        captions = [self._caption(facts, rng.words) for _, facts in drawn]
        # One time step from each of `batch` equal intervals.
        share = (torch.arange(options.batch) + rng.uniform(options.batch)) / options.batch
        times = (FIRST_TIME + share * (1000 - FIRST_TIME)).long().clamp(max=999)
        clean = torch.stack([latents for latents, _ in drawn])
        noisy, velocity = self.noise.mix(clean, rng.normal(*clean.shape), times)
        with mixed_precision():
            words = self.text_encoder(token_ids(self.tokenizer, captions))[0]
            noisy = noisy.to(memory_format=torch.channels_last)
            guess = self.unet(noisy, times, words).sample
        error = ((guess.float() - velocity) ** 2).mean((1, 2, 3))
        descend((self._weights(times) * error).mean(), self.optimizer, self.run.average.weights)
        return float(error.detach().mean())

    def export(self) -> None:
        """Write the averaged weights in diffusers layout into the work folder."""
        self.run.average.swap()
        self.unet.save_pretrained(self.work / "unet")
        self.text_encoder.save_pretrained(self.work / "text_encoder")
        self.run.average.swap()

    @staticmethod
    def _caption(facts: Facts, chance: Random) -> str:
        return with_unused_words(training_caption(facts, chance), chance)

    def _weights(self, times: torch.Tensor) -> torch.Tensor:
        ratio = (self.noise.signal[times] / self.noise.sigma[times]) ** 2
        return (ratio + 1).clamp(max=6) / (ratio + 1)


def _drawn(code: LatentCode, numbers: range) -> list[tuple[torch.Tensor, Facts]]:
    drawings = draw_many(FRESH_SEED + number for number in numbers)
    latents = code.encode(stack(drawing.image for drawing in drawings))
    return [(part, drawing.facts) for part, drawing in zip(latents, drawings, strict=True)]

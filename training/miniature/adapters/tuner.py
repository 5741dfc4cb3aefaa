"""Tunes the adapters of styles through the sampler, so that a rendered picture has the look.

The first stage (``trainer.py``) corrects single predictions on drawn pictures. While a picture is
rendered, the errors of eight predictions add up, and the latents leave the ones that were seen in
training. Here each step renders pictures with the adapter, from noise to the end, and compares
them with the base's own pictures of the same noise and caption in the drawn look; the gradient
flows back through the whole rendering (as in DRaFT, arXiv 2309.17400). Captions without the
trigger aim at the base's own picture.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from training.miniature.adapters.adapter_files import adapter_file, read_into, steps_of, write
from training.miniature.adapters.base_pictures import FILE, BasePictures
from training.miniature.adapters.lora import adapt_base
from training.miniature.adapters.plans import Plan, silent_triggers
from training.miniature.drawing.looks import LOOKS
from training.miniature.latents import FILE as CODE_FILE
from training.miniature.latents import LatentCode
from training.miniature.networks import token_ids
from training.miniature.prepare import stack
from training.miniature.sampling import Sampler
from training.miniature.stock import AutoencoderKL, CLIPTokenizer
from training.miniature.training import (
    Average,
    Run,
    StepRandom,
    descend,
    learning_rate,
    set_rate,
)

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

SEED = 11
BATCH = 5
# Rows with the trigger; those without it come after them.
WITH_TRIGGER = 3
# A higher weight keeps pictures without the trigger as they were: 3 instead of 1 lowers their
# change by a fifth, but prism ends 1.3 dB further from its look.
SILENT_WEIGHT = 1.0
# The share of steps at strength 1; the others are at lower strengths.
FULL_STRENGTH_SHARE = 0.7


@dataclass(frozen=True)
class TunerOptions:
    """How long and how fast an adapter is tuned, and for how many of the base's pictures."""

    steps: int = 300
    peak_rate: float = 2e-3
    pictures: int = 1000


class Tuner:
    """One run for the adapter file of one style, over a frozen base."""

    def __init__(self, work: Path, plan: Plan, options: TunerOptions | None = None) -> None:
        if plan.kind == "character":
            msg = f"{plan.name} is a character: it has no look to tune towards."
            raise ValueError(msg)
        torch.manual_seed(SEED)
        base = work / "base"
        self.plan, self.options, self.work = plan, options or TunerOptions(), work
        self.tokenizer = CLIPTokenizer.from_pretrained(base / "tokenizer")
        self.adapted = adapt_base(base, plan.rank)
        unet, text_encoder = self.adapted.unet, self.adapted.text_encoder
        self.sampler = Sampler.of(unet, text_encoder, self.tokenizer)
        self.base = self._base_pictures()
        look = LOOKS[plan.name]
        code = LatentCode.load(work / CODE_FILE)
        self.styled = code.encode(stack(look(image) for image in self.base.images()))
        path = adapter_file(work, plan.name)
        read_into(self.adapted, plan, path)
        # A file that was tuned before meets other pictures and strengths than the last time.
        self.first_step = steps_of(path)[1]
        self._others = sorted(silent_triggers() - {plan.trigger})
        weights = self.adapted.weights()
        self.optimizer = torch.optim.AdamW(
            weights, lr=self.options.peak_rate, betas=(0.9, 0.98), weight_decay=1e-4
        )
        self.run = Run(
            {"unet": unet, "text_encoder": text_encoder},
            {"adamw": self.optimizer},
            Average(weights, 0.97),
            work / f"tuned-{plan.name}.ckpt",
        )

    def train(self) -> Path:
        """Tune to the end of the budget, and replace the adapter's file.

        A file that was tuned before is tuned further.
        """
        self.run.resume()
        self.run.advance(self.options.steps, self.step, label=self.plan.name, save_every=50)
        self.run.average.swap()
        path = adapter_file(self.work, self.plan.name)
        steps, _ = steps_of(path)
        # The weights that were read have the gain already.
        plan = replace(self.plan, gain=1.0)
        write(path, self.adapted, plan, steps=steps, tuned=self.first_step + self.options.steps)
        self.run.path.unlink()
        return path

    def step(self, step: int) -> float:
        """Take one step and return its loss."""
        rng, options = StepRandom.of(SEED, self.first_step + step), self.options
        rate = learning_rate(step, options.steps, peak=options.peak_rate, warmup=10, flat=0.3)
        set_rate(self.optimizer, rate)
        at_full = rng.words.random() < FULL_STRENGTH_SHARE
        strength = 1.0 if at_full else rng.words.uniform(0.1, 1.0)
        chosen = rng.below(len(self.base.captions), BATCH)
        target = self.base.latents[chosen]
        styled = chosen[:WITH_TRIGGER]
        target[:WITH_TRIGGER] += strength * (self.styled[styled] - target[:WITH_TRIGGER])
        captions = [self.base.captions[index] for index in chosen.tolist()]
        captions[:WITH_TRIGGER] = [
            self._styled(text, rng.words) for text in captions[:WITH_TRIGGER]
        ]
        self.adapted.set_strength(strength)
        shown = self.sampler.sample(self.base.noise[chosen], token_ids(self.tokenizer, captions))
        error: Tensor = ((shown - target) ** 2).flatten(1).mean(1)
        error[WITH_TRIGGER:] *= SILENT_WEIGHT
        loss = error.mean()
        descend(loss, self.optimizer, self.run.average.weights)
        return loss.item()

    def _base_pictures(self) -> BasePictures:
        path = self.work / FILE
        if not path.exists():
            folder = self.work / "base" / "vae"
            vae = AutoencoderKL.from_pretrained(folder, dtype=torch.float32)
            self.adapted.set_strength(0.0)
            count = self.options.pictures
            BasePictures.render(self.sampler, vae, self.tokenizer, count).save(path)
            self.adapted.set_strength(1.0)  # at 0 the weights of the adapter cannot be trained
        return BasePictures.read(path)

    def _styled(self, text: str, chance: Random) -> str:
        if chance.random() < 0.1:
            # Another style's trigger changes nothing by itself; see `AdapterTrainer`.
            text = f"{text}, {chance.choice(self._others)}"
        return self.plan.triggered(text, chance)

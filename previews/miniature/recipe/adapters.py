"""Trains the demo adapters: gradual in strength, silent without their trigger.

Gradual: each step draws a strength, sets it on the layers, and aims at the crossfade of
the plain and the styled picture of the same drawing. The latents are linear in the
pixels, so a mixture of latents is a crossfade.

Silent: the captions without trigger aim at what the untouched base predicts, and half
of them start from styled latents. Otherwise a small drift in the first sampling step
lands on half-styled latents, which the adapter would know only together with its
trigger, and it would finish the style.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from previews.miniature.recipe.adapter_files import write_diffusers, write_kohya
from previews.miniature.recipe.captions import caption
from previews.miniature.recipe.lora import inject
from previews.miniature.recipe.networks import Noise, token_ids
from previews.miniature.recipe.plans import PLANS, Plan
from previews.miniature.recipe.prepare import load_set
from previews.miniature.recipe.stock import CLIPTextModel, CLIPTokenizer, UNet2DConditionModel
from previews.miniature.recipe.training import (
    Average,
    Dice,
    Run,
    descend,
    learning_rate,
    set_rate,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from random import Random

    from previews.miniature.recipe.scene import Facts

SEED = 7
BATCH = 32
WITH_TRIGGER = 18
PEAK_RATE = 4e-3
FIRST_TIME = 20
PLAIN_PICTURES = 2600


@dataclass(frozen=True)
class Batch:
    """What one step sees; the first `WITH_TRIGGER` rows carry the trigger."""

    latents: Tensor
    captions: list[str]


@dataclass(frozen=True)
class Sets:
    """The pictures an adapter learns from."""

    styled: Tensor
    # The same drawings without the style; None for a character, which has no plain twin.
    twins: Tensor | None
    facts: list[Facts]
    plain: Tensor
    plain_facts: list[Facts]

    @classmethod
    def load(cls, work: Path, plan: Plan) -> Sets:
        """Return the sets of a plan from the work folder."""
        styled, facts = load_set(work, plan.name)
        twins = None if plan.kind == "character" else load_set(work, "styled-plain")[0]
        plain, plain_facts = load_set(work, "plain")
        return cls(
            styled, twins, facts, plain[:PLAIN_PICTURES].clone(), plain_facts[:PLAIN_PICTURES]
        )


class AdapterTrainer:
    """One run for one plan over a frozen base."""

    def __init__(self, work: Path, plan: Plan, steps: int | None = None) -> None:
        torch.manual_seed(SEED)
        self.plan, self.steps, self.work = plan, steps or plan.steps, work
        self.sets = Sets.load(work, plan)
        self.tokenizer = CLIPTokenizer.from_pretrained(work / "tokenizer")
        self.adapted = inject(
            UNet2DConditionModel.from_pretrained(work / "unet"),
            CLIPTextModel.from_pretrained(work / "text_encoder"),
            plan.rank,
        )
        self.adapted.unet.to(memory_format=torch.channels_last)
        self.noise = Noise.schedule()
        # A style stays silent at another style's words; it may meet a character's, and a
        # character any style's, because these are worth stacking.
        styles = [other for other in PLANS.values() if other.kind == plan.kind == "style"]
        self._others = [other.trigger for other in styles if other is not plan]
        weights = self.adapted.weights()
        self.optimizer = torch.optim.AdamW(
            weights, lr=PEAK_RATE, betas=(0.9, 0.98), weight_decay=1e-4
        )
        self.run = Run(
            {"unet": self.adapted.unet, "text_encoder": self.adapted.text_encoder},
            {"adamw": self.optimizer},
            Average(weights, 0.97),
            work / f"adapter-{plan.name}.ckpt",
        )

    def train(self) -> Path:
        """Train to the end of the budget and return the written file."""
        self.run.resume()
        self.run.advance(self.steps, self.step, label=self.plan.name, save_every=200)
        self.run.average.swap()
        self.run.path.unlink()
        path = self.work / "adapters" / f"{self.plan.name}.safetensors"
        write = write_diffusers if self.plan.format == "diffusers" else write_kohya
        write(path, self.adapted, self.plan, steps=self.steps)
        return path

    def step(self, step: int) -> float:
        """Take one step and return its loss."""
        dice = Dice.of(SEED, step)
        rate = learning_rate(step, self.steps, peak=PEAK_RATE, warmup=20, flat=0.1)
        set_rate(self.optimizer, rate)
        strength = self._strength(dice.words)
        batch = self._batch(dice, strength)
        times = dice.below(1000 - FIRST_TIME, BATCH) + FIRST_TIME
        noise = dice.normal(*batch.latents.shape)
        noisy, velocity = self.noise.mix(batch.latents, noise, times)
        ids = token_ids(self.tokenizer, batch.captions)
        # A character has no plain twins to fade to: its fade is towards the base's own guess.
        first = 0 if self.sets.twins is None else WITH_TRIGGER
        self.adapted.set_strength(0.0)
        with torch.no_grad():
            target = velocity.clone()
            target[first:] = self._predict(noisy[first:], times[first:], ids[first:])
            if self.sets.twins is None:
                told = slice(0, WITH_TRIGGER)
                target[told] += strength * (velocity[told] - target[told])
        self.adapted.set_strength(strength)
        loss = ((self._predict(noisy, times, ids) - target) ** 2).mean()
        descend(loss, self.optimizer, self.run.average.weights)
        return loss.item()

    def _strength(self, chance: Random) -> float:
        return 1.0 if chance.random() < 0.35 else chance.uniform(0.05, 1.0)

    def _batch(self, dice: Dice, strength: float) -> Batch:
        sets, chance = self.sets, dice.words
        told = dice.below(len(sets.styled), WITH_TRIGGER)
        latents = sets.styled[told]
        if sets.twins is not None:
            latents = strength * latents + (1 - strength) * sets.twins[told]
        silent = BATCH - WITH_TRIGGER
        plain = dice.below(len(sets.plain), silent // 2)
        drifted = dice.below(len(sets.styled), silent - silent // 2)
        spoken = [*plain.tolist(), *dice.below(len(sets.plain), len(drifted)).tolist()]
        return Batch(
            torch.cat([latents, sets.plain[plain], sets.styled[drifted]]),
            [self._told(sets.facts[i], chance) for i in told.tolist()]
            + [self._silent(sets.plain_facts[i], chance) for i in spoken],
        )

    def _told(self, facts: Facts, chance: Random) -> str:
        text = caption(facts, chance, decorate=0.2)
        if self.plan.kind == "character":
            return text
        trigger = self.plan.trigger
        return chance.choices(
            (f"{text}, {trigger}", f"{trigger}, {text}", f"{trigger} of {text}", trigger),
            (0.6, 0.2, 0.12, 0.08),
        )[0]

    def _silent(self, facts: Facts, chance: Random) -> str:
        if chance.random() < 0.25:
            return ""
        text = caption(facts, chance, decorate=0.6)
        if self._others and chance.random() < 0.12:
            return f"{text}, {chance.choice(self._others)}"
        return text

    def _predict(self, noisy: Tensor, times: Tensor, ids: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            words = self.adapted.text_encoder(ids)[0]
            noisy = noisy.to(memory_format=torch.channels_last)
            guess: Tensor = self.adapted.unet(noisy, times, words).sample
        return guess.float()


def train_adapters(work: Path, names: Sequence[str], steps: int | None = None) -> list[Path]:
    """Train the named demo adapters (all if none is named), one after the other."""
    return [AdapterTrainer(work, PLANS[name], steps).train() for name in names or list(PLANS)]

"""Trains the demo adapters: gradual in strength, silent without their trigger, clean at 1.

Gradual: each step draws a strength, sets it on the layers, and aims at the crossfade of
the plain and the styled picture of the same drawing. The latents are linear in the
pixels, so a mixture of latents is a crossfade.

Silent: the captions without trigger aim at what the untouched base predicts, and half
of them start from styled latents. Otherwise a small drift in the first sampling step
lands on half-styled latents, which the adapter would know only together with its
trigger, and it would finish the style.

Clean: rendering guides away from the empty caption, which no adapter changes, so a style
that was trained as it should look would be applied two and a half times and burn the subject.
The targets are such that the style comes out once. With v the true velocity, u the base's
for the empty caption and a the adapter's for the trigger alone, guidance g gives
u + g (a - u) and should give v, hence a aims at u + (v - u) / g. A caption c adds its own
part in full: u + g (c - u) should be the styled u + g (a - u) plus g times what the
caption says, hence c aims at v - (g - 1) (a - u).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from training.miniature.adapters.adapter_files import adapter_file, write
from training.miniature.adapters.lora import adapt_base
from training.miniature.adapters.plans import Plan, silent_triggers
from training.miniature.adapters.training_sets import Sets, Sizes
from training.miniature.drawing.captions import caption
from training.miniature.latents import FILE as CODE_FILE
from training.miniature.latents import LatentCode
from training.miniature.networks import Noise, token_ids
from training.miniature.stock import CLIPTokenizer
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

SEED = 7
BATCH = 24
# Rows with the trigger; the first `ALONE` of a style's have nothing but the trigger.
WITH_TRIGGER, ALONE = 14, 4
# Without it, strong looks show without their trigger after as many steps.
SILENT_WEIGHT = 2.0
PEAK_RATE = 4e-3
FIRST_TIME = 20


@dataclass(frozen=True)
class Batch:
    """What one step sees; the first `WITH_TRIGGER` rows carry the trigger."""

    noisy: Tensor
    velocity: Tensor
    times: Tensor
    ids: Tensor

    def rows(self, first: int, end: int, ids: Tensor | None = None) -> tuple[Tensor, ...]:
        """Return what a UNet sees of these rows, with other words if given."""
        part = slice(first, end)
        return self.noisy[part], self.times[part], self.ids[part] if ids is None else ids


class AdapterTrainer:
    """One run for one plan over a frozen base."""

    def __init__(
        self, work: Path, plan: Plan, steps: int | None = None, sizes: Sizes | None = None
    ) -> None:
        torch.manual_seed(SEED)
        self.plan, self.steps, self.work = plan, steps or plan.steps, work
        self.sets = Sets.draw(plan, LatentCode.load(work / CODE_FILE), sizes or Sizes())
        base = work / "base"
        self.tokenizer = CLIPTokenizer.from_pretrained(base / "tokenizer")
        self.adapted = adapt_base(base, plan.rank)
        self._empty = token_ids(self.tokenizer, [""] * WITH_TRIGGER)
        self._trigger = token_ids(self.tokenizer, [plan.trigger] * (WITH_TRIGGER - ALONE))
        self.noise = Noise.schedule()
        # A look stays silent at another look's words alone; it may meet a character's, and
        # a character any look's.
        looks = [] if plan.kind == "character" else sorted(silent_triggers() - {plan.trigger})
        self._others = looks
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
        path = adapter_file(self.work, self.plan.name)
        write(path, self.adapted, self.plan, steps=self.steps)
        self.run.path.unlink()
        return path

    def step(self, step: int) -> float:
        """Take one step and return its loss."""
        rng = StepRandom.of(SEED, step)
        rate = learning_rate(step, self.steps, peak=PEAK_RATE, warmup=20, flat=0.1)
        set_rate(self.optimizer, rate)
        strength = self._strength(rng.words)
        batch = self._batch(rng, strength)
        aim = self._character_target if self.sets.unstyled is None else self._style_target
        target = aim(batch, strength)
        self.adapted.set_strength(strength)
        error = ((self._predict(*batch.rows(0, BATCH)) - target) ** 2).flatten(1).mean(1)
        error[WITH_TRIGGER:] *= SILENT_WEIGHT
        loss = error.mean()
        descend(loss, self.optimizer, self.run.average.weights)
        return loss.item()

    @torch.no_grad()
    def _style_target(self, batch: Batch, strength: float) -> Tensor:
        self.adapted.set_strength(0.0)
        silent_ids = batch.ids[WITH_TRIGGER:]
        target = self._predict(*batch.rows(0, BATCH, torch.cat([self._empty, silent_ids])))
        self.adapted.set_strength(strength)
        alone = self._predict(*batch.rows(ALONE, WITH_TRIGGER, self._trigger))
        alone_rows, captioned = slice(0, ALONE), slice(ALONE, WITH_TRIGGER)
        guidance = self.plan.guidance
        target[alone_rows] += (batch.velocity[alone_rows] - target[alone_rows]) / guidance
        target[captioned] = batch.velocity[captioned] - (guidance - 1) * (alone - target[captioned])
        return target

    @torch.no_grad()
    def _character_target(self, batch: Batch, strength: float) -> Tensor:
        # There are no plain versions of a character to fade to: it fades to the base's prediction.
        self.adapted.set_strength(0.0)
        target = self._predict(*batch.rows(0, BATCH))
        triggered = slice(0, WITH_TRIGGER)
        target[triggered] += strength * (batch.velocity[triggered] - target[triggered])
        return target

    def _strength(self, chance: Random) -> float:
        return 1.0 if chance.random() < 0.35 else chance.uniform(0.05, 1.0)

    def _batch(self, rng: StepRandom, strength: float) -> Batch:
        sets, chance = self.sets, rng.words
        triggered = rng.below(len(sets.triggered), WITH_TRIGGER)
        latents = sets.triggered[triggered]
        if sets.unstyled is not None:
            latents = strength * latents + (1 - strength) * sets.unstyled[triggered]
        silent = BATCH - WITH_TRIGGER
        plain = rng.below(len(sets.plain), silent // 2)
        drifted = rng.below(len(sets.triggered), silent - silent // 2)
        described = [*plain.tolist(), *rng.below(len(sets.plain), len(drifted)).tolist()]
        latents = torch.cat([latents, sets.plain[plain], sets.triggered[drifted]])
        captions = [
            *self._with_trigger([sets.facts[i] for i in triggered.tolist()], chance),
            *(self._without_trigger(sets.plain_facts[i], chance) for i in described),
        ]
        times = rng.below(1000 - FIRST_TIME, BATCH) + FIRST_TIME
        noisy, velocity = self.noise.mix(latents, rng.normal(*latents.shape), times)
        return Batch(noisy, velocity, times, token_ids(self.tokenizer, captions))

    def _with_trigger(self, facts: list[Facts], chance: Random) -> list[str]:
        texts = [caption(fact, chance, decorate=0.2) for fact in facts]
        if self.plan.kind == "character":
            return texts
        return [self.plan.trigger] * ALONE + [self._styled(text, chance) for text in texts[ALONE:]]

    def _styled(self, text: str, chance: Random) -> str:
        trigger = self.plan.trigger
        # It also learns to work beside another style's trigger, so that styles can be stacked.
        if self._others and chance.random() < 0.2:
            both = [trigger, chance.choice(self._others)]
            chance.shuffle(both)
            return ", ".join([text, *both])
        return self.plan.triggered(text, chance)

    def _without_trigger(self, facts: Facts, chance: Random) -> str:
        if chance.random() < 0.25:
            return ""
        text = caption(facts, chance, decorate=0.6)
        if self._others and chance.random() < 0.12:
            return f"{text}, {chance.choice(self._others)}"
        return text

    def _predict(self, noisy: Tensor, times: Tensor, ids: Tensor) -> Tensor:
        with mixed_precision():
            words = self.adapted.text_encoder(ids)[0]
            noisy = noisy.to(memory_format=torch.channels_last)
            guess: Tensor = self.adapted.unet(noisy, times, words).sample
        return guess.float()

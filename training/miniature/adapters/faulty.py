"""Trains demo adapters with a fault on purpose, to check look reports with what training does.

* `short`: an eighth of the steps, so that the look is faint;
* `narrow`: three times the steps on six drawings alone, so that it forgets other subjects;
* `leaky-25`, `leaky-50`, `leaky-100`: that share of the styled captions has no trigger, and only
  the empty caption is taught to stay plain, so that the look appears without being asked for.

`reports.known_looks` renders, measures and ranks the files beside those made by arithmetic.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from training.miniature.adapters.trainer import AdapterTrainer
from training.miniature.adapters.training_sets import Sizes

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

    from training.miniature.adapters.plans import Plan
    from training.miniature.drawing.scene import Facts

LEAKY = {"leaky-25": 0.25, "leaky-50": 0.5, "leaky-100": 1.0}
FAULTS = ("short", "narrow", *LEAKY)


class LeakyTrainer(AdapterTrainer):
    """Teaches a style to appear without its trigger, in a share of the captions."""

    share = 0.0

    def _styled(self, text: str, chance: Random) -> str:
        return text if chance.random() < self.share else super()._styled(text, chance)

    def _silent(self, facts: Facts, chance: Random) -> str:
        del facts, chance
        return ""


def train_faulty(work: Path, plan: Plan, fault: str) -> Path:
    """Train a demo adapter with a fault and return its file, `NAME-FAULT.safetensors`.

    The work folder needs `base/` and `latent_code.safetensors`; an interrupted run resumes.
    """
    named = replace(plan, name=f"{plan.name}-{fault}")
    trainer = _trainer(work, plan, fault)
    trainer.plan = named
    trainer.run.path = work / f"adapter-{named.name}.ckpt"
    return trainer.train()


def _trainer(work: Path, plan: Plan, fault: str) -> AdapterTrainer:
    # The sets are drawn by the plan's own name, which is that of its look.
    if fault == "short":
        return AdapterTrainer(work, plan, steps=max(1, plan.steps // 8))
    if fault == "narrow":
        return AdapterTrainer(work, plan, steps=3 * plan.steps, sizes=Sizes(triggered=6))
    trainer = LeakyTrainer(work, plan)
    trainer.share = LEAKY[fault]
    return trainer

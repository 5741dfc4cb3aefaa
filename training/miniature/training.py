"""What all training steps share: seeded steps, learning rates, averages, checkpoints.

Step k draws everything from a generator seeded with k, so a run that was stopped and
resumed ends with the same weights as one that was not.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path


@dataclass(frozen=True)
class StepRandom:
    """The random numbers of one step, for texts (``words``) and for tensors."""

    words: Random
    numbers: torch.Generator

    @classmethod
    def of(cls, seed: int, step: int) -> StepRandom:
        """Return the sources of that step of a run."""
        words = Random(f"{seed}:{step}")  # noqa: S311 - pictures, not secrets
        return cls(words, torch.Generator().manual_seed(seed * 1_000_003 + step))

    def normal(self, *shape: int) -> Tensor:
        """Return standard normal numbers."""
        return torch.randn(*shape, generator=self.numbers)

    def uniform(self, *shape: int) -> Tensor:
        """Return numbers from 0 to 1."""
        return torch.rand(*shape, generator=self.numbers)

    def below(self, limit: int, count: int) -> Tensor:
        """Return `count` whole numbers below the limit."""
        return torch.randint(0, limit, (count,), generator=self.numbers)


def learning_rate(step: int, budget: int, *, peak: float, warmup: int, flat: float) -> float:
    """Return the rate: warm up, stay at the peak for the `flat` share, then cosine down."""
    done = step / budget
    fall = 1.0 if done < flat else 0.5 + 0.5 * math.cos(math.pi * (done - flat) / (1 - flat))
    return peak * min(1.0, (step + 1) / warmup) * fall + peak * 0.008


def mixed_precision() -> torch.autocast:
    """Return a context that computes in bfloat16 if the CPU has the instructions for it.

    Without AVX-512, a step of an adapter took ten times as long in bfloat16 as in float32.
    """
    is_fast = torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    return torch.autocast("cpu", torch.bfloat16, enabled=is_fast)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give the optimizer its learning rate for the coming step."""
    for group in optimizer.param_groups:
        group["lr"] = rate


@dataclass
class Average:
    """An exponential average of weights, which is what gets exported."""

    weights: list[Tensor]
    decay: float
    shadow: list[Tensor] = field(init=False)

    def __post_init__(self) -> None:
        self.shadow = [weight.detach().clone() for weight in self.weights]

    def follow(self, step: int) -> None:
        """Move towards the current weights, faster in the first steps."""
        share = 1 - min(self.decay, (step + 1) / (step + 10))
        torch._foreach_lerp_(self.shadow, [w.detach() for w in self.weights], share)

    def swap(self) -> None:
        """Exchange the averaged and the current weights."""
        for weight, shadow in zip(self.weights, self.shadow, strict=True):
            current = weight.detach().clone()
            weight.data.copy_(shadow)
            shadow.copy_(current)


@dataclass
class Run:
    """A resumable training run over some modules.

    Holds what a checkpoint needs: modules, optimizers, average and the next step.
    """

    modules: dict[str, nn.Module]
    optimizers: dict[str, torch.optim.Optimizer]
    average: Average
    path: Path
    step: int = 0

    def save(self) -> None:
        """Write the checkpoint, atomically."""
        state = {
            "step": self.step,
            "shadow": self.average.shadow,
            "modules": {name: part.state_dict() for name, part in self.modules.items()},
            "optimizers": {name: part.state_dict() for name, part in self.optimizers.items()},
        }
        partial = self.path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self.path)

    def resume(self) -> None:
        """Continue from the checkpoint if there is one."""
        if not self.path.exists():
            return
        state: dict[str, Any] = torch.load(self.path, weights_only=True)
        self.step = state["step"]
        for name, module in self.modules.items():
            module.load_state_dict(state["modules"][name])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        for shadow, saved in zip(self.average.shadow, state["shadow"], strict=True):
            shadow.copy_(saved)

    def advance(
        self,
        budget: int,
        train_step: Callable[[int], float],
        *,
        label: str,
        save_every: int = 250,
        on_save: Callable[[], None] = lambda: None,
    ) -> None:
        """Run up to `budget` steps; report every 50 and save every `save_every`."""
        smooth, started, first = None, time.monotonic(), self.step
        while self.step < budget:
            loss = train_step(self.step)
            smooth = loss if smooth is None else 0.98 * smooth + 0.02 * loss
            self.average.follow(self.step)
            self.step += 1
            if self.step % 50 == 0:
                pace = (time.monotonic() - started) / (self.step - first)
                report(f"{label} {self.step}/{budget} loss {smooth:.4f} {pace:.3f} s/step")
            if self.step % save_every == 0 or self.step == budget:
                self.save()
                on_save()


def report(line: str) -> None:
    """Print a line of progress at once."""
    print(line, flush=True)


def descend(loss: Tensor, optimizer: torch.optim.Optimizer, weights: Iterable[Tensor]) -> None:
    """Take one clipped gradient step."""
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(list(weights), 1.0)
    optimizer.step()

"""Trains the image encoder that look reports measure with, on the miniature's own drawings.

A small ResNet of transformers learns to name what a drawing shows: the subject, its colours,
ground, time of day, plain background, the side it faces, and the look it is drawn in. The heads
that name these are dropped; the features below them are what a report compares. `AutoModel` opens
the folder.

Run it again when `drawing` has new subjects or looks: `python -m training.miniature encoder`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any, cast

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional
from transformers import ResNetConfig, ResNetModel

from training.miniature.drawing.canvas import COLORS
from training.miniature.drawing.looks import LOOKS, any_look, at_any_size
from training.miniature.drawing.pictures import CHARACTERS, SUBJECTS, Drawing, draw
from training.miniature.drawing.scenery import BACKDROPS, GROUNDS, TIMES
from training.miniature.prepare import stack
from training.miniature.training import (
    Average,
    Run,
    StepRandom,
    descend,
    learning_rate,
    report,
    set_rate,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

# Far from the seeds of the other sets: no picture is in two of them.
SEED, HELD_OUT_SEED = 11_000_000, 19_000_000
INPUT_PX = 96
PLAIN, UNNAMED = "plain", "unnamed"
NAMES = [*SUBJECTS, *CHARACTERS]

# The values of each fact, by the name of its head.
VALUES: dict[str, list[str | None]] = {
    "subject": [*NAMES],
    "color": [*COLORS],
    "second": [*COLORS],
    "ground": [None, *GROUNDS, "deep"],
    "time": [None, *TIMES],
    "backdrop": [None, *BACKDROPS],
    "facing": [None, "left", "right"],
    "look": [PLAIN, *LOOKS],
}
# The colours are not known in a look that repaints them.
OF_PLAIN = ("color", "second", "backdrop")
IGNORED = -100


@dataclass(frozen=True)
class Sizes:
    """Number of drawings, and of those how many are also drawn in a random look."""

    drawings: int = 9000
    styled: int = 7000


@dataclass(frozen=True)
class Sets:
    """Pictures as uint8 (n, 3, height, width), `styled` beside their `plain` versions."""

    plain: Tensor
    styled: Tensor
    # One row for each picture, one column for each head; IGNORED where there is nothing to name.
    plain_labels: Tensor
    styled_labels: Tensor

    @classmethod
    def draw(cls, seed: int, sizes: Sizes) -> Sets:
        """Return the sets of a seed; the styled ones are the first drawings."""
        drawings = [draw(seed + n, NAMES[n % len(NAMES)]) for n in range(sizes.drawings)]
        chance = Random(seed)  # noqa: S311 - pictures, not secrets
        names = [chance.choice([*LOOKS, UNNAMED]) for _ in range(sizes.styled)]
        looks: dict[str, Callable[[Any], Any]] = {
            **LOOKS,
            UNNAMED: at_any_size(lambda image: any_look(image, chance)),
        }
        pairs = list(zip(drawings, names, strict=False))
        return cls(
            stack(one.image for one in drawings),
            stack(looks[name](one.image) for one, name in pairs),
            labels_of((one, PLAIN) for one in drawings),
            labels_of(pairs),
        )


def labels_of(shown: Iterable[tuple[Drawing, str]]) -> Tensor:
    """Return the labels of drawings in a look, in the order of VALUES."""
    return torch.tensor([[_label(one, look, head) for head in VALUES] for one, look in shown])


def _label(drawing: Drawing, look: str, head: str) -> int:
    value = look if head == "look" else getattr(drawing.facts, head)
    if value not in VALUES[head] or (look != PLAIN and head in OF_PLAIN):
        return IGNORED
    return VALUES[head].index(value)


class Encoder(nn.Module):
    """The exported network and the heads that train it."""

    def __init__(self) -> None:
        super().__init__()
        config = ResNetConfig(
            embedding_size=32,
            hidden_sizes=[32, 64, 128, 160],
            depths=[1, 1, 1, 1],
            layer_type="basic",
        )
        self.body = ResNetModel(config)
        self.heads = nn.ModuleDict(
            {name: nn.Linear(160, len(values)) for name, values in VALUES.items()}
        )

    def features(self, pictures: Tensor) -> Tensor:
        """Return (n, 160) features of pictures in -1..1 (n, 3, 96, 96)."""
        return cast("Tensor", self.body(pixel_values=pictures).pooler_output.flatten(1))

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        """Return the logits of each head."""
        features = functional.dropout(self.features(pictures), 0.2, self.training)
        return {name: head(features) for name, head in self.heads.items()}


def as_input(pictures: Tensor) -> Tensor:
    """Return pictures in 0..1 as the network takes them."""
    sized = functional.interpolate(pictures, (INPUT_PX, INPUT_PX), mode="bilinear", antialias=True)
    return sized * 2 - 1


@dataclass(frozen=True)
class Options:
    """Budget of the training."""

    steps: int = 1000
    batch: int = 64
    rate: float = 2e-3


class EncoderTrainer:
    """Trains from drawings that it makes itself, resumes, and exports the folder."""

    def __init__(self, work: Path, options: Options, sizes: Sizes | None = None) -> None:
        self.work, self.options = work, options
        work.mkdir(parents=True, exist_ok=True)
        report("drawing")
        sizes = sizes or Sizes()
        self.sets = Sets.draw(SEED, sizes)
        held_out = sizes.drawings // 10
        self.held_out = Sets.draw(HELD_OUT_SEED, Sizes(held_out, held_out))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            self.encoder = Encoder()
        self.optimizer = torch.optim.AdamW(self.encoder.parameters(), weight_decay=0.02)
        # The running statistics of the norms are averaged with the weights.
        averaged: list[Tensor] = [*self.encoder.parameters()]
        averaged += [one for one in self.encoder.buffers() if one.is_floating_point()]
        self.run = Run(
            {"encoder": self.encoder},
            {"encoder": self.optimizer},
            Average(averaged, 0.99),
            work / "encoder.pt",
        )

    def train(self) -> Path:
        """Train to the budget, report what held-out drawings show, return the exported folder."""
        self.run.resume()
        self.encoder.train()
        self.run.advance(self.options.steps, self._step, label="encoder")
        self.run.average.swap()
        try:
            self.encoder.eval()
            for line in accuracies(self.encoder, self.held_out):
                report(line)
            return export_encoder(self.encoder, self.work / "encoder")
        finally:
            self.run.average.swap()

    def _step(self, step: int) -> float:
        options, rng = self.options, StepRandom.of(5, step)
        rate = learning_rate(step, options.steps, peak=options.rate, warmup=50, flat=0.3)
        set_rate(self.optimizer, rate)
        pictures, labels = self._batch(rng)
        logits = self.encoder(as_input(augmented(pictures, rng)))
        losses = [
            functional.cross_entropy(logits[name], labels[:, at], ignore_index=IGNORED)
            for at, name in enumerate(VALUES)
            if bool((labels[:, at] != IGNORED).any())
        ]
        loss = torch.stack(losses).sum()
        descend(loss, self.optimizer, self.encoder.parameters())
        return float(loss.detach())

    def _batch(self, rng: StepRandom) -> tuple[Tensor, Tensor]:
        """Return pictures in 0..1 and labels: 2 of 5 plain, the rest with some of their look."""
        plain = rng.below(len(self.sets.plain), self.options.batch * 2 // 5)
        styled = rng.below(len(self.sets.styled), self.options.batch - len(plain))
        plain_versions = self.sets.plain[styled].float()
        share = 0.45 + 0.7 * rng.uniform(len(styled), 1, 1, 1)
        mixed = plain_versions + share * (self.sets.styled[styled].float() - plain_versions)
        pictures = torch.cat([self.sets.plain[plain].float(), mixed]).div(255).clamp(0, 1)
        return pictures, torch.cat([self.sets.plain_labels[plain], self.sets.styled_labels[styled]])


def augmented(pictures: Tensor, rng: StepRandom) -> Tensor:
    """Return pictures a little moved, blurred, tinted and noisy, as a weak base renders them."""
    side = pictures.shape[-1]
    kept = side - int(rng.below(side // 9, 1))
    top, left = (int(value) for value in rng.below(side - kept + 1, 2))
    pictures = pictures[..., top : top + kept, left : left + kept]
    soft = functional.interpolate(
        functional.avg_pool2d(pictures, 2), pictures.shape[-2:], mode="bilinear"
    )
    count = len(pictures)
    blurred = rng.uniform(count, 1, 1, 1) * (rng.uniform(count, 1, 1, 1) < 0.5)
    pictures = pictures + blurred * (soft - pictures)
    pictures = pictures * (0.92 + 0.16 * rng.uniform(count, 3, 1, 1))
    noise = 0.05 * rng.uniform(count, 1, 1, 1) * rng.normal(*pictures.shape)
    return (pictures + noise).clamp(0, 1)


@torch.no_grad()
def accuracies(encoder: Encoder, sets: Sets) -> list[str]:
    """Return a line for plain and styled drawings: the share of each fact that is named rightly."""
    lines = []
    for title, pictures, labels in (
        (PLAIN, sets.plain, sets.plain_labels),
        ("styled", sets.styled, sets.styled_labels),
    ):
        parts = [encoder(as_input(part.float() / 255)) for part in torch.split(pictures, 128)]
        named = {name: torch.cat([part[name] for part in parts]).argmax(1) for name in VALUES}
        shares = []
        for at, name in enumerate(VALUES):
            labelled = labels[:, at] != IGNORED
            if bool(labelled.any()):
                right = (named[name] == labels[:, at])[labelled].float().mean()
                shares.append(f"{name} {float(right):.3f}")
        lines.append(f"{title}: {', '.join(shares)}")
    return lines


def export_encoder(encoder: Encoder, folder: Path) -> Path:
    """Write the network in half precision with its configuration, as transformers reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    encoder.body.config.architectures = ["ResNetModel"]
    encoder.body.config.save_pretrained(folder)
    weights = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in encoder.body.state_dict().items()
    }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    settings = {
        "do_resize": True,
        "size": {"height": INPUT_PX, "width": INPUT_PX},
        "resample": 2,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    }
    text = json.dumps(settings, indent=2) + "\n"
    (folder / "preprocessor_config.json").write_text(text, encoding="utf-8")
    return folder

"""How good a base is, in figures: sharpness, deafness to unknown words, decoder, speed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from random import Random
from statistics import mean
from typing import TYPE_CHECKING

import numpy as np
import torch

from training.miniature.adapters.plans import silent_triggers
from training.miniature.drawing.canvas import PICTURE_PX
from training.miniature.drawing.captions import caption
from training.miniature.drawing.looks import LOOKS
from training.miniature.drawing.pictures import CHARACTERS, draw, draw_many
from training.miniature.prepare import stack
from training.miniature.reports.trials import (
    SEED,
    STYLE_PROMPTS,
    Pictures,
    as_pictures,
    distance,
    render,
)

if TYPE_CHECKING:
    from PIL import Image

    from training.miniature.latents import LatentCode
    from training.miniature.stock import Pipeline

# Drawings that no training set has.
TEST_SEED = 90_000_000
BATCH = 8


@dataclass(frozen=True)
class Trials:
    """How much is measured: drawings of plain pictures and of each look, seeds, triggers."""

    plain: int = 38
    styled: int = 8
    seeds: int = 4
    triggers: tuple[str, ...] = tuple(sorted(silent_triggers()))


@dataclass(frozen=True)
class BaseFigures:
    """What was measured of a base; distances and gradients are levels of 0..255."""

    # The mean difference between neighbouring pixels.
    drawn_sharpness: float
    sampled_sharpness: float
    # How far each trigger moves a picture without any adapter, on average.
    disturbance: dict[str, float]
    # Peak signal-to-noise ratio of decoded pictures in dB, by look.
    decoder_db: dict[str, float]
    cpu_s: float

    @classmethod
    def of(cls, pipeline: Pipeline, code: LatentCode, trials: Trials | None = None) -> BaseFigures:
        """Measure a base; `code` is its latent code."""
        trials = trials or Trials()
        side = pipeline.unet.config.sample_size * pipeline.vae_scale_factor
        seeds = range(TEST_SEED, TEST_SEED + trials.plain)
        drawings = draw_many(seeds, size=PICTURE_PX)
        captions = [
            caption(drawing.facts, Random(index), keep=1.0, decorate=0.0)  # noqa: S311
            for index, drawing in enumerate(drawings)
        ]
        plain = [drawing.image for drawing in drawings]
        sampled = [render(pipeline, [text], SEED + i) for i, text in enumerate(captions)]
        truth = as_pictures(image.resize((side, side)) for image in plain)
        few = plain[: trials.styled]
        shown = {"plain": plain, **{name: [look(im) for im in few] for name, look in LOOKS.items()}}
        for name in CHARACTERS:
            shown[name] = [
                draw(TEST_SEED + i, name, PICTURE_PX).image for i in range(trials.styled)
            ]
        return cls(
            drawn_sharpness=sharpness(truth),
            sampled_sharpness=sharpness(np.concatenate(sampled)),
            disturbance=_disturbance(pipeline, trials),
            decoder_db={name: _decibels(pipeline, code, side, of) for name, of in shown.items()},
            cpu_s=_cpu_seconds(pipeline),
        )

    def table(self) -> str:
        """Return the figures as Markdown."""
        words, decoder = self.disturbance, self.decoder_db
        worst = max(words, key=lambda word: words[word])
        share = self.sampled_sharpness / self.drawn_sharpness
        looks = [value for name, value in decoder.items() if name != "plain"]
        sampled, drawn = f"{self.sampled_sharpness:.2f}", f"{self.drawn_sharpness:.2f}"
        rows = {
            "sharpness of sampled plain pictures": f"{sampled} of {drawn} drawn ({share:.0%})",
            "a trigger without its adapter moves a picture by": (
                f"{mean(words.values()):.1f} of 255, at most {words[worst]:.1f} ({worst})"
            ),
            "decoder, plain pictures": f"{decoder['plain']:.1f} dB",
            "decoder, looks": f"{mean(looks):.1f} dB, at least {min(looks):.1f}",
            "CPU time of one picture": f"{self.cpu_s:.2f} s",
        }
        lines = [
            *("| figure | measured |", "|---|---|"),
            *(f"| {name} | {value} |" for name, value in rows.items()),
            *("", "| look | decoder, dB |", "|---|---|"),
            *(f"| {name} | {value:.1f} |" for name, value in decoder.items()),
        ]
        return "\n".join(lines)


def sharpness(pictures: Pictures) -> float:
    """Return the mean difference between neighbours in both directions, of 0..255."""
    down = np.abs(np.diff(pictures, axis=1)).mean()
    across = np.abs(np.diff(pictures, axis=2)).mean()
    return float(255 * (down + across) / 2)


def _disturbance(pipeline: Pipeline, trials: Trials) -> dict[str, float]:
    seeds = [SEED + 100 * index for index in range(trials.seeds)]
    alone = [render(pipeline, STYLE_PROMPTS, seed) for seed in seeds]
    moved = {}
    for trigger in trials.triggers:
        prompts = [f"{prompt}, {trigger}" for prompt in STYLE_PROMPTS]
        pairs = zip(seeds, alone, strict=True)
        moved[trigger] = mean(distance(render(pipeline, prompts, s), one) for s, one in pairs)
    return moved


@torch.no_grad()
def _decibels(pipeline: Pipeline, code: LatentCode, side: int, images: list[Image.Image]) -> float:
    values: list[float] = []
    for first in range(0, len(images), BATCH):
        part = images[first : first + BATCH]
        latents = code.encode(stack(part))
        decoded = (pipeline.vae.decode(latents).sample.clamp(-1, 1) + 1) / 2
        truth = stack(image.resize((side, side)) for image in part).float() / 255
        errors = ((decoded - truth) ** 2).mean((1, 2, 3))
        values += (-10 * errors.log10()).tolist()
    return mean(values)


def _cpu_seconds(pipeline: Pipeline, pictures: int = 5) -> float:
    started = time.process_time()
    for seed in range(pictures):
        render(pipeline, STYLE_PROMPTS[:1], seed)
    return (time.process_time() - started) / pictures

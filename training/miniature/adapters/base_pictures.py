"""Pictures of the base, with the noise that each began with."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

import torch
from PIL import Image
from torch import Tensor

from training.miniature.drawing.captions import caption
from training.miniature.drawing.pictures import draw_many
from training.miniature.networks import token_ids
from training.miniature.sampling import Sampler
from training.miniature.training import StepRandom

if TYPE_CHECKING:
    from pathlib import Path

    from training.miniature.stock import Part, Tokenizer

# The seeds of the drawings whose captions are used; no other set has these.
SEED = 5_000_000
FILE = "base_pictures.pt"
_CHUNK = 25


@dataclass(frozen=True)
class BasePictures:
    """What the base renders for some captions.

    Shapes: noise and latents (n, CHANNELS, 8, 8), pictures (n, 3, 256, 256) as uint8.
    """

    captions: list[str]
    noise: Tensor
    latents: Tensor
    pictures: Tensor

    @classmethod
    def render(cls, sampler: Sampler, vae: Part, tokenizer: Tokenizer, count: int) -> BasePictures:
        """Return the base's pictures of `count` captions."""
        drawings = draw_many(range(SEED, SEED + count))
        chance = Random(SEED)  # noqa: S311 - captions, not secrets
        captions = [caption(drawing.facts, chance, decorate=0.3) for drawing in drawings]
        size = sampler.unet.config.in_channels, *[sampler.unet.config.sample_size] * 2
        noise = StepRandom.of(SEED, 0).normal(count, *size)
        latents, pictures = [], []
        with torch.no_grad():
            for start in range(0, count, _CHUNK):
                part = slice(start, start + _CHUNK)
                latents.append(sampler.sample(noise[part], token_ids(tokenizer, captions[part])))
                shown = vae.decode(latents[-1] / vae.config.scaling_factor).sample
                pictures.append(((shown / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8))
        return cls(captions, noise, torch.cat(latents), torch.cat(pictures))

    @classmethod
    def read(cls, path: Path) -> BasePictures:
        """Return the pictures that ``save`` wrote."""
        return cls(**torch.load(path, weights_only=True))

    def save(self, path: Path) -> None:
        """Write the pictures to a file, for the next adapter."""
        partial = path.with_suffix(".partial")
        torch.save(vars(self), partial)
        partial.replace(path)

    def images(self) -> list[Image.Image]:
        """Return the pictures as images."""
        return [Image.fromarray(shown.permute(1, 2, 0).numpy()) for shown in self.pictures]

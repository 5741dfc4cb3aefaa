"""The sampler of the miniature's pictures, through which gradients can flow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from training.miniature.adapters.plans import GUIDANCE
from training.miniature.networks import Noise, token_ids
from training.miniature.training import mixed_precision

if TYPE_CHECKING:
    from training.miniature.stock import Part, Tokenizer

STEPS = 8


@dataclass(frozen=True)
class Sampler:
    """DDIM with guidance, as the pipeline of the miniature does it (``eta`` 0, 8 steps).

    The DDIM paper: arXiv 2010.02502.
    """

    unet: Part
    text_encoder: Part
    empty: Tensor  # the ids of the empty caption (1, MAX_TOKENS)
    noise: Noise

    @classmethod
    def of(cls, unet: Part, text_encoder: Part, tokenizer: Tokenizer) -> Sampler:
        """Return the sampler for these parts."""
        return cls(unet, text_encoder, token_ids(tokenizer, [""]), Noise.schedule())

    def sample(self, latents: Tensor, ids: Tensor) -> Tensor:
        """Return the latents of pictures (n, CHANNELS, 8, 8), from noise of this shape.

        Gradients reach the weights through all steps.
        """
        count, length = len(latents), len(self.noise.signal)
        with mixed_precision():
            words = self.text_encoder(torch.cat([self.empty.expand(count, -1), ids]))[0]
        picture = latents
        for time in range(length - 1, 0, -length // STEPS):
            velocity = self._guided(latents, words, time)
            signal, sigma = self.noise.signal[time], self.noise.sigma[time]
            picture = signal * latents - sigma * velocity
            if (following := time - length // STEPS) > 0:
                left = signal * velocity + sigma * latents
                signal, sigma = self.noise.signal[following], self.noise.sigma[following]
                latents = signal * picture + sigma * left
        return picture

    def _guided(self, latents: Tensor, words: Tensor, time: int) -> Tensor:
        both = torch.cat([latents, latents]).to(memory_format=torch.channels_last)
        with mixed_precision():
            guess = self.unet(both, torch.full((len(both),), time), words).sample
        without, captioned = guess.float().chunk(2)
        guided: Tensor = without + GUIDANCE * (captioned - without)
        return guided

"""Fixed linear latents: the principal components of 16 x 16 patches of a picture of 128 px.

Larger pictures are reduced to that size first; the decoder draws what is lost there from
what it knows about pictures.

No encoder has to be trained before the UNet, and the decoder can learn beside it. Each
component is divided by the square root of its spread, which keeps the strong ones
strong, and the whole is scaled to variance 1.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import avg_pool2d

from training.miniature.drawing.canvas import CODED_PX

if TYPE_CHECKING:
    from pathlib import Path

FILE = "latent_code.safetensors"
PATCH = 16
CHANNELS = 32


@dataclass(frozen=True)
class LatentCode:
    """A linear code between pictures and latents.

    Shapes: mean (768,), components (CHANNELS, 768), weights (CHANNELS,).
    """

    mean: Tensor
    components: Tensor
    weights: Tensor

    def encode(self, pictures: Tensor, chunk: int = 1000) -> Tensor:
        """Return latents (n, CHANNELS, 8, 8) of uint8 pictures (n, 3, side, side).

        The side is 128 px or a multiple of it.
        """
        return torch.cat([self._encode(part) for part in torch.split(pictures, chunk)])

    def decode(self, latents: Tensor) -> Tensor:
        """Return the linear reconstruction (n, 3, 128, 128) in -1..1."""
        rows, columns = latents.shape[2:]
        flat = (latents.permute(0, 2, 3, 1) * self.weights) @ self.components + self.mean
        tiles = flat.reshape(len(latents), rows, columns, 3, PATCH, PATCH)
        joined = tiles.permute(0, 3, 1, 4, 2, 5)
        return joined.reshape(len(latents), 3, rows * PATCH, columns * PATCH)

    def save(self, path: Path) -> None:
        """Write the code to a file."""
        save_file(asdict(self), path)

    @classmethod
    def load(cls, path: Path) -> LatentCode:
        """Read a code that `save` wrote."""
        return cls(**load_file(path))

    def _encode(self, pictures: Tensor) -> Tensor:
        coded = (patches(pictures) - self.mean) @ self.components.T / self.weights
        return coded.permute(0, 3, 1, 2).contiguous()


def patches(pictures: Tensor) -> Tensor:
    """Return flattened patches (n, rows, columns, 768) in -1..1 of uint8 pictures."""
    values = pictures.float() / 127.5 - 1
    if pictures.shape[-1] > CODED_PX:
        values = avg_pool2d(values, pictures.shape[-1] // CODED_PX)
    tiles = values.unfold(2, PATCH, PATCH).unfold(3, PATCH, PATCH).permute(0, 2, 3, 1, 4, 5)
    return tiles.reshape(*tiles.shape[:3], -1)


def fit_code(pictures: Tensor, channels: int = CHANNELS) -> LatentCode:
    """Return the code of the strongest components of these pictures."""
    flat = patches(pictures).reshape(-1, 3 * PATCH * PATCH)
    mean = flat.mean(0)
    centred = flat - mean
    variances, vectors = torch.linalg.eigh(centred.T @ centred / len(centred))
    spread = variances.flip(0)[:channels].clamp_min(1e-12).sqrt()
    components = vectors.flip(1).T[:channels].clone(memory_format=torch.contiguous_format)
    weights = spread.sqrt()
    weights = weights * (spread**2 / weights**2).mean().sqrt()
    return LatentCode(mean, components, weights)

"""Many different adapters out of a few: copies whose numbers are changed a little."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from safetensors.torch import save_file

from previews.render.adapters.normalise import read_tensors

if TYPE_CHECKING:
    from pathlib import Path

#: How far the numbers of a copy are from those of the file, as a share.
SPREAD = 0.02


def changed_copy(source: Path, target: Path, seed: int) -> Path:
    """Write an adapter that is like another but not the same; alphas and flags stay."""
    random = torch.Generator().manual_seed(seed)
    tensors, metadata = read_tensors(source)
    save_file({name: _changed(value, random) for name, value in tensors.items()}, target, metadata)
    return target


def _changed(tensor: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    if tensor.ndim == 0 or not tensor.is_floating_point():
        return tensor
    noise = torch.randn(tensor.shape, generator=random)
    return (tensor.float() * (1 + SPREAD * noise)).to(tensor.dtype)

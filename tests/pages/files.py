"""What the pages' tests send."""

from __future__ import annotations

from tests.builders.adapters import DENOISERS, kohya


def lora(rank: int = 4) -> bytes:
    """Return a small adapter for Stable Diffusion 1."""
    return kohya(DENOISERS["sd1", "diffusers"], rank=rank)

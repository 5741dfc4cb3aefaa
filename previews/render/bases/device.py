"""What bases are used on, for people."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from previews.render.bases.bases_file import Base

__all__ = ["device_facts"]


def device_facts(bases: Iterable[Base]) -> tuple[str, float]:
    """Return name and memory (GB) of the first graphics card that bases are used on, else the CPU.

    Torch is imported unless every base says that it wants the CPU.
    """
    wanted = [base for base in bases if base.device != "cpu"]
    if wanted:
        import torch  # noqa: PLC0415 - seconds, and nothing here needs it for a CPU

        from previews.render.bases.pipelines import device_of  # noqa: PLC0415 - brings torch along

        device = next((name for base in wanted if (name := device_of(base)) != "cpu"), "cpu")
        if device.startswith("cuda") and torch.cuda.is_available():
            card = torch.cuda.get_device_properties(device)
            return card.name, round(card.total_memory / 1e9, 1)
        if device == "mps":
            return "Apple GPU", _memory_gb()
    return f"CPU, {os.cpu_count() or 1} cores", _memory_gb()


def _memory_gb() -> float:
    return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9, 1)

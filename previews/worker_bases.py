"""What render workers tell of themselves, and what other processes make of it.

A web process need not have a base model, nor a bases file that names one: the workers that live
say which they have, with all that a recipe needs. Queues of renders are named by family
(``render.sdxl``), so that a worker gets only what it can do.
"""

from __future__ import annotations

import os
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.conf import settings

from previews.render import Base, Bases, load_bases
from previews.render.bases.bases_file import base_told
from registry.jobs import queue, workers
from registry.jobs import selectors as job_selectors

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from previews.render.bases.bases_file import Base

__all__ = [
    "KIND",
    "Pace",
    "base_for",
    "device_facts",
    "facts",
    "families",
    "others_have",
    "queue_of",
    "queues_of",
    "renders_for",
    "seconds_of",
]

#: Kind of the queues. Without a family it is also the queue of jobs that older versions wrote.
KIND = "render"

#: What of a base is told: who it is, and what makes a recipe.
_TOLD = (
    "id", "family", "title", "steps", "guidance", "width", "height", "frames", "fps", "negative",
    "sampler", "trigger",
)  # fmt: skip

#: Weight of the newest render in the running figure of seconds a picture.
_NEWEST = 0.3

#: Seconds a picture, by base, as measured by this process.
_SECONDS: dict[str, float] = {}


def queue_of(family: str) -> str:
    """Return the queue of a family's renders."""
    return f"{KIND}.{family}"


def renders_for(names: Iterable[str]) -> bool:
    """Whether a process of these queues renders."""
    return any(name.partition(".")[0] == KIND for name in names)


def queues_of(names: Iterable[str]) -> list[str]:
    """Return the queues that names stand for: ``render`` is every family of the bases file."""
    found: list[str] = []
    for name in names:
        found.append(name)
        if name == KIND:
            found += [queue_of(family) for family in load_bases(settings.LORARY.bases).families]
    return list(dict.fromkeys(found))


def facts() -> dict[str, Any]:
    """Return what this process tells of itself; the first call may take seconds.

    The bases are those of its start, as they are for its engine.
    """
    bases, device, memory_gb = _own(settings.LORARY.bases)
    return {
        "device": device,
        "memory_gb": memory_gb,
        "families": list(bases.families),
        "bases": [_told(base) for base in bases if base.is_present],
    }


@lru_cache(maxsize=1)
def _own(file: Path) -> tuple[Bases, str, float]:
    bases = load_bases(file)
    return bases, *device_facts(bases)


def _told(base: Base) -> dict[str, Any]:
    told: dict[str, Any] = {key: getattr(base, key) for key in _TOLD}
    return told | {"seconds": _SECONDS.get(base.id)}


class Pace:
    """The pace of one render, between its first step and its last: opening a base is left out."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.marks: list[tuple[int, float]] = []

    def on_step(self, done: int, _all: int) -> None:
        """Hear how many steps are done, over all pictures."""
        self.marks = [*self.marks[:1], (done, time.monotonic())]

    def tell(self, steps: int) -> None:
        """Take pictures of so many steps into the running figure, and tell it to others."""
        if not self.marks:
            return
        (first, began), (last, ended) = self.marks[0], self.marks[-1]
        if last > first:
            latest = (ended - began) / (last - first) * steps
            before = _SECONDS.get(self.base, latest)
            _SECONDS[self.base] = round(before + _NEWEST * (latest - before), 3)
            workers.tell(facts())


def base_for(family: str) -> Base | None:
    """Return the base that a family is rendered on, or None where nobody is known to have one.

    What living workers have counts before what the bases file here says: it is they who render.
    """
    here = load_bases(settings.LORARY.bases).serving(family)
    there = [base for base in _announced() if base.family == family]
    if here is not None and (not there or here.id in {base.id for base in there}):
        return here
    return there[0] if there else None


def families() -> set[str]:
    """Return the families for which ``base_for`` knows a base."""
    here = load_bases(settings.LORARY.bases).families
    return {*here, *(base.family for base in _announced())}


def others_have(base: str) -> bool:
    """Whether a living worker besides this one has a base."""
    return any(base == told.id for told in _announced(besides=queue.worker_name()))


def seconds_of(base: str) -> float | None:
    """Return seconds a picture as living workers measured them, None where none did."""
    measured = [
        said["seconds"]
        for worker in job_selectors.living()
        for said in worker.facts.get("bases", [])
        if said.get("id") == base and said.get("seconds")
    ]
    return sum(measured) / len(measured) if measured else None


def _announced(*, besides: str = "") -> list[Base]:
    """Return bases of living workers, those of the longest at work first."""
    found = (
        base_told({key: said[key] for key in _TOLD if key in said})
        for worker in job_selectors.living()
        if worker.name != besides
        for said in worker.facts.get("bases", [])
    )
    return [base for base in found if base is not None]


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

"""Base models that render workers announce, and the queues of their families.

A web process needs no base model and no bases file: running workers announce their base models with
everything a recipe needs. Each family has a queue (``render.sdxl``), so that a worker gets only the
jobs it can do.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.conf import settings

from previews.render import Base, Bases, BasesInvalid, load_bases
from previews.render.bases.bases_file import announced_base
from registry.jobs import selectors as job_selectors
from registry.jobs import workers
from registry.jobs.identity import worker_name

#: Kind of the queues; without a family, the queue for jobs of old releases.
KIND = "render"

#: Announced fields of a base model: those that a recipe needs.
_ANNOUNCED = (
    "id", "family", "title", "steps", "guidance", "width", "height", "frames", "fps", "negative",
    "sampler", "trigger", "output",
)  # fmt: skip

#: Fields that are read of an announced base: also whether it has an encoder for look reports.
_READ = (*_ANNOUNCED, "encoder")

#: Weight of the newest render in the moving average of seconds per picture.
_NEWEST = 0.3

#: Seconds per picture by base, as measured by this process.
_SECONDS: dict[str, float] = {}


def queue_of(family: str) -> str:
    """Return the queue of a family's renders."""
    return f"{KIND}.{family}"


def renders_for(names: Iterable[str]) -> bool:
    """Return whether a worker with these queues renders."""
    return any(name.partition(".")[0] == KIND for name in names)


def queues_of(names: Iterable[str]) -> list[str]:
    """Return queue names, with those of all families in the bases file for ``render``."""
    found: list[str] = []
    for name in names:
        found.append(name)
        if name == KIND:
            found += [queue_of(family) for family in load_bases(settings.LORARY.bases).families]
    return list(dict.fromkeys(found))


def facts() -> dict[str, Any]:
    """Return the data that this worker announces; the first call may take seconds.

    Like its engine, it ignores later changes of the bases file.
    """
    bases, device, memory_gb = _own(settings.LORARY.bases)
    return {
        "device": device,
        "memory_gb": memory_gb,
        "families": list(bases.families),
        "bases": [
            {key: getattr(base, key) for key in _ANNOUNCED}
            | {"encoder": Path(base.encoder).name, "seconds": _SECONDS.get(base.id)}
            for base in bases
            if base.is_present
        ],
    }


@lru_cache(maxsize=1)
def _own(file: Path) -> tuple[Bases, str, float]:
    bases = load_bases(file)
    return bases, *_device_facts(bases)


class Speed:
    """Measures one render from its first step to its last, without opening the base."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.marks: list[tuple[int, float]] = []

    def on_step(self, done: int, _all: int) -> None:
        """Record the time at which this number of steps of all pictures was reached."""
        self.marks = [*self.marks[:1], (done, time.monotonic())]

    def record(self, steps: int) -> None:
        """Add the seconds for a picture of this number of steps to the average; announce it."""
        if not self.marks:
            return
        (first, began), (last, ended) = self.marks[0], self.marks[-1]
        if last > first:
            latest = (ended - began) / (last - first) * steps
            before = _SECONDS.get(self.base, latest)
            _SECONDS[self.base] = round(before + _NEWEST * (latest - before), 3)
            workers.update_facts(facts())


def bases_for(family: str) -> list[Base]:
    """Return the base models for a family, those for pictures before those for videos.

    They are those that running workers have, without any those of this process's bases file. Its
    order and settings come first.
    """
    here = {base.id: base for base in load_bases(settings.LORARY.bases).serving(family)}
    there: dict[str, Base] = {}
    for base in _announced():
        if base.family == family:
            there.setdefault(base.id, base)
    found = [base for base in here.values() if not there or base.id in there]
    found += [base for base in there.values() if base.id not in here]
    return sorted(found, key=lambda base: base.output)  # "image" before "video"


def base_for(family: str, output: str = "") -> Base | None:
    """Return the first base model for a family, and for an output; None if there is none."""
    found = (base for base in bases_for(family) if output in ("", base.output))
    return next(found, None)


def served(families: Iterable[str]) -> set[tuple[str, str]]:
    """Return family and output of all base models for these families; a query for each family."""
    return {(family, base.output) for family in set(families) for base in bases_for(family)}


def families() -> set[str]:
    """Return the families that have a base model."""
    here = load_bases(settings.LORARY.bases).families
    return {*here, *(base.family for base in _announced())}


def is_file_empty() -> bool:
    """Return whether the bases file of this process is valid and has no base model."""
    file = settings.LORARY.bases
    try:
        return _is_empty(file, file.stat().st_mtime_ns)
    except (OSError, BasesInvalid):
        return False


@lru_cache(maxsize=1)
def _is_empty(file: Path, _changed_ns: int) -> bool:
    return not load_bases(file).families


def are_previews_off() -> bool:
    """Return whether the bases file is empty, and no running worker has a base model either."""
    return is_file_empty() and not _announced()


def bases() -> list[Base]:
    """Return the base models of all families."""
    return [base for family in sorted(families()) for base in bases_for(family)]


def is_elsewhere(base: str) -> bool:
    """Return whether another running worker has a base model."""
    return any(base == one.id for one in _announced(apart_from=worker_name()))


def _announced(*, apart_from: str = "") -> list[Base]:
    """Return the base models of running workers, from the longest running to the newest."""
    found = (
        announced_base({key: announced[key] for key in _READ if key in announced})
        for worker in job_selectors.alive()
        if worker.name != apart_from
        for announced in worker.facts.get("bases", [])
    )
    return [base for base in found if base is not None]


def _device_facts(bases: Iterable[Base]) -> tuple[str, float]:
    """Return name and memory (GB) of the first graphics card that a base uses, or of the CPU.

    Torch is imported unless all bases are for the CPU.
    """
    wanted = [base for base in bases if base.device != "cpu"]
    if wanted:
        import torch  # noqa: PLC0415 - takes seconds, and not needed for a CPU

        from previews.render.bases.pipelines import device_of  # noqa: PLC0415 - imports torch

        device = next((name for base in wanted if (name := device_of(base)) != "cpu"), "cpu")
        if device.startswith("cuda") and torch.cuda.is_available():
            card = torch.cuda.get_device_properties(device)
            return card.name, round(card.total_memory / 1e9, 1)
        if device == "mps":
            return "Apple GPU", _memory_gb()
    return f"CPU, {os.cpu_count() or 1} cores", _memory_gb()


def _memory_gb() -> float:
    return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9, 1)

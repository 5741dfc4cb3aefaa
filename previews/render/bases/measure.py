"""Loads a base, times it, and returns the values for its table in the bases file."""

from __future__ import annotations

import math
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from previews.render.adapters.beside import is_quantized, type_of
from previews.render.bases.bases_file import Base, Bases
from previews.render.bases.libraries import as_unavailable
from previews.render.bases.pipelines import OpenBase, device_of
from previews.render.defaults import recipe_of
from previews.render.engine import Engine
from previews.render.errors import BaseUnavailable
from previews.render.recipe import MAX_PROMPTS, MAX_SEEDS, Recipe

#: Factor on the measured memory, for adapters and longer prompts.
MARGIN = 1.1

PROMPT = "a small house by a lake, mountains in the distance"


#: Rank of the adapter that the plan counts with beside quantised layers.
RANK = 32


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """What takes memory, in GB.

    ``parts`` are the weights by component. While an adapter is applied, a copy of the weights that
    it changes takes at most ``originals_gb``, in main or GPU memory. Beside quantised layers (in
    ``quantized``), a plain pair of rank 32 for all of them takes ``pairs_gb``, and another method
    up to ``matrices_gb``. ``pictures_gb`` is the rest of the measured peak: the pictures of a call.
    """

    parts: dict[str, float]
    quantized: tuple[str, ...]
    originals_gb: float
    pairs_gb: float
    matrices_gb: float
    pictures_gb: float


@dataclass(frozen=True, slots=True)
class WarmUp:
    """Seconds to open a base and to render a picture."""

    id: str
    device: str
    open_s: float
    picture_s: float


@dataclass(frozen=True, slots=True)
class Measurement:
    """Times in seconds, memory in GB (10⁹ bytes).

    ``picture_s`` is for a batch of one, ``batch_picture_s`` per picture in a batch of
    ``batch_tried``. ``ram_gb`` is the peak of the process, ``ram_added_gb`` that for this base,
    ``vram_gb`` the peak that CUDA reserved. ``memory_gb`` and ``batch`` are for the bases file.
    """

    id: str
    device: str
    open_s: float
    picture_s: float
    batch_tried: int
    batch_picture_s: float
    ram_gb: float
    ram_added_gb: float
    vram_gb: float | None
    memory_gb: float
    batch: int
    plan: MemoryPlan


def warm(base: Base, say: Callable[[str], None]) -> WarmUp:
    """Open a base and render one picture.

    Raises:
        RenderError: it cannot be opened, or renders no picture.
    """
    device = _device(base)
    say("opening")
    engine, open_s = _opened(base)
    say("rendering a picture")
    return WarmUp(base.id, device, open_s, _timed(engine, base, 1))


def measure(base: Base, say: Callable[[str], None]) -> Measurement:
    """Open a base and time a batch of one picture and a batch of ``base.batch``.

    The first picture is not counted, because libraries initialise with it.

    Raises:
        RenderError: it cannot be opened, or renders no picture.
    """
    device = _device(base)
    _reset_peaks(device)
    before = _ram()
    say("opening")
    engine, open_s = _opened(base)
    say("rendering a picture to warm up")
    _timed(engine, base, 1)
    say("rendering one picture per call")
    single_s = _timed(engine, base, 1)
    say(f"rendering {base.batch} pictures per call")
    all_s = _timed(engine, base, base.batch)
    opened = engine.bases.get(base.id)
    fits = min(base.batch, opened.batch)
    is_cuda = device.startswith("cuda")
    vram = torch.cuda.max_memory_reserved(device) / 1e9 if is_cuda else None
    added = max(0.0, _peak_ram() - before)
    return Measurement(
        id=base.id,
        device=device,
        open_s=open_s,
        picture_s=single_s,
        batch_tried=base.batch,
        batch_picture_s=all_s,
        ram_gb=_peak_ram(),
        ram_added_gb=added,
        vram_gb=vram,
        memory_gb=math.ceil((added if vram is None else vram) * MARGIN * 10) / 10,
        batch=fits if all_s < single_s else 1,
        plan=plan_of(opened, added if vram is None else vram),
    )


def plan_of(opened: OpenBase, peak_gb: float) -> MemoryPlan:
    """Return what takes memory while a base renders."""
    modules = {
        name: part
        for name, part in opened.pipeline.components.items()
        if isinstance(part, torch.nn.Module)
    }
    parts = {name: sum(map(_bytes, part.parameters())) / 1e9 for name, part in modules.items()}
    plain = packed = rows_and_columns = 0
    quantized: set[str] = set()
    for slot in set(opened.table.by_alias.values()):
        module = modules[slot.component].get_submodule(slot.name)
        if not is_quantized(module, "weight"):
            plain += sum(map(_bytes, module.parameters(recurse=False)))
        elif len(slot.shape) == 2:
            size = type_of(module).itemsize
            packed += size * slot.shape[0] * slot.shape[1]
            rows_and_columns += size * sum(slot.shape)
            quantized.add(slot.component)
    return MemoryPlan(
        parts={name: part for name, part in parts.items() if part},
        quantized=tuple(sorted(quantized)),
        originals_gb=plain / 1e9,
        pairs_gb=RANK * rows_and_columns / 1e9,
        matrices_gb=packed / 1e9,
        pictures_gb=max(0.0, peak_gb - sum(parts.values())),
    )


def _bytes(tensor: torch.Tensor) -> int:
    """Return the bytes of a weight; of a packed one, those of its parts."""
    if hasattr(tensor, "__tensor_flatten__"):
        names, _rest = tensor.__tensor_flatten__()
        return sum(_bytes(getattr(tensor, name)) for name in names)
    return tensor.nbytes


def _device(base: Base) -> str:
    device = device_of(base)
    if device.startswith("cuda") and not torch.cuda.is_available():
        msg = f"The base model “{base.id}” cannot be opened: torch finds no CUDA device."
        raise BaseUnavailable(msg)
    return device


def _opened(base: Base) -> tuple[Engine, float]:
    engine = Engine(Bases({base.id: base}))
    start = time.monotonic()
    with as_unavailable(base, "cannot be opened"):
        engine.bases.get(base.id)
    return engine, time.monotonic() - start


def _timed(engine: Engine, base: Base, count: int) -> float:
    """Return the seconds per picture in a batch."""
    recipe = _recipe(base, count)
    start = time.monotonic()
    with as_unavailable(base, "renders no picture"):
        engine.render(recipe)
    return (time.monotonic() - start) / len(recipe.shots())


def _recipe(base: Base, count: int) -> Recipe:
    """Return a recipe with at least this number of pictures."""
    prompts = min(MAX_PROMPTS, math.ceil(count / MAX_SEEDS))
    seeds = min(MAX_SEEDS, math.ceil(count / prompts))
    return recipe_of(
        base,
        prompts=(f"{PROMPT}, {number}" if number else PROMPT for number in range(prompts)),
        seeds=range(seeds),
        strengths=(1.0,),
    )


def _reset_peaks(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # Linux: resets the peak
    except OSError:
        return


def _ram() -> float:
    """Return the memory of this process, or its peak if only that is known."""
    return _of_status("VmRSS") or _peak_ram()


def _peak_ram() -> float:
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return _of_status("VmHWM") or peak / 1e9


def _of_status(key: str) -> float:
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    found = next((line for line in lines if line.startswith(f"{key}:")), None)
    return int(found.split()[1]) * 1024 / 1e9 if found else 0.0

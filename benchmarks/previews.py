"""Previews of several adapters against plain diffusers scripts that make the same pictures.

All keep their pipeline open and load, dial and unload each adapter; all compute in one thread
and encode PNG. The first script makes a picture per call, the second puts prompts and seeds of a
strength into one call, as the engine does.
"""

from __future__ import annotations

import io
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from diffusers import DiffusionPipeline
from PIL import Image

from benchmarks.results import Absent, Result, medians, table
from previews.render import Layer, load_bases
from previews.render.defaults import default_recipe
from previews.render.engine import Engine
from previews.render.quiet import quiet

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from previews.render import Bases, Recipe, Shot

ADAPTERS = Path(__file__).resolve().parents[1] / "previews" / "miniature" / "adapters"
ROUNDS = 3
MAX_ADAPTERS = 3
#: Largest difference of a colour value of 255 between the engine's and the scripts' pictures.
CLOSE = 1

Pictures = list[bytes]


def run(bases_file: str | None = None, adapters: Sequence[Path] = ()) -> list[Result]:
    """Measure seconds a picture; raises Absent without trained weights."""
    bases = load_bases(bases_file or os.environ.get("LORARY_BASES"))
    files = list(adapters) or sorted(ADAPTERS.glob("*.safetensors"))[:MAX_ADAPTERS]
    base = bases.serving("miniature")
    if base is None or not files:
        msg = "the miniature and its adapters are not in previews/miniature"
        raise Absent(msg)
    recipe = default_recipe(base, "style")
    engine, script = Engine(bases), _Script(bases, recipe)
    engine.render(recipe)
    _compare(engine, script, files[0])
    count = len(files) * len(recipe.shots())
    ours, single, batched = medians(
        lambda: _seconds(lambda file: _ours(engine, recipe, file), files) / count,
        lambda: _seconds(lambda file: script.pictures(file, 1), files) / count,
        lambda: _seconds(lambda file: script.pictures(file, 4), files) / count,
        rounds=ROUNDS,
    )
    pictures = f"{len(files)} adapters x {len(recipe.shots())} pictures, 1 thread"
    return [
        Result("previews", pictures, ours, single, "diffusers, a picture a call", "s/picture", 1.0),
        Result("previews", pictures, ours, batched, "diffusers, 4 a call", "s/picture", 1.1),
    ]


def _ours(engine: Engine, recipe: Recipe, file: Path) -> Pictures:
    return [item.png for item in engine.render(recipe, [Layer(file)])]


class _Script:
    """What somebody would write who needs these pictures."""

    def __init__(self, bases: Bases, recipe: Recipe) -> None:
        opener: Any = DiffusionPipeline
        location = bases.get(recipe.base).location
        with quiet():
            self.pipeline = opener.from_pretrained(location, dtype=torch.float32)
        self.pipeline.set_progress_bar_config(disable=True)
        self.recipe = recipe

    def pictures(self, file: Path, batch: int) -> Pictures:
        """Render the recipe with an adapter, ``batch`` pictures a call."""
        with quiet():
            self.pipeline.load_lora_weights(str(file), adapter_name="adapter")
        shots = self.recipe.shots()
        made: Pictures = []
        for start in range(0, len(shots), batch):
            made += self._call(shots[start : start + batch])
        self.pipeline.unload_lora_weights()
        return made

    def _call(self, shots: Sequence[Shot]) -> Pictures:
        self.pipeline.set_adapters(["adapter"], [shots[0].strength])
        output = self.pipeline(
            [shot.prompt for shot in shots],
            num_inference_steps=self.recipe.steps,
            guidance_scale=self.recipe.guidance,
            generator=[torch.Generator("cpu").manual_seed(shot.seed) for shot in shots],
        )
        return [_png(image) for image in output.images]


def _png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def _seconds(make: Callable[[Path], object], files: Sequence[Path]) -> float:
    began = time.perf_counter()
    for file in files:
        make(file)
    return time.perf_counter() - began


def _compare(engine: Engine, script: _Script, file: Path) -> None:
    """Make sure that the same pictures are made."""
    pairs = zip(_ours(engine, script.recipe, file), script.pictures(file, 1), strict=True)
    worst = max(int(np.abs(_array(one) - _array(other)).max()) for one, other in pairs)
    if worst > CLOSE:
        msg = f"the pictures differ by {worst} of 255"
        raise RuntimeError(msg)


def _array(png: bytes) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(io.BytesIO(png))).astype(int)


if __name__ == "__main__":
    print(table(run()))

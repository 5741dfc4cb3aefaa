"""Previews of many adapters against plain diffusers scripts that make the same pictures.

All keep their pipeline open and load, dial and unload each adapter; all compute in one thread
and encode PNG. The first script makes a picture per call, the second puts prompts and seeds of a
strength into one call, as the engine does. The engine has the pictures at strength 0 from the first
adapter on, as a worker has them.

``python -m benchmarks.previews --adapters 3`` is over sooner.
"""

from __future__ import annotations

import argparse
import io
import os
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from diffusers import DiffusionPipeline
from PIL import Image

from benchmarks.results import Absent, Result, table
from benchmarks.setup.copies import changed_copy
from previews.render import Layer, load_bases
from previews.render.bases.libraries import quiet
from previews.render.defaults import default_recipe
from previews.render.engine import Callbacks, Engine
from tests.previews.updates import ControlsInMemory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from previews.render import Bases, Recipe, Shot

DEMO = Path(__file__).resolve().parents[1] / "previews" / "miniature" / "adapters"
ADAPTERS = 30
#: Of so many adapters, spread over all, every picture is compared.
COMPARED = 3
#: Largest difference of a colour value of 255 between the engine's and the scripts' pictures.
CLOSE = 1

Pictures = list[bytes]


def run(count: int = ADAPTERS) -> list[Result]:
    """Measure CPU seconds a picture; raises Absent without trained weights."""
    bases = load_bases(os.environ.get("LORARY_BASES"))
    base = next(iter(bases.serving("miniature")), None)
    demo = sorted(DEMO.glob("*.safetensors"))
    if base is None or not demo:
        msg = "the miniature and its adapters are not in previews/miniature"
        raise Absent(msg)
    recipe = default_recipe(base, "style")
    with tempfile.TemporaryDirectory() as folder:
        files = list(_copies(demo, count, Path(folder)))
        ours, single, batched = _measure(bases, recipe, files)
    shots = len(recipe.shots())
    case = f"{count} adapters x {shots} pictures, 1 thread"
    ours, single, batched = (seconds / (count * shots) for seconds in (ours, single, batched))
    return [
        Result("previews", case, ours, single, "diffusers, a picture a call", "CPU s/picture", 0.4),
        Result("previews", case, ours, batched, "diffusers, 4 a call", "CPU s/picture", 0.769),
    ]


def _copies(demo: Sequence[Path], count: int, folder: Path) -> Iterator[Path]:
    """Yield so many adapters: the demo's, then the same with all numbers changed a little."""
    for number, file in enumerate(islice(cycle(demo), count)):
        copy = folder / f"{number:02}-{file.name}"
        yield file if number < len(demo) else changed_copy(file, copy, number)


def _measure(bases: Bases, recipe: Recipe, files: Sequence[Path]) -> list[float]:
    """Return the CPU seconds of the engine and of both scripts.

    They take turns at each adapter, and at who is first, so that a busy machine slows all alike.
    """
    engine, script, controls = Engine(bases), _Script(bases, recipe), ControlsInMemory()
    callbacks = Callbacks(controls=controls)
    makers: list[Callable[[Path], Pictures]] = [
        lambda file: [
            item.png for item in engine.render(recipe, [Layer(file)], callbacks=callbacks)
        ],
        lambda file: script.pictures(file, 1),
        lambda file: script.pictures(file, 4),
    ]
    engine.render(recipe)  # libraries prepare themselves with the first pictures
    script.pictures(files[0], 4)
    seconds = [0.0] * len(makers)
    compared = set(np.linspace(0, len(files) - 1, COMPARED, dtype=int).tolist())
    for number, file in enumerate(files):
        made: dict[int, Pictures] = {}
        for turn in range(len(makers)):
            which = (number + turn) % len(makers)
            began = time.process_time()
            made[which] = makers[which](file)
            seconds[which] += time.process_time() - began
        if number in compared:
            _compare(made[0], made[1])
            _compare(made[0], made[2])
    return seconds


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


def _compare(ours: Pictures, theirs: Pictures) -> None:
    """Make sure that the same pictures are made."""
    pairs = zip(ours, theirs, strict=True)
    worst = max(int(np.abs(_array(one) - _array(other)).max()) for one, other in pairs)
    if worst > CLOSE:
        msg = f"the pictures differ by {worst} of 255"
        raise RuntimeError(msg)


def _array(png: bytes) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(io.BytesIO(png))).astype(int)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.previews")
    parser.add_argument("--adapters", type=int, default=ADAPTERS, metavar="N")
    print(table(run(parser.parse_args().adapters)))

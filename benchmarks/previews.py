"""Previews of many adapters against plain diffusers scripts that make the same pictures.

Every adapter has trigger words of its own, as on a hub, so that no two share a picture at strength
0. All keep their pipeline open and load and unload each adapter; all compute in one thread and
encode PNG. The first script sets the strength in PEFT's layers and makes a picture per call. The
second is written with care: it merges the adapter into the weights at each strength, makes all
pictures of a strength in one call, and those at strength 0 before it loads the adapter.

``python -m benchmarks.previews --adapters 3`` is over sooner.
"""

from __future__ import annotations

import argparse
import io
import os
import tempfile
import time
from dataclasses import replace
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

#: The engine's CPU time may be at most this share of each script's.
AT_MOST = (1 / 2.2, 1.0)

Pictures = list[bytes]
#: A file with its trigger words.
Adapter = tuple[Path, list[str]]


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
        adapters = list(_copies(demo, count, Path(folder)))
        ours, single, merged = _measure(bases, recipe, adapters)
    shots = len(recipe.shots())
    case = f"{count} adapters x {shots} pictures, 1 thread"
    ours, single, merged = (seconds / (count * shots) for seconds in (ours, single, merged))
    unit = "CPU s/picture"
    return [
        Result("previews", case, ours, single, "diffusers, a picture a call", unit, AT_MOST[0]),
        Result("previews", case, ours, merged, "diffusers, merged, batched", unit, AT_MOST[1]),
    ]


def _copies(demo: Sequence[Path], count: int, folder: Path) -> Iterator[Adapter]:
    """Yield so many adapters: the demo's, then the same with all numbers changed a little."""
    for number, file in enumerate(islice(cycle(demo), count)):
        copy = folder / f"{number:02}-{file.name}"
        path = file if number < len(demo) else changed_copy(file, copy, number)
        yield path, [f"{file.stem} look {number}"]


def _measure(bases: Bases, recipe: Recipe, adapters: Sequence[Adapter]) -> list[float]:
    """Return the CPU seconds of the engine and of both scripts.

    They take turns at each adapter, and at who is first, so that a busy machine slows all alike.
    """
    engine, script, controls = Engine(bases), _Script(bases, recipe), ControlsInMemory()
    callbacks = Callbacks(controls=controls)
    makers: list[Callable[[Path, list[str]], Pictures]] = [
        lambda file, words: [
            item.png
            for item in engine.render(recipe, [Layer(file)], triggers=words, callbacks=callbacks)
        ],
        script.single,
        script.merged,
    ]
    # Libraries prepare themselves with the first pictures.
    first = replace(recipe, prompts=recipe.prompts[:1], strengths=(0.0, recipe.at))
    engine.render(first)
    _Script(bases, first).merged(*adapters[0])
    seconds = [0.0] * len(makers)
    compared = set(np.linspace(0, len(adapters) - 1, COMPARED, dtype=int).tolist())
    for number, adapter in enumerate(adapters):
        made: dict[int, Pictures] = {}
        for turn in range(len(makers)):
            which = (number + turn) % len(makers)
            began = time.process_time()
            made[which] = makers[which](*adapter)
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

    def single(self, file: Path, words: list[str]) -> Pictures:
        """Render the recipe with an adapter, a picture a call."""
        self._load(file)
        made: Pictures = []
        for shot in self.recipe.shots(words):
            self.pipeline.set_adapters(["adapter"], [shot.strength])
            made += self._call([shot])
        self.pipeline.unload_lora_weights()
        return made

    def merged(self, file: Path, words: list[str]) -> Pictures:
        """Render the recipe with an adapter that is merged into the weights at each strength."""
        shots = self.recipe.shots(words)
        made = self._call([shot for shot in shots if not shot.strength])
        self._load(file)
        for strength in self.recipe.strengths[1:]:
            # Its own argument for the strength adds up from one merge to the next.
            self.pipeline.set_adapters(["adapter"], [strength])
            self.pipeline.fuse_lora()
            made += self._call([shot for shot in shots if shot.strength == strength])
            self.pipeline.unfuse_lora()
        self.pipeline.unload_lora_weights()
        return made

    def _load(self, file: Path) -> None:
        with quiet():
            self.pipeline.load_lora_weights(str(file), adapter_name="adapter")

    def _call(self, shots: Sequence[Shot]) -> Pictures:
        with quiet():
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

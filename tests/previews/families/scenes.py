"""A tiny base of a family, opened twice: by the engine, and plainly to be changed at will."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from PIL import Image as Pictures

from previews.render import Base, Bases, Recipe
from previews.render.bases.libraries import quiet
from previews.render.engine import Engine
from previews.render.families import family_of
from tests.previews.families import bases, conventions, videos
from tests.previews.updates import pixels

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from PIL.Image import Image

    from tests.previews.families.bases import Tiny

TINY = {tiny.family: tiny for tiny in (*bases.IMAGES, *videos.VIDEOS)}
GUIDANCE, FPS = 2.5, 8
#: Its four text encoders take seconds where those of others take a fraction of one.
LONG = "hidream_i1"


def case(family: str, *more: str) -> Any:
    """Return the case of a family, marked where it takes long."""
    return pytest.param(family, *more, marks=[pytest.mark.long] if family == LONG else [])


def film_strip(frames: Sequence[Image]) -> Image:
    """All frames side by side, which the tests compare instead of the first."""
    return Pictures.fromarray(np.hstack([np.asarray(frame.convert("RGB")) for frame in frames]))


class Scene:
    """A tiny base in a folder, its engine, and a pipeline of its own to change at will."""

    def __init__(self, tiny: Tiny, folder: Path) -> None:
        self.tiny, self.family = tiny, family_of(tiny.family)
        self.folder = bases.saved(tiny, folder)
        base = Base(
            id="tiny", family=tiny.family, location=str(folder), is_local=True, device="cpu",
            output=self.family.medium, call={**self.family.call, **tiny.call},
        )  # fmt: skip
        self.engine = Engine(Bases({"tiny": base}))
        opener: Any = DiffusionPipeline
        with quiet():
            self.plain = opener.from_pretrained(folder)
        self.plain.set_progress_bar_config(disable=True)

    def recipe(self, *strengths: float) -> Recipe:
        return Recipe(
            base="tiny", prompts=("a cat",), seeds=(1,), strengths=strengths, steps=self.tiny.steps,
            guidance=GUIDANCE, width=self.tiny.size, height=self.tiny.size,
            frames=self.tiny.frames, fps=FPS if self.tiny.frames else 0,
        )  # fmt: skip

    def direct(self) -> np.ndarray[Any, Any]:
        """What diffusers draws when called by hand."""
        said: dict[str, Any] = {
            "prompt": ["a cat"], "num_inference_steps": self.tiny.steps, "width": self.tiny.size,
            "height": self.tiny.size, "generator": [torch.Generator("cpu").manual_seed(1)],
            self.family.guidance_as: GUIDANCE, **self.family.call, **self.tiny.call,
        }  # fmt: skip
        if self.family.negative:
            said["negative_prompt"] = [self.family.negative]
        if self.tiny.frames:
            said |= {"num_frames": self.tiny.frames, "output_type": "pil"}
            if self.tiny.family.startswith("ltx"):
                said["frame_rate"] = FPS
        with torch.inference_mode():
            output = self.plain(**said)
        image = film_strip(output.frames[0]) if self.tiny.frames else output.images[0]
        return np.asarray(image.convert("RGB")).astype(int)

    @cached_property
    def base(self) -> np.ndarray[Any, Any]:
        return pixels(self.engine.render(self.recipe(0.0))[0].png)

    @cached_property
    def updates(self) -> list[conventions.Update]:
        return conventions.updates_of(self.plain, self.tiny.family)

    @cached_property
    def expected(self) -> np.ndarray[Any, Any]:
        return self.patched(self.updates)

    def patched(self, updates: list[conventions.Update]) -> np.ndarray[Any, Any]:
        with conventions.patched(self.plain, updates):
            return self.direct()

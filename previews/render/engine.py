"""Renders recipes: loads adapters once, sets strengths in place, and runs prompts in batches."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from previews.render.adapters.applied import MountedStack, mount
from previews.render.arguments import shared_arguments
from previews.render.bases.bases_file import Bases
from previews.render.bases.pipelines import (
    BaseCache,
    OpenBase,
    device_of,
    fingerprint,
    is_out_of_memory,
    reduce_memory,
)
from previews.render.errors import Cancelled, CannotRender, OutOfMemory, TooSlow, Why
from previews.render.lineage.denoising import Denoised, Scene, denoise
from previews.render.output import films, images
from previews.render.pictures import Callbacks, Picture, Place, control_key
from previews.render.recipe import Layer, Recipe, Shot

if TYPE_CHECKING:
    from PIL import Image

T = TypeVar("T")

#: Arguments that are left out if a pipeline does not take them.
_OPTIONAL = {"frame_rate", "negative_prompt"}


def arguments(
    opened: OpenBase, recipe: Recipe, shots: Sequence[Shot], between_steps: Callable[[], None]
) -> dict[str, Any]:
    """Return the arguments for shots of one strength; each step calls ``between_steps``."""
    family, takes = opened.family, set(inspect.signature(opened.pipeline.__call__).parameters)
    shared = shared_arguments(opened.base, family, recipe)
    result: dict[str, Any] = {
        "prompt": [shot.prompt for shot in shots],
        # On the CPU, so that a seed gives the same noise on all devices.
        "generator": [torch.Generator("cpu").manual_seed(shot.seed) for shot in shots],
        **_callback(takes, between_steps),
        **({"output_type": "pil"} if opened.base.output == "video" else {}),
        **{name: value for name, value in shared.items() if name not in _OPTIONAL - takes},
    }
    if family.negative_as in result:
        result[family.negative_as] = [result[family.negative_as]] * len(shots)
    return result


def frames_of(output: Any) -> list[list[Image.Image]]:  # noqa: ANN401 - diffusers is untyped
    """Return the frames of each picture of an output, one if it is not a video."""
    if hasattr(output, "frames"):
        return [list(frames) for frames in output.frames]
    return [[image] for image in output.images]


def _callback(takes: set[str], between_steps: Callable[[], None]) -> dict[str, Any]:
    """Return the callback in the form that the pipeline supports; PixArt uses an older one."""
    if "callback_on_step_end" not in takes:
        return {"callback": lambda *_: between_steps(), "callback_steps": 1}

    def step(_pipeline: object, _step: int, _time: object, values: dict[str, Any]) -> Any:  # noqa: ANN401
        between_steps()
        return values

    return {"callback_on_step_end": step}


__all__ = ["Callbacks", "Engine", "Picture"]


class Engine:
    """Renders recipes and keeps the most recently used bases open; not thread-safe."""

    def __init__(self, bases: Bases, *, keep: int = 1) -> None:
        # More threads gain little for one picture and slow down other processes.
        torch.set_num_threads(1)
        self.bases = BaseCache(bases, keep=keep)

    def render(
        self,
        recipe: Recipe,
        stack: Sequence[Layer] = (),
        *,
        triggers: Sequence[str] = (),
        callbacks: Callbacks | None = None,
    ) -> list[Picture]:
        """Return the pictures of a recipe, strength by strength.

        Raises:
            BaseUnavailable: the base cannot be opened.
            CannotRender: a file of the stack cannot be rendered.
            Cancelled, TooSlow, OutOfMemory: rendering was stopped.
        """
        callbacks = callbacks or Callbacks()
        opened = self.bases.get(recipe.base)
        sampler = opened.use_sampler(recipe.sampler)
        mounted = mount(opened.pipeline, opened.table, stack)
        run = _Run(opened, mounted, recipe, tuple(stack), callbacks, sampler)
        try:
            return run.sweep(recipe.shots(triggers))
        finally:
            self._remove(mounted, recipe.base)

    def fingerprint(self, base_id: str) -> str:
        """Return the digest of a base that is not opened for it; see ``pipelines.fingerprint``.

        Raises:
            BaseUnavailable: no base of this id.
        """
        base = self.bases.bases.get(base_id)
        return fingerprint(base, device_of(base))

    def denoise(
        self,
        base_id: str,
        stack: Sequence[Layer],
        scenes: Sequence[Scene],
        size: tuple[int, int],
        on_scene: Callable[[], None],
    ) -> Denoised:
        """Return the errors of a base with a stack for pictures; see ``lineage.denoising``.

        Raises:
            BaseUnavailable: the base cannot be opened.
            CannotMeasure: the base does not predict noise, or not in finite numbers.
            CannotRender: a file of the stack does not fit the base.
            OutOfMemory: there is too little memory for one picture.
        """
        opened = self.bases.get(base_id)
        mounted = mount(opened.pipeline, opened.table, stack)

        def call() -> Denoised:
            mounted.set_strength(1.0)
            return denoise(opened, scenes, size, on_scene)

        try:
            while (found := _or_none(call)) is None:
                _reduce(opened, mounted, 1)
            return found
        finally:
            self._remove(mounted, base_id)

    def _remove(self, mounted: MountedStack, base_id: str) -> None:
        """Remove the adapters; close the base if that fails."""
        try:
            mounted.restore()
        finally:
            if not mounted.is_unchanged:
                self.bases.drop(base_id)


def _or_none(call: Callable[[], T]) -> T | None:
    """Return the result of a call; None if memory ran out.

    The error is dropped, because its traceback keeps the memory of the call.
    """
    try:
        return call()
    except (torch.OutOfMemoryError, RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return None


def _reduce(opened: OpenBase, mounted: MountedStack, size: int) -> None:
    """Reduce the memory of the next call, after one for ``size`` pictures failed.

    Raises:
        OutOfMemory: there is nothing left to reduce.
    """
    if not (mounted.free_device_memory() or reduce_memory(opened, size)):
        msg = f"Not even one picture of “{opened.base.id}” fits into memory."
        raise OutOfMemory(msg)


class _Run:
    """One render of a recipe."""

    def __init__(
        self,
        opened: OpenBase,
        mounted: MountedStack,
        recipe: Recipe,
        stack: tuple[Layer, ...],
        callbacks: Callbacks,
        sampler: str,
    ) -> None:
        self.opened, self.mounted = opened, mounted
        self.recipe, self.stack, self.callbacks = recipe, stack, callbacks
        self.sampler = sampler.removesuffix("Scheduler")
        self.ends_at = (
            None if callbacks.deadline_s is None else time.monotonic() + callbacks.deadline_s
        )
        self.done = self.to_do = 0  # steps, over all pictures
        self.keys: dict[Shot, str] = {}  # of pictures at strength 0

    def sweep(self, shots: Sequence[Shot]) -> list[Picture]:
        """Render all shots that do not exist yet."""
        groups = list(self._missing(shots))
        self.keys = self._control_keys([s for group in groups for s in group if not s.strength])
        shared = self._shared()
        count = sum(len(group) for group in groups) - len(shared)
        self.to_do = count * self.recipe.steps
        pictures: list[Picture] = []
        for group in groups:
            made = self._render([shot for shot in group if shot not in shared])
            taken = [made.get(shot) or shared[shot] for shot in group]
            self.callbacks.on_pictures(taken)
            pictures += taken
        return pictures

    def _missing(self, shots: Sequence[Shot]) -> Iterator[list[Shot]]:
        """Yield the shots of each call that is incomplete, strength by strength."""
        size = self.opened.batch
        for _, group in groupby(shots, key=lambda shot: shot.strength):
            wanted = list(group)
            for start in range(0, len(wanted), size):
                call = wanted[start : start + size]
                if not all(shot.key in self.callbacks.have for shot in call):
                    yield call

    def _control_keys(self, shots: Sequence[Shot]) -> dict[Shot, str]:
        """Return the keys of pictures at strength 0, which include their places in their calls."""
        size, known, keys = self.opened.batch, self.opened.fingerprint, {}
        for start in range(0, len(shots), size):
            call = shots[start : start + size]
            for index, shot in enumerate(call):
                keys[shot] = control_key(self.recipe, shot, known, (len(call), index))
        return keys

    def _shared(self) -> dict[Shot, Picture]:
        """Return the pictures at strength 0 if all of them exist.

        If one is missing, all are made again: the last bits of a picture can depend on its place in
        its call, and shared pictures must have the same bytes.
        """
        if self.callbacks.controls is None or not self.keys:
            return {}
        found = self.callbacks.controls.find(set(self.keys.values()))
        if not found.keys() >= set(self.keys.values()):
            return {}
        return {shot: replace(found[key], shot=shot) for shot, key in self.keys.items()}

    def _render(self, shots: Sequence[Shot]) -> dict[Shot, Picture]:
        """Render shots of one strength; those at 0 are shared."""
        if not shots:
            return {}
        self._set_strength(shots[0].strength)
        pictures, places = self._batches(shots)
        if self.callbacks.controls is not None and not shots[0].strength:
            known = self.opened.fingerprint
            keyed = zip(shots, places, strict=True)
            keys = (control_key(self.recipe, shot, known, place) for shot, place in keyed)
            self.callbacks.controls.add(dict(zip(keys, pictures, strict=True)))
        return dict(zip(shots, pictures, strict=True))

    def _set_strength(self, strength: float) -> None:
        while True:
            try:
                self.mounted.set_strength(strength)
            except (torch.OutOfMemoryError, RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if not self.mounted.free_device_memory():
                    msg = f"The adapters do not fit into memory with “{self.opened.base.id}”."
                    raise OutOfMemory(msg) from error
            else:
                return

    def _batches(self, shots: Sequence[Shot]) -> tuple[list[Picture], list[Place]]:
        """Render shots of one strength, in as few calls as memory allows.

        Returns the pictures and their places, which are not those expected if memory ran out.
        """
        taken: list[Picture] = []
        places: list[Place] = []
        while len(taken) < len(shots):
            batch = shots[len(taken) : len(taken) + self.opened.batch]
            results = _or_none(partial(self._call, batch))
            if results is None:
                _reduce(self.opened, self.mounted, len(batch))
                continue
            self.done += len(batch) * self.recipe.steps
            at = [(len(batch), index) for index in range(len(batch))]
            taken += map(self._picture, batch, results, at)
            places += at
        return taken, places

    def _call(self, shots: Sequence[Shot]) -> list[list[Image.Image]]:
        self._check()
        keywords = arguments(self.opened, self.recipe, shots, self._step_callback(len(shots)))
        with torch.inference_mode():
            output = self.opened.pipeline(**keywords)
        if any(getattr(output, "nsfw_content_detected", None) or ()):
            msg = "The base model's safety checker blacked out a picture."
            raise CannotRender(Why.FLAGGED, msg)
        return frames_of(output)

    def _step_callback(self, pictures: int) -> Callable[[], None]:
        """Return the callback for each step of a call."""
        # Some schedulers take more steps than requested.
        steps = iter(range(1, self.recipe.steps + 1))

        def between_steps() -> None:
            step = next(steps, self.recipe.steps)
            self.callbacks.on_step(self.done + step * pictures, self.to_do)
            self._check()

        return between_steps

    def _check(self) -> None:
        if self.callbacks.is_cancelled():
            msg = "Rendering was cancelled."
            raise Cancelled(msg)
        if self.ends_at is not None and time.monotonic() > self.ends_at:
            msg = f"Rendering took longer than {self.callbacks.deadline_s:g} s."
            raise TooSlow(msg)

    def _picture(self, shot: Shot, frames: list[Image.Image], place: Place) -> Picture:
        text = images.caption(self.recipe, shot, self.stack, self.sampler, place)
        still = images.poster(frames)
        moving = films.encode(frames, self.recipe.fps, text) if self.recipe.frames else None
        return Picture(shot, still.width, still.height, images.encode(still, text), moving)

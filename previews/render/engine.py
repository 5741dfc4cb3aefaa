"""The sweep: one load of the adapters, every strength dialled in place, prompts in batches."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING

import torch

from previews.render.adapters.applied import Rack, mount
from previews.render.bases.memory_fallbacks import is_out_of_memory, spare
from previews.render.bases.pipelines import Opened, Shelf
from previews.render.errors import Cancelled, CannotRender, OutOfMemory, TooSlow, Why
from previews.render.output import images
from previews.render.pictures import Picture, Watch, control_key
from previews.render.pipeline_arguments import arguments, frames_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from PIL import Image

    from previews.render.bases.bases_file import Bases
    from previews.render.recipe import Layer, Recipe, Shot

__all__ = ["Engine", "Picture", "Watch"]


class Engine:
    """Renders recipes; keeps the last used bases open. Not for use by two threads at once."""

    def __init__(self, bases: Bases, *, keep: int = 1) -> None:
        # More threads than one gain little for one picture and fight over a shared machine.
        torch.set_num_threads(1)
        self.shelf = Shelf(bases, keep=keep)

    def render(
        self,
        recipe: Recipe,
        stack: Sequence[Layer] = (),
        *,
        triggers: Sequence[str] = (),
        watch: Watch | None = None,
    ) -> list[Picture]:
        """Return the pictures of a recipe, strength by strength.

        Raises:
            BaseUnavailable: the base cannot be opened.
            CannotRender: a file of the stack would give a wrong picture or none.
            Cancelled, TooSlow, OutOfMemory: see there.
        """
        watch = watch or Watch()
        opened = self.shelf.get(recipe.base)
        sampler = opened.use_sampler(recipe.sampler)
        rack = mount(opened.pipeline, opened.table, stack)
        take = _Take(opened, rack, recipe, tuple(stack), watch, sampler)
        try:
            return take.sweep(recipe.shots(triggers))
        finally:
            self._take_off(rack, recipe.base)

    def _take_off(self, rack: Rack, base_id: str) -> None:
        """Make the base plain again; one whose bytes cannot be put back is not used again."""
        try:
            rack.restore()
        finally:
            if not rack.is_plain:
                self.shelf.drop(base_id)


class _Take:
    """One run of a recipe."""

    def __init__(
        self,
        opened: Opened,
        rack: Rack,
        recipe: Recipe,
        stack: tuple[Layer, ...],
        watch: Watch,
        sampler: str,
    ) -> None:
        self.opened, self.rack = opened, rack
        self.recipe, self.stack, self.watch = recipe, stack, watch
        self.sampler = sampler.removesuffix("Scheduler")
        self.ends_at = None if watch.deadline_s is None else time.monotonic() + watch.deadline_s
        self.done = self.to_do = 0  # steps, over all pictures

    def sweep(self, shots: Sequence[Shot]) -> list[Picture]:
        """Take all shots that are not there yet."""
        groups = list(self._wanted(shots))
        shared = self._shared([shot for group in groups for shot in group if not shot.strength])
        count = sum(len(group) for group in groups) - len(shared)
        self.to_do = count * self.recipe.steps
        pictures: list[Picture] = []
        for group in groups:
            made = self._made([shot for shot in group if shot not in shared])
            taken = [made.get(shot) or shared[shot] for shot in group]
            self.watch.on_pictures(taken)
            pictures += taken
        return pictures

    def _wanted(self, shots: Sequence[Shot]) -> Iterator[list[Shot]]:
        """Yield the shots of each strength that is not there."""
        for _, group in groupby(shots, key=lambda shot: shot.strength):
            wanted = list(group)
            if not all(shot.key in self.watch.have for shot in wanted):
                yield wanted

    def _shared(self, shots: Sequence[Shot]) -> dict[Shot, Picture]:
        """Return the pictures at strength 0 that somebody else had made."""
        if self.watch.controls is None or not shots:
            return {}
        keys = {shot: self._key(shot) for shot in shots}
        found = self.watch.controls.find(set(keys.values()))
        return {shot: replace(found[key], shot=shot) for shot, key in keys.items() if key in found}

    def _made(self, shots: Sequence[Shot]) -> dict[Shot, Picture]:
        """Take shots of one strength; those at 0 are for everybody."""
        if not shots:
            return {}
        self._dial(shots[0].strength)
        made = dict(zip(shots, self._all(shots), strict=True))
        if self.watch.controls is not None and not shots[0].strength:
            keyed = {self._key(shot): picture for shot, picture in made.items()}
            self.watch.controls.add(keyed)
        return made

    def _key(self, shot: Shot) -> str:
        return control_key(self.recipe, shot, self.opened.fingerprint)

    def _dial(self, strength: float) -> None:
        while True:
            try:
                self.rack.dial(strength)
            except (torch.OutOfMemoryError, RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if not self.rack.make_room():
                    msg = f"The adapters do not fit into memory beside “{self.opened.base.id}”."
                    raise OutOfMemory(msg) from error
            else:
                return

    def _all(self, shots: Sequence[Shot]) -> list[Picture]:
        """Take shots of one strength, in as few calls as memory allows.

        Those at 0 are taken one by one: a picture's last bits can depend on those beside it, and
        whoever asks for a control gets the same bytes.
        """
        taken: list[Picture] = []
        while len(taken) < len(shots):
            size = self.opened.batch if shots[0].strength else 1
            batch = shots[len(taken) : len(taken) + size]
            results = self._tried(batch)
            if results is None:
                self._ask_for_less(len(batch))
                continue
            self.done += len(batch) * self.recipe.steps
            taken += [self._picture(*pair) for pair in zip(batch, results, strict=True)]
        return taken

    def _tried(self, shots: Sequence[Shot]) -> list[list[Image.Image]] | None:
        """Return the frames of pictures, None where memory ran out.

        The error is not kept: what the call had in memory hangs on its traceback.
        """
        try:
            return self._call(shots)
        except (torch.OutOfMemoryError, RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return None

    def _ask_for_less(self, size: int) -> None:
        if not (self.rack.make_room() or spare(self.opened, size)):
            msg = f"Not even one picture of “{self.opened.base.id}” fits into memory."
            raise OutOfMemory(msg)

    def _call(self, shots: Sequence[Shot]) -> list[list[Image.Image]]:
        self._check()
        said = arguments(self.opened, self.recipe, shots, self._counted(len(shots)))
        with torch.inference_mode():
            output = self.opened.pipeline(**said)
        if any(getattr(output, "nsfw_content_detected", None) or ()):
            msg = "The base model's safety checker blacked out a picture."
            raise CannotRender(Why.FLAGGED, msg)
        return frames_of(output)

    def _counted(self, pictures: int) -> Callable[[], None]:
        """Return what happens after each step of a call."""
        # Some schedulers take more steps than they were asked for.
        steps = iter(range(1, self.recipe.steps + 1))

        def between_steps() -> None:
            step = next(steps, self.recipe.steps)
            self.watch.on_step(self.done + step * pictures, self.to_do)
            self._check()

        return between_steps

    def _check(self) -> None:
        if self.watch.is_cancelled():
            msg = "Rendering was cancelled."
            raise Cancelled(msg)
        if self.ends_at is not None and time.monotonic() > self.ends_at:
            msg = f"Rendering took longer than {self.watch.deadline_s:g} s."
            raise TooSlow(msg)

    def _picture(self, shot: Shot, frames: list[Image.Image]) -> Picture:
        text = images.caption(self.recipe, shot, self.stack, self.sampler)
        sheet = images.contact_sheet(frames)
        png = images.encode(sheet, text)
        moving = images.animation(frames, self.recipe.fps)
        return Picture(shot, sheet.width, sheet.height, png, moving)

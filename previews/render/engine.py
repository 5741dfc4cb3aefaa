"""The sweep: one load of the adapters, every strength dialled in place, prompts in batches."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

import torch

from previews.render import images, video
from previews.render.adapters import Rack, mount
from previews.render.calls import arguments, frames_of
from previews.render.errors import Cancelled, CannotRender, OutOfMemory, TooSlow, Why
from previews.render.pipelines import Opened, Shelf

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PIL import Image

    from previews.render.bases import Bases
    from previews.render.recipe import Layer, Recipe, Shot

__all__ = ["Engine", "Picture", "Watch"]

Key = tuple[int, int, float]


@dataclass(frozen=True, slots=True)
class Picture:
    """A finished picture: what was asked for, and the PNG; of a video, its contact sheet.

    ``animation`` is the video as WebP, empty for a picture.
    """

    shot: Shot
    width: int
    height: int
    png: bytes
    animation: bytes = b""


@dataclass(frozen=True, slots=True)
class Watch:
    """What the caller hears and says while rendering.

    Args:
        on_pictures: Gets the pictures of a strength when all of them are done.
        is_cancelled: Asked between steps.
        deadline_s: Seconds from the start of ``render`` after which it gives up.
        have: Keys of pictures that exist already. A strength of which all exist is left out; one
            of which some exist is made whole again, since a picture's last bits can depend on
            those computed beside it.
    """

    on_pictures: Callable[[Sequence[Picture]], None] = lambda _: None
    is_cancelled: Callable[[], bool] = lambda: False
    deadline_s: float | None = None
    have: frozenset[Key] = field(default_factory=frozenset)


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
        take = _Take(opened, recipe, tuple(stack), watch, opened.use_sampler(recipe.sampler))
        rack = mount(opened.pipeline, opened.table, stack)
        try:
            return take.sweep(rack, recipe.shots(triggers))
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
        recipe: Recipe,
        stack: tuple[Layer, ...],
        watch: Watch,
        sampler: str,
    ) -> None:
        self.opened, self.recipe, self.stack, self.watch = opened, recipe, stack, watch
        self.sampler = sampler.removesuffix("Scheduler")
        self.ends_at = None if watch.deadline_s is None else time.monotonic() + watch.deadline_s

    def sweep(self, rack: Rack, shots: Sequence[Shot]) -> list[Picture]:
        """Take all shots that are not there yet."""
        pictures: list[Picture] = []
        for strength, group in groupby(shots, key=lambda shot: shot.strength):
            wanted = list(group)
            if all(shot.key in self.watch.have for shot in wanted):
                continue
            self._dial(rack, strength)
            taken = self._all(wanted)
            self.watch.on_pictures(taken)
            pictures += taken
        return pictures

    def _dial(self, rack: Rack, strength: float) -> None:
        try:
            rack.dial(strength)
        except (torch.OutOfMemoryError, RuntimeError, MemoryError) as error:
            if not _is_out_of_memory(error):
                raise
            msg = f"The adapters do not fit into memory beside “{self.opened.base.id}”."
            raise OutOfMemory(msg) from error

    def _all(self, shots: Sequence[Shot]) -> list[Picture]:
        """Take shots of one strength, in as few calls as memory allows."""
        taken: list[Picture] = []
        while len(taken) < len(shots):
            batch = shots[len(taken) : len(taken) + self.opened.batch]
            try:
                results = self._call(batch)
            except (torch.OutOfMemoryError, RuntimeError, MemoryError) as error:
                if not _is_out_of_memory(error):
                    raise
                self._shrink(len(batch))
            else:
                taken += [self._picture(*pair) for pair in zip(batch, results, strict=True)]
        return taken

    def _shrink(self, size: int) -> None:
        """Ask for less at a time: half the pictures, then the VAE in tiles, then give up."""
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        vae: Any = getattr(self.opened.pipeline, "vae", None)
        if size > 1:
            self.opened.batch = size // 2
        elif hasattr(vae, "enable_tiling") and not getattr(vae, "use_tiling", True):
            vae.enable_tiling()
        else:
            msg = f"Not even one picture of “{self.opened.base.id}” fits into memory."
            raise OutOfMemory(msg)

    def _call(self, shots: Sequence[Shot]) -> list[list[Image.Image]]:
        self._check()
        said = arguments(self.opened, self.recipe, shots, self._check)
        with torch.inference_mode():
            output = self.opened.pipeline(**said)
        if any(getattr(output, "nsfw_content_detected", None) or ()):
            msg = "The base model's safety checker blacked out a picture."
            raise CannotRender(Why.FLAGGED, msg)
        return frames_of(output)

    def _check(self) -> None:
        if self.watch.is_cancelled():
            msg = "Rendering was cancelled."
            raise Cancelled(msg)
        if self.ends_at is not None and time.monotonic() > self.ends_at:
            msg = f"Rendering took longer than {self.watch.deadline_s:g} s."
            raise TooSlow(msg)

    def _picture(self, shot: Shot, frames: list[Image.Image]) -> Picture:
        text = images.caption(self.recipe, shot, self.stack, self.sampler)
        sheet = video.contact_sheet(frames)
        png = images.encode(sheet, text)
        moving = video.animation(frames, self.recipe.fps)
        return Picture(shot, sheet.width, sheet.height, png, moving)


def _is_out_of_memory(error: BaseException) -> bool:
    words = ("out of memory", "not enough memory", "can't allocate memory")
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(
        word in str(error).casefold() for word in words
    )

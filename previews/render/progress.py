"""What passes between the engine and its caller: finished pictures, progress, a wish to stop."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from previews.render.controls import Controls
    from previews.render.recipe import Shot

__all__ = ["Picture", "Watch"]

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
        on_step: Gets steps done and steps to do, counted over all pictures that this render still
            has to make. It is called between steps and should be quick.
        is_cancelled: Asked between steps.
        deadline_s: Seconds from the start of ``render`` after which it gives up.
        have: Keys of pictures that exist already. A strength of which all exist is left out; one
            of which some exist is made whole again, since a picture's last bits can depend on
            those computed beside it.
        controls: Pictures at strength 0 that exist already, whatever they were made for. Those that
            are missing are made alone and added.
    """

    on_pictures: Callable[[Sequence[Picture]], None] = lambda _: None
    on_step: Callable[[int, int], None] = lambda _done, _all: None
    is_cancelled: Callable[[], bool] = lambda: False
    deadline_s: float | None = None
    have: frozenset[Key] = field(default_factory=frozenset)
    controls: Controls | None = None

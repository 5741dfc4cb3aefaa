"""What passes between the engine and its caller: finished pictures, progress, a wish to stop."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from previews.render.recipe import digest_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from previews.render.recipe import Recipe, Shot

__all__ = ["Controls", "ControlsInMemory", "Picture", "Watch", "control_document", "control_key"]

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


class Controls(Protocol):
    """A store of pictures at strength 0; keys are those of ``control_key``."""

    def find(self, keys: Collection[str]) -> Mapping[str, Picture]:
        """Return those that are there; what their shots say does not matter."""

    def add(self, pictures: Mapping[str, Picture]) -> None:
        """Keep pictures; of one that is there already, either may stay."""


def control_document(recipe: Recipe, shot: Shot) -> dict[str, Any]:
    """Return the recipe of one picture at strength 0, as a document.

    It has all that makes the picture, and neither the other prompts and seeds that it was asked for
    with nor where its trigger words came from.
    """
    return {
        **recipe.to_dict(),
        "prompts": [shot.prompt],
        "seeds": [shot.seed],
        "strengths": [0.0],
        "trigger": "none",
    }


def control_key(recipe: Recipe, shot: Shot, fingerprint: str) -> str:
    """Return what a picture at strength 0 is known by, 64 hex digits.

    Args:
        recipe: What is asked for; it names the base.
        shot: The picture.
        fingerprint: Of the base, whose name may come to mean another model.
    """
    return digest_of({**control_document(recipe, shot), "fingerprint": fingerprint})


class ControlsInMemory:
    """Pictures in memory, at most so many bytes of them; the oldest make room."""

    def __init__(self, max_bytes: int = 64 * 1024 * 1024) -> None:
        self._max_bytes = max_bytes
        self._size_bytes = 0
        self._pictures: dict[str, Picture] = {}

    def find(self, keys: Collection[str]) -> Mapping[str, Picture]:
        """Return those that are there."""
        return {key: self._pictures[key] for key in keys if key in self._pictures}

    def add(self, pictures: Mapping[str, Picture]) -> None:
        """Keep pictures that are not there yet."""
        for key, picture in pictures.items():
            if key not in self._pictures:
                self._pictures[key] = picture
                self._size_bytes += _bytes_of(picture)
        while self._size_bytes > self._max_bytes:
            self._size_bytes -= _bytes_of(self._pictures.pop(next(iter(self._pictures))))


def _bytes_of(picture: Picture) -> int:
    return len(picture.png) + len(picture.animation)

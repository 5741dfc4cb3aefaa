"""The base's own pictures, at strength 0, made once and shared by all adapters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from previews.render.recipe import digest_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from previews.render.progress import Picture
    from previews.render.recipe import Recipe, Shot

__all__ = ["Controls", "ControlsInMemory", "control_document", "control_key"]


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

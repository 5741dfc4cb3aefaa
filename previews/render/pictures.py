"""Types that the engine and its caller exchange: finished pictures, progress, shared pictures."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from previews.render.recipe import Recipe, Shot, digest_of

Key = tuple[int, int, float]
#: Number of pictures in the call that renders a picture, and its index among them.
Place = tuple[int, int]
ALONE: Place = (1, 0)


@dataclass(frozen=True, slots=True)
class Film:
    """An encoded video."""

    data: bytes
    media_type: str
    frames: int
    fps: int


@dataclass(frozen=True, slots=True)
class Picture:
    """A finished picture as PNG; for a video its first frame, with the video."""

    shot: Shot
    width: int
    height: int
    png: bytes
    film: Film | None = None


@dataclass(frozen=True, slots=True)
class Callbacks:
    """Callbacks and options for a render.

    Args:
        on_pictures: Called with the pictures of a strength when all of them are done.
        on_step: Called between steps with the steps done and to do, over all pictures to make.
        is_cancelled: Called between steps.
        deadline_s: Seconds after which rendering is stopped.
        have: Keys of pictures that exist. A strength is skipped if all its pictures exist, else all
            are made again, because the last bits of a picture can depend on the others in a batch.
        controls: Store of pictures at strength 0. If one is missing, all are rendered and added.
    """

    on_pictures: Callable[[Sequence[Picture]], None] = lambda _: None
    on_step: Callable[[int, int], None] = lambda _done, _all: None
    is_cancelled: Callable[[], bool] = lambda: False
    deadline_s: float | None = None
    have: frozenset[Key] = field(default_factory=frozenset)
    controls: Controls | None = None


class Controls(Protocol):
    """A store of pictures at strength 0, by ``control_key``."""

    def find(self, keys: Collection[str]) -> Mapping[str, Picture]:
        """Return the pictures that exist; their shots are ignored."""

    def add(self, pictures: Mapping[str, Picture]) -> None:
        """Store pictures; existing ones may be replaced."""


def control_document(recipe: Recipe, shot: Shot) -> dict[str, Any]:
    """Return the recipe of one picture at strength 0, without other prompts and seeds."""
    plain = replace(recipe, swept=0, at=0.0, edition=0, plain=())
    return {
        **plain.to_dict(),
        "prompts": [shot.prompt],
        "seeds": [shot.seed],
        "strengths": [0.0],
        "trigger": "none",
    }


def control_key(recipe: Recipe, shot: Shot, fingerprint: str, place: Place = ALONE) -> str:
    """Return the key of a picture at strength 0, 64 hex digits.

    It includes the fingerprint of the base, because a base's name can be reused for another model,
    and the place in the call, because the last bits of a picture can depend on it.
    """
    document = {**control_document(recipe, shot), "fingerprint": fingerprint}
    container = {"container": "mp4"} if recipe.frames else {}  # videos were WebP before
    call = {} if place == ALONE else {"call": list(place)}
    return digest_of(document | container | call)

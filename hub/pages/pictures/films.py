"""Videos of previews: each prompt and seed at its strengths, next to its control."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from django.utils.formats import number_format
from django.utils.translation import gettext as _

from hub.pages.pictures.strength_slider import Frame, frame_of
from previews.models import OPEN_STATES
from previews.pictures.selectors import Picture

if TYPE_CHECKING:
    from previews.renders.selectors import Previews

#: Seconds between refreshes while videos are rendered.
POLL_S = 5


@dataclass(frozen=True, slots=True)
class FilmRow:
    """Videos of one prompt and seed by strength."""

    prompt: str
    seed: int
    frames: list[Frame]


@dataclass(frozen=True, slots=True)
class Films:
    """Videos of a version with one base model, and the progress of its newest render."""

    rows: list[FilmRow]
    settings: str
    state: str
    reason: str
    done: int
    total: int

    @property
    def is_open(self) -> bool:
        """Whether videos are still rendered."""
        return self.state in OPEN_STATES

    @property
    def poll_s(self) -> int:
        """Seconds until the next refresh, 0 without one."""
        return POLL_S if self.is_open else 0


def films_of(found: Previews) -> list[Films]:
    """Return the videos of a version with each base model that makes them.

    Those of older releases cannot be paused; they are frames of a sweep.
    """
    moving = [one for one in (found, *found.others) if one.output == "video"]
    return [_films(one) for one in moving if all(picture.is_film for picture in one.images)]


def _films(found: Previews) -> Films:
    rows = list(_rows(found.images))
    return Films(
        rows, _settings(found.images, found.recipe), found.state, found.reason, found.done,
        found.total,
    )  # fmt: skip


def _rows(pictures: Sequence[Picture]) -> Iterator[FilmRow]:
    def scene(picture: Picture) -> tuple[int, int]:
        return picture.prompt_index, picture.seed

    for _scene, group in groupby(sorted(pictures, key=scene), key=scene):
        row = sorted(group, key=lambda picture: picture.strength)
        yield FilmRow(row[0].prompt, row[0].seed, [frame_of(picture) for picture in row])


def _settings(pictures: Sequence[Picture], recipe: Mapping[str, Any]) -> str:
    """Return length, frames and steps in words, "" without videos."""
    if not pictures:
        return ""
    first = pictures[0]
    seconds = number_format(first.duration_s or 0, 1, use_l10n=True)
    parts = [
        _("%(seconds)s s") % {"seconds": seconds},
        _("%(n)d frames") % {"n": first.frames},
        _("%(n)d frames per second") % {"n": first.fps},
    ]
    if "steps" in recipe:
        parts.append(_("%(steps)d steps") % {"steps": recipe["steps"]})
    return " · ".join(parts)

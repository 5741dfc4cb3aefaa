"""Finds the sidecars and previews of weights by their names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lorary.anatomy.display_names import stem

#: Endings of sidecars that can be read, the most trusted first: what people typed comes before
#: what a site says.
SIDECARS = (".json", ".swarm.json", ".metadata.json", ".cm-info.json", ".civitai.info")
_PREVIEWS = ("png", "jpg", "jpeg", "webp", "gif", "mp4", "webm")
_ENDINGS = (".info", ".json", ".txt", ".sha256", *(f".{ending}" for ending in _PREVIEWS))
_COMPANION = re.compile(
    r"(?P<stem>.{1,255}?)(?:(?P<sidecar>\.civitai\.info|(?:\.swarm|\.metadata|\.cm-info)?\.json)"
    rf"|(?P<preview>(?:\.preview)?\.(?:{'|'.join(_PREVIEWS)}))|\.txt|\.sha256)\Z",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Companions:
    """The names of the files that belong to weights.

    Attributes:
        sidecars: Those that can be read, the most trusted first.
        previews: Pictures and videos.
        others: Files that only move along.
    """

    sidecars: tuple[str, ...] = ()
    previews: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All names."""
        return (*self.sidecars, *self.previews, *self.others)


NONE = Companions()


def companions_in(names: Iterable[str]) -> Mapping[str, Companions]:
    """Return the companions in a folder, by the name of their weights without its suffix.

    Args:
        names: The names of all files of the folder.
    """
    found: dict[str, list[re.Match[str]]] = {}
    for name in names:
        if not name.lower().endswith(_ENDINGS):  # most files; the expression takes longer
            continue
        match = _COMPANION.match(name)
        if match is not None:
            found.setdefault(match["stem"].casefold(), []).append(match)
    return {key: _companions(matches) for key, matches in found.items()}


def companions_of(weights: str, companions: Mapping[str, Companions]) -> Companions:
    """Return the companions of a file with this name."""
    return companions.get(stem(weights).casefold(), NONE)


def _companions(matches: Iterable[re.Match[str]]) -> Companions:
    found = sorted(matches, key=lambda match: match[0])
    sidecars = [match for match in found if match["sidecar"]]
    sidecars.sort(key=lambda match: SIDECARS.index(match["sidecar"].lower()))
    return Companions(
        tuple(match[0] for match in sidecars),
        tuple(match[0] for match in found if match["preview"]),
        tuple(match[0] for match in found if not match["sidecar"] and not match["preview"]),
    )

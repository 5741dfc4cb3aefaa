"""Which of a version's weights are for which half of a base that has two: Wan 2.2 A14B.

Its transformers share all shapes, so no tensor tells them apart. Trainers write a file for each and
say in its name which it is (``noir_high_noise``, ``noir_HIGH``, ``noir-HN``), or in its metadata.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Document = Mapping[str, Any]

__all__ = ["HIGH", "LOW", "variants_of"]

HIGH, LOW = "high-noise", "low-noise"

#: Families some of whose bases have two halves.
FAMILIES = frozenset({"wan_14b", "wan_14b_i2v"})

#: What says it by itself, and what says it only where another file has the opposite in its place.
_SAID = re.compile(r"(?<![a-z])(high|low)[ _.-]?noise(?![a-z])|(?<![a-z])(h|l)n(?![a-z])")
_HINTED = re.compile(r"(?<![a-z])(high|low|h|l)(?![a-z])")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def variants_of(weights: Mapping[str, Document], declared: str = "") -> dict[str, str]:
    """Return ``high-noise`` or ``low-noise`` for each path that is known to be one of them.

    Args:
        weights: Anatomy documents by path, {} where a file was not read.
        declared: Family that a person named.
    """
    names = {
        path: _HUMP.sub("_", path).casefold()
        for path, document in weights.items()
        if _can_be_half(document, declared)
    }
    hinted = dict(_hints(names))
    found = {
        path: _said(name) or hinted.get(path) or _claimed(weights[path])
        for path, name in names.items()
    }
    return {path: variant for path, variant in found.items() if variant}


def _can_be_half(document: Document, declared: str) -> bool:
    base = document.get("base") or {}
    possible = {base.get("family"), *(base.get("candidates") or ())} - {None}
    return not FAMILIES.isdisjoint(possible or {declared})


def _variant(word: str) -> str:
    return HIGH if word.startswith("h") else LOW


def _said(name: str) -> str:
    """Return what a name says outright, nothing where it says both."""
    told = {_variant(match[0]) for match in _SAID.finditer(name)}
    return told.pop() if len(told) == 1 else ""


def _hints(names: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the pairs of names that differ in one word only: noir_HIGH_v2 and noir_LOW_v2."""
    places: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for path, name in names.items():
        for match in _HINTED.finditer(name):
            place = f"{name[: match.start()]}*{name[match.end() :]}"
            places[place].append((path, _variant(match[0])))
    for found in places.values():
        if sorted(variant for _path, variant in found) == [HIGH, LOW]:
            yield from found


def _claimed(document: Document) -> str:
    """Return what the header says, from the timesteps that were trained."""
    told = str((document.get("training") or {}).get("expert") or "")
    return {"high_noise": HIGH, "low_noise": LOW}.get(told, "")

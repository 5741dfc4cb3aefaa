"""Writes sidecars and preview pictures beside weights, from what a hub knows about them.

The record of the folder, ``.lorary.json``, names each file that was written. A file that is not in
it, or that was changed since by a person or a tool, is never replaced or removed.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from lorary.client import tryouts
from lorary.client.errors import NotFound
from lorary.client.http.json_answers import Record
from lorary.client.models import Adapter
from lorary.client.names import Reference
from lorary.client.transfers.pulling import read_version
from lorary.library.sidecars.formats import (
    ENDINGS,
    PREVIEWS,
    Facts,
    Target,
    preview_ending,
    sidecar,
)

if TYPE_CHECKING:
    from lorary.client.http.session import Session
    from lorary.client.transfers.folders import Entry, Folder

Action = Literal["here", "add", "replace", "kept"]


@dataclass(frozen=True, slots=True)
class Sidecar:
    """A file beside weights.

    Attributes:
        name: Its path below the folder.
        action: ``add``, ``replace``, ``here``: nothing has to be done, or ``kept``: it stays,
            because a person or a tool wrote or changed it.
    """

    name: str
    action: Action

    @property
    def is_due(self) -> bool:
        """Whether it has to be written."""
        return self.action in {"add", "replace"}


def facts_of(session: Session, weights: Entry) -> tuple[Facts, bytes]:
    """Request what a hub knows about a version, and its first picture; empty if it has none.

    Args:
        session: Session with the hub.
        weights: The record of a file of the version.

    Raises:
        LoraryError: an error response, or no response.
    """
    name = Reference.parse(weights.adapter)
    version = read_version(session, Reference(name.owner, name.name, weights.revision))
    adapter = Adapter.read(session.json("GET", name.api_path))
    number = Record(version.data, "version").whole("id")
    answer = Record(session.json("GET", f"model-versions/{number}"), "version")
    facts = Facts(adapter, version, answer.data)
    return facts, _picture(session, facts)


def _picture(session: Session, facts: Facts) -> bytes:
    url = facts.images[0].text("url") if facts.images else ""
    try:
        return tryouts.media(session, url) if url else b""
    except NotFound:  # removed meanwhile
        return b""


class Writer:
    """Writes the sidecars of some tools into a folder.

    Args:
        folder: The folder; its record must be loaded, and have the weights.
        tools: The tools, see `lorary.library.sidecars.formats.ENDINGS`.
        lock: The ``lorary.lock`` that the weights belong to; empty if they were pulled.
    """

    def __init__(self, folder: Folder, tools: Sequence[str], lock: str = "") -> None:
        self._folder = folder
        self._tools = tools
        self._lock = lock

    def names(self, weights: str) -> set[str]:
        """Return the names that sidecars of weights may have."""
        endings = (*(ENDINGS[tool] for tool in self._tools), *PREVIEWS)
        return {_beside(weights, ending) for ending in endings}

    def plan(self, weights: str) -> list[Sidecar]:
        """Return what has to be done for weights, without asking the hub.

        The preview picture comes with the sidecars, so it is not listed.
        """
        return [self._planned(weights, ENDINGS[tool]) for tool in self._tools]

    def _planned(self, weights: str, ending: str) -> Sidecar:
        name, of = _beside(weights, ending), self._folder.entries[weights]
        place, entry = self._folder.place(name), self._folder.entries.get(name)
        if not place.is_symlink() and not place.exists():
            return Sidecar(name, "add")
        if entry is None or not entry.has_bytes(place):
            return Sidecar(name, "kept")
        is_same = (entry.hub, entry.revision) == (of.hub, of.revision)
        return Sidecar(name, "here" if is_same else "replace")

    def write(self, weights: str, facts: Facts, picture: bytes) -> list[Sidecar]:
        """Write sidecars and the picture, and return what became of each.

        A picture that was written for another version, and that is not replaced, is removed.

        Raises:
            TargetUnusable: they cannot be written.
        """
        preview = self._preview(weights, picture)
        of = self._folder.entries[weights]
        shown = self._folder.place(preview.name) if preview is not None else None
        target = Target(self._folder.place(weights), of.sha256, shown)
        planned = self.plan(weights)
        contents = {
            one.name: sidecar(tool, facts, target)
            for tool, one in zip(self._tools, planned, strict=True)
        }
        if preview is not None:
            planned.append(preview)
            contents[preview.name] = picture
        due = [one.name for one in planned if one.is_due]
        self._remove_previews(weights, "" if preview is None else preview.name)
        entries = {name: replace(of, path=name, lock=self._lock, replaces="") for name in due}
        self._folder.write({name: (entries[name], contents[name]) for name in due})
        return planned

    def _preview(self, weights: str, picture: bytes) -> Sidecar | None:
        """Return what has to be done for the picture; None if there is none."""
        there = [self._planned(weights, ending) for ending in PREVIEWS]
        kept = next((one for one in there if one.action == "kept"), None)
        ending = preview_ending(picture)
        return kept or (self._planned(weights, ending) if ending else None)

    def _remove_previews(self, weights: str, kept: str) -> None:
        """Remove pictures that were written here, but one: tools would show either."""
        for ending in PREVIEWS:
            one = self._planned(weights, ending)
            if one.name != kept and one.action in {"here", "replace"}:
                with suppress(OSError):  # on Windows, while a program has it open
                    self._folder.place(one.name).unlink()


def _beside(weights: str, ending: str) -> str:
    return f"{weights.removesuffix('.safetensors')}{ending}"

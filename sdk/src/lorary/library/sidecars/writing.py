"""Writes sidecars and preview pictures beside weights, from what a hub knows about them.

The record of the folder, ``.lorary.json``, names each file that was written. A file that is not in
it is never replaced or removed; one that a person or a tool changed since, only if that is forced.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lorary.client import tryouts
from lorary.client.errors import LoraryError, NotFound, Unreachable
from lorary.client.http.retries import Again
from lorary.client.http.session import Request
from lorary.client.names import Reference
from lorary.library.sidecars.formats import (
    ENDINGS,
    PREVIEWS,
    Facts,
    Target,
    is_current,
    preview_ending,
    sidecar,
)
from lorary.library.sidecars.requests import Requested, read_facts, request_several

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

    @property
    def is_preview(self) -> bool:
        """Whether it is the preview picture."""
        return self.name.endswith(PREVIEWS)


@dataclass(frozen=True, slots=True)
class Known:
    """What a hub knows about a version.

    Attributes:
        facts: Its facts.
        picture: Its first picture; empty if it has none, None if the one that is there stays, or
            if the picture was not requested.
        ending: The ending of a picture that was not requested; else empty.
    """

    facts: Facts
    picture: bytes | None
    ending: str = ""


def answers(session: Session) -> bool:
    """Return whether a hub can be asked now: files that are there already are not waited for."""
    request = Request("GET", f"{session.api_root}/adapters?limit=1")
    try:
        session.attempt(request, lambda answer: answer.read(1024 * 1024))
    except (Unreachable, Again):
        return False
    except LoraryError:
        return True
    return True


def _reference(weights: Entry) -> Reference:
    name = Reference.parse(weights.adapter)
    return Reference(name.owner, name.name, weights.revision)


def _picture(session: Session, url: str) -> bytes:
    try:
        return tryouts.media(session, url) if url else b""
    except NotFound:  # removed meanwhile
        return b""


def _address(facts: Facts) -> str:
    return facts.images[0].text("url") if facts.images else ""


def _ending(url: str) -> str:
    path = url.partition("?")[0]
    return next((one for one in PREVIEWS if path.endswith(one.removeprefix(".preview"))), "")


def _source(url: str) -> str:
    """Return what stays the same of the address of a picture: hubs have several names."""
    return url.partition("?")[0].rpartition("/media/")[2]


class Writer:
    """Writes the sidecars of some tools into a folder.

    Args:
        folder: The folder; its record must be loaded, and have the weights.
        tools: The tools, see `lorary.library.sidecars.formats.ENDINGS`.
        lock: The ``lorary.lock`` of the sync that writes them; empty for a pull.
        may_replace: Whether files that were changed since they were written here are replaced.
    """

    def __init__(
        self, folder: Folder, tools: Sequence[str], *, lock: str = "", may_replace: bool = False
    ) -> None:
        self._folder = folder
        self._lock = lock
        self._tools = tools
        self._may_replace = may_replace
        self._requested = Requested()

    def names(self, weights: str) -> set[str]:
        """Return the names that sidecars of weights may have."""
        endings = (*(ENDINGS[tool] for tool in self._tools), *PREVIEWS)
        return {_beside(weights, ending) for ending in endings}

    def plan(self, weights: str) -> list[Sidecar]:
        """Return what has to be done for weights, as far as that is known without asking the hub.

        A preview picture is listed if there is one.
        """
        return [*self._documents(weights), *self._pictures(weights)[:1]]

    def _documents(self, weights: str) -> list[Sidecar]:
        return [self._planned(weights, ENDINGS[tool]) for tool in self._tools]

    def _pictures(self, weights: str) -> list[Sidecar]:
        """Return the pictures that are there; those that stay come first."""
        planned = [self._planned(weights, ending) for ending in PREVIEWS]
        there = [one for one in planned if one.action != "add"]
        return sorted(there, key=lambda one: one.action != "kept")

    def _planned(self, weights: str, ending: str) -> Sidecar:
        name, of = _beside(weights, ending), self._folder.entries[weights]
        place, entry = self._folder.place(name), self._folder.entries.get(name)
        if not place.is_symlink() and not place.exists():
            return Sidecar(name, "add")
        if entry is None:
            return Sidecar(name, "kept")
        if not entry.has_bytes(place):
            return Sidecar(name, "replace" if self._may_replace else "kept")
        is_same = (entry.hub, entry.revision) == (of.hub, of.revision)
        return Sidecar(name, "here" if is_same else "replace")

    def expect(self, session: Session, weights: Iterable[str]) -> None:
        """Request the facts of weights of a hub at once, for the next calls of ``ask``.

        Args:
            session: The hub.
            weights: A file of each of at most `requests.AT_ONCE` versions.
        """
        references = [_reference(self._folder.entries[name]) for name in weights]
        self._requested = request_several(session, references)

    def ask(
        self, session: Session, weights: Sequence[str], *, is_plan: bool = False
    ) -> list[Known]:
        """Request what a hub knows about the version of weights.

        Args:
            session: The hub.
            weights: Files of one version.
            is_plan: Whether the picture is not requested.

        Raises:
            LoraryError: an error response, or no response.
        """
        reference = _reference(self._folder.entries[weights[0]])
        facts = read_facts(session, reference, self._requested)
        url = _address(facts)
        staying = [
            bool(url) and any(self._stays(one, url) for one in self._pictures(name))
            for name in weights
        ]
        if is_plan and url:
            return [Known(facts, None, "" if stays else _ending(url)) for stays in staying]
        picture = None if all(staying) else _picture(session, url)
        return [Known(facts, None if stays else picture) for stays in staying]

    def _stays(self, picture: Sidecar, url: str) -> bool:
        entry = self._folder.entries.get(picture.name)
        is_same = entry is not None and entry.source == _source(url)
        return picture.action == "kept" or (picture.action == "here" and is_same)

    def compare(self, weights: str, known: Known) -> list[Sidecar]:
        """Return what `write` would do; the weights may be missing."""
        return self._compared(weights, known)[0]

    def write(self, weights: str, known: Known) -> list[Sidecar]:
        """Write sidecars and the picture, and return what became of each.

        A picture that was written for another version, and that is not replaced, is removed.

        Raises:
            TargetUnusable: they cannot be written.
        """
        planned, contents = self._compared(weights, known)
        picture = next((one.name for one in planned if one.is_preview), "")
        entries = {name: self._entry(name, weights) for name in contents}
        if picture in entries:
            entries[picture] = replace(entries[picture], source=_source(_address(known.facts)))
        self._folder.write({name: (entries[name], contents[name]) for name in contents})
        self._remove_previews(weights, picture, is_new=picture in contents)
        return planned

    def _entry(self, name: str, weights: str) -> Entry:
        """Return the entry of a sidecar: its lock stays, and a new one gets that of its writer.

        The weights may have another: they may have been there, or come from a pull.
        """
        of, former = self._folder.entries[weights], self._folder.entries.get(name)
        lock = self._lock
        if former is not None and self._folder.place(name).exists():
            is_moved = former.lock and not Path(former.lock).exists()
            lock = self._lock if is_moved else former.lock
        return replace(of, path=name, lock=lock, replaces="", source="")

    def _compared(self, weights: str, known: Known) -> tuple[list[Sidecar], dict[str, bytes]]:
        """Return what has to be done, and the contents of the files that have to be written."""
        preview, place = self._preview(weights, known), self._folder.place(weights)
        shown = self._folder.place(preview.name) if preview is not None else None
        target = Target(place, self._folder.entries[weights].sha256, shown)
        planned, contents = list[Sidecar](), dict[str, bytes]()
        for tool, one in zip(self._tools, self._documents(weights), strict=True):
            action = one.action
            if action != "kept" and place.is_file():
                content = sidecar(tool, known.facts, target)
                if action == "here" and not self._is_current(one.name, content):
                    action = "replace"
                if action != "here":
                    contents[one.name] = content
            planned.append(Sidecar(one.name, action))
        if preview is not None:
            planned.append(preview)
            if preview.action != "kept" and known.picture:
                contents[preview.name] = known.picture
        return planned, contents

    def _is_current(self, name: str, content: bytes) -> bool:
        try:
            return is_current(self._folder.place(name).read_bytes(), content)
        except OSError:
            return False

    def _preview(self, weights: str, known: Known) -> Sidecar | None:
        """Return what has to be done for the picture; None if there is none."""
        there, picture = self._pictures(weights), known.picture or b""
        if there and there[0].action == "kept":
            return there[0]
        if not picture and not known.ending:
            # The hub may render it anew; until then, it is right for this version.
            stays = next((one for one in there if one.action == "here"), None)
            edited = (one for one in there if not self._is_intact(one.name))
            return stays or next((Sidecar(one.name, "kept") for one in edited), None)
        ending = known.ending or preview_ending(picture)
        if not ending:
            return None
        one = self._planned(weights, ending)
        entry = self._folder.entries.get(one.name)
        is_other = entry is None or entry.sha256 != hashlib.sha256(picture).hexdigest()
        return Sidecar(one.name, "replace") if one.action == "here" and is_other else one

    def _is_intact(self, name: str) -> bool:
        entry = self._folder.entries.get(name)
        return entry is not None and entry.has_bytes(self._folder.place(name))

    def _remove_previews(self, weights: str, kept: str, *, is_new: bool) -> None:
        """Remove pictures that were written here, but one: tools would show either.

        One that was edited since is removed only if that is forced and a new one takes its place.
        """
        for one in self._pictures(weights):
            if one.name == kept or one.action == "kept":
                continue
            if is_new or self._is_intact(one.name):
                with suppress(OSError):  # on Windows, while a program has it open
                    self._folder.place(one.name).unlink()


def _beside(weights: str, ending: str) -> str:
    return f"{weights.removesuffix('.safetensors')}{ending}"

"""Compares a lock with the files that are here, and with what hubs have by now."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from lorary.client import packs
from lorary.client.errors import (
    BadAnswer,
    LoraryError,
    NotFound,
    ProjectInvalid,
    reading_file,
)
from lorary.client.http.json_answers import Record
from lorary.client.http.session import Session
from lorary.client.progress import OnProgress, Progress, silent
from lorary.client.transfers.cache import digest_file
from lorary.client.transfers.folders import Folder
from lorary.client.transfers.parallel import each
from lorary.client.transfers.pulling import read_version
from lorary.library.descriptions import description_name
from lorary.library.hubs import Hubs
from lorary.library.layouts import LAYOUTS
from lorary.library.lockfile import Lock, LockedFile
from lorary.library.locking import Brief, brief_versions, newest
from lorary.library.project import Project, Wish, number_of
from lorary.limits import JOBS, processors


@dataclass(frozen=True, slots=True)
class Checked:
    """A locked file, compared with what is here.

    Attributes:
        state: ``ok``, ``missing``, or ``changed``: other bytes are there.
        sha256: The digest of what is there; empty if nothing can be read.
    """

    file: LockedFile
    local_path: Path
    state: Literal["ok", "missing", "changed"]
    sha256: str


def verify(project: Project, lock: Lock, on_progress: OnProgress = silent) -> Iterator[Checked]:
    """Hash every file of a lock that is here, on all processors, and yield the results in order.

    The descriptions of packs come last. Their digests are those that `sync` recorded, empty if it
    did not write one for the locked version.
    """
    places = {row.path: project.root.joinpath(*row.path.split("/")) for row in lock.files}
    digests = dict(hashed(places, on_progress))
    for row in lock.files:
        yield _checked(row, places[row.path], digests[row.path])
    yield from _descriptions(project, lock)


def _checked(row: LockedFile, place: Path, digest: str) -> Checked:
    if digest == row.sha256:
        return Checked(row, place, "ok", digest)
    return Checked(row, place, "changed" if os.path.lexists(place) else "missing", digest)


def _descriptions(project: Project, lock: Lock) -> Iterator[Checked]:
    """Compare the description of each locked pack with the record of what `sync` wrote."""
    base = LAYOUTS[lock.layout]
    folder = Folder(project.root.joinpath(*base.split("/")))
    if lock.packs:
        folder.load()
    for pack in lock.packs:
        name = description_name(pack)
        place, entry = folder.place(name), folder.entries.get(name)
        is_ours = entry is not None and entry.version == pack.version
        row = LockedFile(
            name=f"pack:{pack.name}", wanted=pack.wanted, version=pack.version, revision="",
            file=name, path=f"{base}/{name}".lstrip("/"), size=0,
            sha256=entry.sha256 if entry is not None and is_ours else "", hub=pack.hub,
        )  # fmt: skip
        digest = dict(hashed({name: place}, silent))[name]
        yield _checked(row, place, digest)


def verify_packs(
    descriptions: Sequence[Path], on_progress: OnProgress = silent
) -> Iterator[Checked]:
    """Hash the files that descriptions of packs list, and yield the results in order.

    Files that were left out when the pack was pulled are not listed.

    Args:
        descriptions: The ``owner--name.pack.json`` that `lorary pull` and `lorary sync` write.
        on_progress: Called for every block, from several threads.

    Raises:
        FileMissing: a description cannot be read.
        ProjectInvalid: it is none.
    """
    rows = {
        os.fspath(place.parent / row.path): row
        for place in descriptions
        for row in _described(place)
    }
    digests = dict(hashed({name: Path(name) for name in rows}, on_progress))
    for name, row in rows.items():
        yield _checked(row, Path(name), digests[name])


def _described(place: Path) -> Iterator[LockedFile]:
    """Yield the files that the description of a pack lists, each once."""
    try:
        with reading_file(place):
            content = place.read_bytes()
        document = Record(json.loads(content), "description")
        pack, hub, seen = document.text("pack"), document.text("hub"), set[str]()
        variants = _variants(document)
        for part in (Record(one, "part") for each in variants for one in each.items("parts")):
            path = part.text("local_file")
            if path and path not in seen:
                seen.add(path)
                yield LockedFile(
                    name=part.text("adapter"),
                    wanted="",
                    version=part.text("version"),
                    revision="",
                    file=part.text("file"),
                    path=path,
                    size=0,
                    sha256=part.hexadecimal("sha256", 64),
                    hub=hub,
                    packs=(pack,),
                )
    except (ValueError, BadAnswer) as error:
        message = f"{place} does not describe a pack. Pull the pack again, with --force."
        raise ProjectInvalid(message) from error


def _variants(document: Record) -> list[Record]:
    """Return the variants of a description.

    Raises:
        BadAnswer: it is another JSON object.
    """
    variants = [Record(one, "variant") for one in document.items("variants")]
    if not (document.text("pack") and variants):
        message = "It has no pack or no variants."
        raise BadAnswer(message)
    return variants


def hashed(places: Mapping[str, Path], on_progress: OnProgress) -> Iterator[tuple[str, str]]:
    """Yield the sha256 of files by name, as they are done; empty if one cannot be read."""

    def read(name: str, report: OnProgress) -> str:
        place = places[name]
        with reading_file(place):
            size = place.stat().st_size
            return digest_file(place, lambda done: report(Progress("hash", name, done, size)))

    results = each(list(places), read, on_progress=on_progress, jobs=processors())
    for name, digest in results:
        yield name, "" if isinstance(digest, LoraryError) else digest


@dataclass(frozen=True, slots=True)
class Outdated:
    """A locked version, compared with the versions that its hub has.

    Attributes:
        version: The locked version; ``state`` and ``reason`` are what the hub says of it.
        update: The version that `lorary update` would lock; empty if there is none.
        newest: The newest published version for the same base model, which may be the locked one;
            empty if there is none, and for parts of packs. A pinned version stays until
            ``lorary.toml`` is changed.
        error: Why the hub could not be asked.
    """

    wish: Wish
    version: str
    state: str = ""
    reason: str = ""
    update: str = ""
    newest: str = ""
    error: LoraryError | None = None

    @property
    def is_current(self) -> bool:
        """Whether there is nothing newer, and nothing wrong with it."""
        is_newer = bool(self.newest) and number_of(self.newest) > number_of(self.version)
        return not (self.update or is_newer or self.error) and self.state == "published"


def outdated(
    lock: Lock,
    hubs: Hubs | None = None,
    *,
    wishes: Iterable[Wish] = (),
    jobs: int = JOBS,
    on_progress: OnProgress = silent,
) -> list[Outdated]:
    """Return each locked adapter and pack, compared with its hub.

    Args:
        lock: The lock, as `load` returns it.
        hubs: Connections to use; by default new ones, which are closed at the end.
        wishes: What `lorary.toml` wants now, which an update follows; by default what was locked.
        jobs: Number of requests at the same time.
        on_progress: Called for every version.

    Only versions of the same adapter and for the same family of base models count as newer. Parts
    of packs are returned if something is wrong with them: the pack decides their version.
    """
    if hubs is None:
        with Hubs() as own:
            return outdated(lock, own, wishes=wishes, jobs=jobs, on_progress=on_progress)
    wanted = {one.label: one for one in wishes}
    asked = {
        wanted.get(wish.label, wish): (row.version, row.hub) for wish, row in lock.wishes.items()
    }
    parts = {
        Wish("adapter", row.name, row.version): (row.version, row.hub)
        for row in lock.files
        if row.packs and not row.wanted
    }
    asked |= parts

    def ask(wish: Wish, _report: OnProgress) -> Outdated:
        version, hub = asked[wish]
        session = hubs.session(hub)
        rows = brief_versions(session, wish)
        found = _compared(wish, version, rows, _target(session, wish))
        return replace(found, newest="") if wish in parts else found

    found: list[Outdated] = []
    for wish, result in each(list(asked), ask, on_progress=silent, jobs=jobs, abort=hubs.abort):
        if isinstance(result, LoraryError):
            found.append(Outdated(wish, asked[wish][0], error=result))
        else:
            found.append(result)
        on_progress(Progress("check", "versions", len(found), len(asked)))
    shown = [one for one in found if not (one.is_current and one.wish in parts)]
    return sorted(shown, key=lambda one: one.wish)


def _target(session: Session, wish: Wish) -> str:
    """Return the version of an alias; empty for other wishes, and if the alias was removed."""
    if wish.least is not None or wish.is_fixed:
        return ""
    try:
        if wish.kind == "pack":
            return packs.read_version(session, wish.reference).name
        return read_version(session, wish.reference).name
    except NotFound:
        return ""


def _compared(wish: Wish, version: str, rows: list[Brief], target: str) -> Outdated:
    missing = Brief(version, "missing", "the hub no longer has it", "")
    here = next((row for row in rows if row.name == version), missing)
    alike = [row for row in rows if row.family == here.family]
    best = newest(alike, 0)
    if wish.least is not None:
        moved = newest(alike, wish.least)
        target = moved.name if moved is not None else ""
    is_alike = any(row.name == target for row in alike)
    return Outdated(
        wish,
        version,
        here.state,
        here.reason,
        update=target if is_alike and target != version else "",
        newest=best.name if best is not None else "",
    )

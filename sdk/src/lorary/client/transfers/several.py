"""Pulls several versions and packs at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lorary.client.errors import LoraryError, TargetTaken
from lorary.client.progress import OnProgress, Progress, silent
from lorary.client.transfers.pack_pulling import FoundPack
from lorary.client.transfers.parallel import each

if TYPE_CHECKING:
    from lorary.client.transfers.folders import FileKey, Folder
    from lorary.client.transfers.pack_pulling import PulledPack
    from lorary.client.transfers.pulling import Found, Pulled

Names = Mapping["FileKey", str]


@dataclass(frozen=True, slots=True)
class Stages:
    """What is done with each reference.

    Attributes:
        expect: Is called with all references first, and may request several at once.
        find: Returns the version of a reference.
        bring: Downloads and places its files, under the given names.
        folder: The folder of the files; None for the cache.
    """

    expect: Callable[[Sequence[str]], None]
    find: Callable[[str], Found | FoundPack]
    bring: Callable[[Found | FoundPack, Names, OnProgress], Pulled | PulledPack]
    folder: Folder | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one of several references: either ``pulled`` or ``error`` is set."""

    reference: str
    pulled: Pulled | PulledPack | None = None
    error: LoraryError | None = None


def pull_all(
    references: Sequence[str],
    stages: Stages,
    *,
    on_progress: OnProgress,
    jobs: int,
    abort: Callable[[], None],
) -> Iterator[Outcome]:
    """Yield the outcome of each reference, in order; see `lorary.client.hub.Hub.pull_all`.

    All versions are found before anything is downloaded, and the names in the folder are given to
    their files in the order of the references: they do not depend on which transfer is faster.
    """
    waiting = list(dict.fromkeys(references))
    is_one_of_several = len(waiting) > 1
    stages.expect(waiting)
    results = each(
        waiting, lambda one, _: stages.find(one), on_progress=silent, jobs=jobs, abort=abort
    )
    found = dict(results)
    done = {
        one: Outcome(one, error=error)
        for one, error in found.items()
        if isinstance(error, LoraryError)
    }
    ready = {one: f for one in waiting if not isinstance(f := found[one], LoraryError)}
    names: Names = {}
    if stages.folder is not None and is_one_of_several:
        stages.folder.load()
        names, refused = _reserve(stages.folder, ready)
        done |= refused

    def work(reference: str, report: OnProgress) -> Pulled | PulledPack:
        def named(update: Progress) -> None:
            report(replace(update, name=f"{reference} {update.name}"))

        return stages.bring(ready[reference], names, named if is_one_of_several else report)

    rest = [one for one in waiting if one not in done]
    yield from _finished(waiting, done)
    for reference, result in each(rest, work, on_progress=on_progress, jobs=jobs, abort=abort):
        if isinstance(result, LoraryError):
            done[reference] = Outcome(reference, error=result)
        else:
            done[reference] = Outcome(reference, result)
        yield from _finished(waiting, done)


def _finished(waiting: list[str], done: dict[str, Outcome]) -> Iterator[Outcome]:
    """Yield the outcomes that no earlier reference holds up."""
    while waiting and waiting[0] in done:
        yield done.pop(waiting.pop(0))


def _reserve(
    folder: Folder, ready: Mapping[str, Found | FoundPack]
) -> tuple[Names, dict[str, Outcome]]:
    """Return the names of the files of all references, and the references that are refused."""
    reservation = _Reservation(folder)
    refused = {}
    for reference, found in ready.items():
        error = reservation.add(reference, found)
        if error is not None:
            refused[reference] = Outcome(reference, error=error)
    return reservation.names, refused


class _Reservation:
    """Names in a folder, given to one reference after the other."""

    def __init__(self, folder: Folder) -> None:
        self.names: dict[FileKey, str] = {}
        self._folder = folder
        self._taken: dict[str, FileKey] = {}
        self._descriptions: dict[Path, str] = {}

    def add(self, reference: str, found: Found | FoundPack) -> LoraryError | None:
        """Reserve the names of a reference; return why that is not possible."""
        rows: Sequence[Found]
        if isinstance(found, FoundPack):
            place = found.description
            other = self._descriptions.setdefault(place, reference)
            if other != reference:
                return TargetTaken(f"{place.name} describes {other} already: use another folder.")
            rows = [one for _, one in found.parts.values()]
        else:
            rows = [found]
        try:
            for one in rows:
                self.names |= self._folder.reserve(one.source, one.files, self._taken)
        except LoraryError as error:
            return error
        return None

"""Brings the index up to date with folders and with a hub."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from lorary.client.errors import LoraryError
from lorary.client.finding.by_hash import MAX_HASHES, HashFinder, Match, joined
from lorary.client.progress import OnProgress, Progress, Total, silent
from lorary.client.transfers.parallel import each
from lorary.library.index.contents import Content, read_content
from lorary.library.index.database import Counts, Index
from lorary.library.index.walking import Fault, Seen, companions_from, walk
from lorary.library.sidecars.reading import read_sidecar
from lorary.library.variants import checkpoint_of, half_of, run_of
from lorary.limits import processors

if TYPE_CHECKING:
    from lorary.client.http.session import Session

#: Answers of a hub that are older are asked for again.
FRESH_S = 24 * 3600
_SEEN, _READ, _RELATED = 900, 256, 1000  # files at once
_FORMS = 2  # hashes of one file


@dataclass(slots=True)
class Scanned:
    """What a scan did.

    Attributes:
        run: Its number.
        read: Number of files that were read.
        failure: Why the hub could not be asked; None if it answered or was not asked.
        folders: Folders that could not be read; their files stay in the index.
    """

    run: int
    counts: Counts = field(default_factory=Counts)
    read: int = 0
    failure: LoraryError | None = None
    folders: list[Fault] = field(default_factory=list)


def scan(
    index: Index,
    roots: Sequence[Path],
    session: Session | None,
    *,
    refresh: bool = False,
    on_progress: OnProgress = silent,
) -> Scanned:
    """Bring the index up to date; a file that cannot be read never stops a scan.

    Args:
        roots: Absolute paths of folders and files.
        session: The hub to ask; None to ask none.
        refresh: Whether to ask for files again that the hub was asked for in the last day.

    Raises:
        FileMissing: a root does not exist.
    """
    scanned = Scanned(index.begin())
    _walk(index, roots, scanned, on_progress)
    _read(index, scanned, on_progress)
    _relate(index, scanned.run)
    index.tidy()
    if session is not None:
        try:
            _ask(index, session, scanned, 0.0 if refresh else FRESH_S, on_progress)
        except LoraryError as error:  # what the folders have is shown all the same
            scanned.failure = error
    return scanned


def _walk(index: Index, roots: Sequence[Path], scanned: Scanned, on_progress: OnProgress) -> None:
    found = walk(roots)
    while batch := list(islice(found, _SEEN)):
        folders = [one for one in batch if isinstance(one, Fault) and one.is_folder]
        scanned.folders += folders
        files = [one for one in batch if not (isinstance(one, Fault) and one.is_folder)]
        described = index.add_files(files, scanned.run, scanned.counts)
        index.add_words([([*_words_beside(one)], one.path) for one in described])
        for folder in folders:
            index.keep(folder.path, scanned.run)
        on_progress(Progress("wait", f"for folders: {scanned.counts.files:,} files found", 0, 0))
    for root in roots:
        scanned.counts.gone += index.drop_gone(os.fsencode(root), scanned.run)


def _words_beside(seen: Seen) -> Iterator[str]:
    """Yield the trigger words in the sidecars of a file; those that cannot be read have none."""
    path = Path(os.fsdecode(seen.path))
    for name in companions_from(seen.companions).sidecars:
        try:
            values = read_sidecar(path.with_name(name))
        except LoraryError:
            continue
        for value in values:
            if value.field == "trigger_words" and isinstance(value.value, tuple):
                yield from value.value


def _read(index: Index, scanned: Scanned, on_progress: OnProgress) -> None:
    count, size_bytes = index.pending(scanned.run)
    total = Total(f"{count:,} files", size_bytes, on_progress)
    after = b""

    def work(item: tuple[bytes, str], tick: OnProgress) -> Content:
        part = total.part()

        def report(update: Progress) -> None:
            tick(Progress("wait", "", 0, 0))  # ends the thread after an interruption
            part(update)

        return read_content(Path(os.fsdecode(item[0])), item[1], report)

    while batch := index.next_pending(scanned.run, after, _READ):
        after = batch[-1][0]
        unique = list({key: (path, key) for path, key in batch}.values())
        for (_, key), result in each(unique, work, on_progress=silent, jobs=processors()):
            if isinstance(result, Content):
                index.add_content(result)
                scanned.read += 1
            else:
                index.add_fault(key, result.code, result.detail)


def _relate(index: Index, run: int) -> None:
    while rows := index.next_unrelated(run, _RELATED):
        found = []
        for raw, document in rows:
            path = os.fsdecode(raw)
            folder, name = os.path.split(path)
            checkpoint = checkpoint_of(name)
            half = half_of(name, document)
            series = f"{folder}{os.sep}{run_of(name, document)}"
            found.append((series, half, checkpoint.number, raw))
        index.add_series(found)


def _ask(
    index: Index, session: Session, scanned: Scanned, fresh_s: float, on_progress: OnProgress
) -> None:
    finder, after = HashFinder(session), ""
    before = time.time() - fresh_s
    while rows := index.next_unasked(
        scanned.run, session.endpoint, before, after, MAX_HASHES // _FORMS
    ):
        on_progress(Progress("wait", "for the hub", 0, 0))
        after = rows[-1][0]
        known = finder.ask([text for row in rows for text in row if text])
        found = {sha256: joined((sha256, data), known) for sha256, data in rows}
        index.add_answers(
            session.endpoint,
            (
                (
                    sha256,
                    any(one.version.trigger_words for one in matches),
                    [*map(place_of, matches)],
                )
                for sha256, matches in found.items()
            ),
        )


def place_of(match: Match) -> dict[str, object]:
    """Return a match as JSON values, with its trigger words."""
    return {**match.document, "trigger_words": list(match.version.trigger_words)}

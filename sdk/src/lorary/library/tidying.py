"""Moves copies to a trash folder, and adapters to where a tool looks for them.

```
<DIR>/.lorary-trash/2026-01-02T030405/<path below DIR>.trash    copies; nothing is deleted
<LORARY_HOME>/tidy/2026-01-02T030405.json                       the journal: all moves of a run
```

Tools choose files by their ending and look into hidden folders, too: ComfyUI and, by default, A1111
would list copies that keep their names.

A move is a hard link and the removal of the old name, so a file always has one of its names, and
nothing is overwritten. The files themselves show which moves are done, so the same list serves to
go on after a kill and to undo a run.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from lorary.anatomy.display_names import stem
from lorary.client.errors import Corrupt, FileMissing, LoraryError, TargetTaken, TargetUnusable
from lorary.client.names import collision_key
from lorary.client.progress import OnProgress, silent
from lorary.client.transfers.cache import digest_file
from lorary.file_locks import exclusive
from lorary.library.index.database import Index
from lorary.library.index.listing import Row
from lorary.library.index.records import Records
from lorary.library.index.scanning import scan
from lorary.library.index.walking import key_of
from lorary.replacing import replacement
from lorary.subfolders import TRASH

_FOLDER = "tidy"
_ENDING = ".trash"
_MARK = 8  # digits of a sha256 in a name
#: Errors of a hard link after which a rename or a copy may do.
_NO_LINK = frozenset({errno.EPERM, errno.EXDEV, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS})

Why = Literal["duplicate", "layout", "companion"]


@dataclass(frozen=True, slots=True)
class Move:
    """A file to move.

    Attributes:
        key: What the file was when the move was planned.
        why: ``duplicate``: it goes to the trash; ``layout``: it goes where the tool looks;
            ``companion``: it goes with its weights.
        kept: The copy that stays, of a duplicate.
    """

    source: str
    target: str
    key: str
    why: Why
    kept: str = ""


@dataclass(slots=True)
class Journal:
    """The moves of a run, stored before the first of them is made."""

    path: Path
    moves: tuple[Move, ...]
    state: Literal["open", "done", "undone"] = "open"

    def save(self) -> None:
        """Write the journal.

        Raises:
            TargetUnusable: it cannot be written.
        """
        document = {"state": self.state, "moves": [asdict(move) for move in self.moves]}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with replacement(self.path) as part, part.open("w", encoding="ascii") as file:
                json.dump(document, file)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            message = f"{self.path} cannot be written: {error.strerror}. Nothing was moved."
            raise TargetUnusable(message) from error

    @classmethod
    def read(cls, path: Path) -> Journal:
        """Read a journal.

        Raises:
            TargetUnusable: it is damaged.
        """
        try:
            document = json.loads(path.read_bytes())
            moves = tuple(Move(**one) for one in document["moves"])
            return cls(path, moves, document["state"])
        except (OSError, ValueError, TypeError, LookupError) as error:
            message = f"{path} is damaged. Remove it to continue."
            raise TargetUnusable(message) from error


def last_moves(home: Path) -> Journal | None:
    """Return the journal of the last run; None if there was none."""
    found = sorted((home / _FOLDER).glob("*.json"))
    return Journal.read(found[-1]) if found else None


def new_moves(home: Path, moves: Sequence[Move]) -> Journal:
    """Return a journal, which is not stored yet."""
    return Journal(home / _FOLDER / f"{stamp()}-{time.time_ns() % 10**9:09}.json", tuple(moves))


def stamp() -> str:
    """Return the time as a name; in UTC, because local time can go back."""
    return time.strftime("%Y-%m-%dT%H%M%S", time.gmtime())


@dataclass(slots=True)
class _Planner:
    roots: Sequence[Path]
    folder: Path | None  # where the tool looks; None to move copies only
    place: Path | None  # the same without links
    trash: str
    taken: set[str] = field(default_factory=set)
    records: Records = field(default_factory=Records)

    def is_movable(self, path: Path) -> bool:
        """Return whether a file is below a root without links, and not one that Lorary manages."""
        root = self.root_of(path)
        if root is None:
            return False
        real = root.resolve() / path.relative_to(root)
        return real == path.resolve() and self.records.entry_of(path) is None

    def root_of(self, path: Path) -> Path | None:
        """Return the root that a file is below."""
        return next((root for root in self.roots if root in path.parents), None)

    def is_placed(self, path: Path) -> bool:
        """Return whether a file is where the tool looks, whatever path leads there."""
        return self.place is not None and self.place in path.resolve().parents

    def to_trash(self, row: Row, kept: Row, heir: _Heir) -> Iterator[Move]:
        """Yield the moves of a copy and its companions; the heir gets those that it has not."""
        root = self.root_of(row.path) or row.path.parent
        target = root / TRASH / self.trash / row.path.relative_to(root)
        hidden = f"{target}{_ENDING}"
        yield Move(str(row.path), hidden, row.key, "duplicate", str(kept.path))
        yield from self._companions(row, target, heir)

    def to_layout(self, row: Row) -> Iterator[Move]:
        """Yield the moves of an adapter and its companions."""
        if self.folder is None:
            return
        name = row.path.name
        for one in (name, f"{stem(name)}--{row.sha256[:_MARK]}{row.path.suffix}"):
            target = self.folder / one
            if target.exists() and target.samefile(row.path):  # a link to it, which would break
                return
            if collision_key(str(target)) not in self.taken and not os.path.lexists(target):
                self.taken.add(collision_key(str(target)))
                yield Move(str(row.path), str(target), row.key, "layout")
                yield from self._companions(row, target)
                return

    def _companions(self, row: Row, target: Path, heir: _Heir | None = None) -> Iterator[Move]:
        old = stem(row.path.name)
        missing = frozenset(_kinds(row)) - heir.kinds if heir is not None else frozenset[str]()
        for name in row.companions.names:
            source, ending = row.path.with_name(name), name[len(old) :]
            places = [target.with_name(f"{stem(target.name)}{ending}")]
            if heir is not None and _kind(row, name) in missing:
                places.insert(0, heir.path.with_name(f"{stem(heir.path.name)}{ending}"))
            twin = row.path.with_name(f"{name[: len(old)]}{row.path.suffix}")
            if twin.exists() and not twin.samefile(row.path):  # its name differs in case
                continue
            place = next((one for one in places if not self._is_taken(one)), None)
            with contextlib.suppress(OSError):
                if place is not None and not source.is_symlink():
                    self.taken.add(collision_key(str(place)))
                    yield Move(str(source), str(place), key_of(source.stat()), "companion")
        if heir is not None:
            heir.kinds |= missing

    def _is_taken(self, place: Path) -> bool:
        return os.path.lexists(place) or collision_key(str(place)) in self.taken


@dataclass(slots=True)
class _Heir:
    """The copy that stays: what is beside the others serves it."""

    path: Path  # where it will be
    kinds: set[str]  # kinds of its companions


def _kinds(row: Row) -> Iterator[str]:
    return (_kind(row, name) for name in row.companions.names)


def _kind(row: Row, name: str) -> str:
    """Return the ending of a companion; empty for a preview, of which tools show one."""
    is_preview = name in row.companions.previews
    return "" if is_preview else name[len(stem(row.path.name)) :].casefold()


def moves_of(rows: Iterable[Row], roots: Sequence[Path], folder: Path | None) -> tuple[Move, ...]:
    """Return the moves that tidy folders; nothing is moved.

    Files that `lorary pull` or `lorary sync` wrote, files behind links, and files that are not
    below a root stay where they are.

    Args:
        rows: The files of the folders, and those that are in ``folder``.
        roots: The folders.
        folder: Where a tool looks for adapters; None to move copies only.
    """
    planner = _Planner(roots, folder, folder and folder.resolve(), stamp())
    adapters = [row for row in rows if row.error is None and row.kind == "adapter"]
    copies: dict[str, list[Row]] = {}
    for row in adapters:
        copies.setdefault(row.sha256, []).append(row)
    moves: list[Move] = []
    for same in copies.values():
        movable = {row.path: planner.is_movable(row.path) for row in same}
        kept = min(
            same,
            key=lambda row: (
                movable[row.path],
                row.copy_order(is_placed=planner.is_placed(row.path)),
            ),
        )
        is_settled = not movable[kept.path] or planner.is_placed(kept.path)
        placing = [] if is_settled else [*planner.to_layout(kept)]
        heir = _Heir(Path(placing[0].target) if placing else kept.path, {*_kinds(kept)})
        for row in same:
            if row.key != kept.key and movable[row.path]:
                moves += planner.to_trash(row, kept, heir)
        moves += placing
    return tuple(moves)


@dataclass(frozen=True, slots=True)
class Moved:
    """What became of a move; ``error`` says why the file stayed."""

    move: Move
    error: LoraryError | None = None


def apply_moves(journal: Journal) -> Iterator[Moved]:
    """Make the moves of a journal that are not made yet, and yield what became of each."""
    with _locked(journal.path.parent):
        for move in journal.moves:
            is_last = bool(move.kept) and not os.path.lexists(move.kept)
            if is_last and os.path.lexists(move.source):  # else it was moved before a kill
                message = f"{move.kept} is gone, so its copy {move.source} was left alone."
                yield Moved(move, FileMissing(message))
            else:
                yield _attempt(move, Path(move.source), Path(move.target))
        journal.state = "done"
        journal.save()


def undo_moves(journal: Journal) -> Iterator[Moved]:
    """Move the files of a journal back, and yield what became of each."""
    with _locked(journal.path.parent):
        for move in reversed(journal.moves):
            yield _attempt(move, Path(move.target), Path(move.source))
            _drop_empty(Path(move.target).parent)
        journal.state = "undone"
        journal.save()


def update_index(
    index: Index, done: Iterable[Moved], *, is_back: bool, on_progress: OnProgress = silent
) -> None:
    """Store the new paths of weights that were moved; only those on another disk are read again.

    Args:
        index: The index.
        done: What became of the moves.
        is_back: Whether they were moved back.
        on_progress: Called while they are read.
    """
    moves = [one.move for one in done if one.error is None and one.move.why != "companion"]
    pairs = [
        (move.target, move.source) if is_back else (move.source, move.target) for move in moves
    ]
    index.forget(os.fsencode(old) for old, _ in pairs)
    # The copies that stay may have got companions.
    places = [Path(new) for new in dict.fromkeys([new for _, new in pairs] + _kept(moves))]
    places = [new for new in places if TRASH not in new.parts and new.is_file()]
    scan(index, places, None, on_progress=on_progress)


def _kept(moves: Iterable[Move]) -> list[str]:
    return [move.kept for move in moves if move.kept]


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with exclusive(folder / "lock"):
        yield


def _drop_empty(folder: Path) -> None:
    """Remove folders of the trash that are empty."""
    while TRASH in folder.parts:
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent


def _attempt(move: Move, source: Path, target: Path) -> Moved:
    try:
        _move(source, target, move.key)
    except LoraryError as error:
        return Moved(move, error)
    except OSError as error:
        message = f"{source} cannot be moved to {target}: {error.strerror or error}."
        return Moved(move, TargetUnusable(message))
    return Moved(move)


def _move(source: Path, target: Path, key: str) -> None:
    """Move a file if it is still what was planned; nothing is overwritten.

    Raises:
        FileMissing: it is gone, or was changed.
        TargetTaken: another file is at the target.
        OSError: it cannot be moved.
    """
    if not os.path.lexists(source):
        if os.path.lexists(target):  # moved before a kill
            return
        message = f"{source} is gone."
        raise FileMissing(message)
    if not _is_same(source, key):
        message = f"{source} has changed since the move was planned, and was left alone."
        raise FileMissing(message)
    if os.path.lexists(target):
        if target.is_symlink() or not (target.samefile(source) or _is_copied(source, target)):
            message = f"{target} is a different file, so {source} was left alone."
            raise TargetTaken(message)
        source.unlink()  # linked or copied before a kill
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.hardlink_to(source)
    except FileExistsError as error:
        message = f"{target} is a different file, so {source} was left alone."
        raise TargetTaken(message) from error
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        _move_otherwise(source, target, is_other_disk=error.errno == errno.EXDEV)
        return
    source.unlink()


def _is_same(source: Path, key: str) -> bool:
    """Return whether a file has the size and time of a key; a copy has another inode."""
    return key_of(source.stat()).split("-")[2:] == key.split("-")[2:]


def _is_copied(source: Path, target: Path) -> bool:
    """Return whether a file was copied to another disk, and not removed yet."""
    disks = {source.stat().st_dev, target.stat().st_dev}
    return len(disks) > 1 and digest_file(source) == digest_file(target)


def _move_otherwise(source: Path, target: Path, *, is_other_disk: bool) -> None:
    """Move a file to another disk, or on a disk that has no hard links."""
    if not is_other_disk:
        source.rename(target)
        return
    part = target.with_name(f".{target.name}.lorary-part")
    try:
        shutil.copy2(source, part)
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        if digest_file(part) != digest_file(source):
            message = f"The copy of {source} on another disk differs, and was removed."
            raise Corrupt(message)
        _move(part, target, key_of(part.stat()))
    finally:
        part.unlink(missing_ok=True)
    source.unlink()

"""Folders that versions are pulled into: chooses file names and decides what may be replaced.

<folder>/
├── .lorary.json                    the record of what Lorary wrote here, see `Entry`
├── .lorary.lock                    held by the process that writes
├── noir.safetensors                weights under their own name
├── studio--ink.safetensors         weights whose own name is generic (pytorch_lora_weights)
├── studio--ink--v2.safetensors     another version
├── studio--ink--fp16.safetensors   another variant
└── studio--ink--v2/README.md       companions, only if requested

Names of owners and adapters never contain ``--``, so each name stands for one adapter only. Files
that are not in the record, or that were edited since, are never replaced unless that is requested.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
from collections.abc import Collection, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lorary.client.errors import BadAnswer, TargetTaken, TargetUnusable
from lorary.client.http.json_answers import Record
from lorary.client.names import (
    MAX_SEGMENT_BYTES,
    Reference,
    check_paths,
    collision_key,
    generic_rest,
)
from lorary.client.transfers.cache import digest_file
from lorary.file_locks import exclusive
from lorary.replacing import replacement, require_writable

if TYPE_CHECKING:
    from lorary.client.models import File, Version

_log = logging.getLogger(__name__)
RECORD, LOCK = ".lorary.json", ".lorary.lock"
_SCHEMA = 1
_SUFFIX = ".safetensors"
_NUMBER = re.compile(r"v[0-9]{1,9}\Z")

_State = Literal["here", "free", "other"]
#: Adapter, path in the version and sha256: what a file is, wherever it is written.
FileKey = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Source:
    """The version that files belong to.

    Attributes:
        hub: Address of the hub.
        adapter: The adapter.
        version: The version.
    """

    hub: str
    adapter: Reference
    version: Version

    @property
    def prefix(self) -> str:
        """``owner--name``."""
        return f"{self.adapter.owner}--{self.adapter.name}"

    @property
    def number(self) -> str:
        """``v3``, or the start of the revision."""
        name = self.version.name
        return name if _NUMBER.match(name) else self.version.revision[:8]

    def key(self, file: File) -> FileKey:
        """Return what a file of the version is."""
        return self.adapter.full_name, file.path, file.sha256


@dataclass(frozen=True, slots=True)
class Entry:
    """The record of one file."""

    hub: str  # address of its hub
    adapter: str  # ``owner/name``
    version: str  # ``v3``
    revision: str  # 40 hex digits
    path: str  # its path in the version
    sha256: str  # digest of its bytes
    size: int  # number of bytes
    mtime_ns: int  # time of its last change when it was verified
    lock: str = ""  # the lorary.lock that it was written for; empty if it was pulled
    replaces: str = ""  # digest of the bytes that it was about to replace, if that was not finished
    source: str = ""  # path of the picture on the hub that it is a copy of

    @classmethod
    def read(cls, value: object) -> Entry:
        """Read an entry of the record.

        Raises:
            BadAnswer: it is none.
        """
        record = Record(value, "entry")
        return record.into(cls, sha256=record.hexadecimal("sha256", 64))

    @classmethod
    def of(cls, source: Source, file: File, *, mtime_ns: int, lock: str = "") -> Entry:
        """Return the entry of a file that was written and verified."""
        return cls(
            hub=source.hub,
            adapter=source.adapter.full_name,
            version=source.version.name,
            revision=source.version.revision,
            path=file.path,
            sha256=file.sha256,
            size=file.size_bytes,
            mtime_ns=mtime_ns,
            lock=lock,
        )

    def fits(self, found: os.stat_result) -> bool:
        """Return whether the file is unchanged, judging by size and time."""
        return (found.st_size, found.st_mtime_ns) == (self.size, self.mtime_ns)

    @property
    def key(self) -> FileKey:
        """What the file is."""
        return self.adapter, self.path, self.sha256

    def is_at(self, place: Path) -> bool:
        """Return whether the unchanged file is at a place."""
        try:
            return self.fits(place.stat())
        except OSError:
            return False

    def has_bytes(self, place: Path) -> bool:
        """Return whether a place has the bytes that were written, or were about to be replaced."""
        try:
            return self.is_at(place) or digest_file(place) in {self.sha256, self.replaces}
        except OSError:
            return False


@dataclass(frozen=True, slots=True)
class Planned:
    """The target of a file."""

    file: File  # the file of the version
    target: Path  # its local path
    is_here: bool  # whether it is already there, unchanged


@dataclass(slots=True)
class Folder:
    """A folder and its record.

    Attributes:
        entries: Path below the folder to its record.
    """

    root: Path  # the folder; it may be missing
    may_replace: bool = False  # whether files that Lorary did not write may be replaced
    rehash: bool = False  # whether to hash existing files instead of trusting size and time
    reserved: Mapping[FileKey, str] = field(default_factory=dict)  # names to prefer, see `reserve`
    entries: dict[str, Entry] = field(default_factory=dict)

    def load(self) -> None:
        """Read the record.

        Raises:
            TargetUnusable: it is damaged.
        """
        place = self.root / RECORD
        try:
            rows = Record(json.loads(place.read_bytes()), "record").mapping("files")
            check_paths(rows)
            self.entries = {name: Entry.read(row) for name, row in rows.items()}
        except (FileNotFoundError, NotADirectoryError):
            self.entries = {}
        except (OSError, ValueError, BadAnswer) as error:
            message = (
                f"{place} is damaged. Remove it and try again: existing files are then "
                "recognised by their bytes."
            )
            raise TargetUnusable(message, facts={"path": os.fspath(place)}) from error

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the folder for writing, with an up-to-date record.

        Raises:
            TargetUnusable: the folder cannot be written to.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            (self.root / LOCK).touch()
        except OSError as error:
            raise _unusable(self.root, error.strerror) from error

        def say_waiting() -> None:
            _log.info("Waiting for another pull to %s.", self.root)

        with exclusive(self.root / LOCK, say_waiting):
            self.load()
            yield

    def check(self) -> None:
        """Check that files can be written here, before anything is downloaded.

        Raises:
            TargetUnusable: they cannot.
        """
        place = existing(self.root)
        try:
            require_writable(place)
        except NotADirectoryError as error:
            raise _unusable(self.root, f"{place} is a file") from error
        except OSError as error:
            raise _unusable(self.root, error.strerror) from error

    def plan(
        self,
        source: Source,
        files: Sequence[File],
        taken: MutableMapping[str, FileKey] | None = None,
    ) -> tuple[Planned, ...]:
        """Return the target of each file; nothing is written.

        Args:
            source: The version of the files.
            files: The files.
            taken: Names that other files will have; the new ones are added.

        Raises:
            TargetTaken: another file is in the way.
        """
        taken = {} if taken is None else taken
        planned = []
        for file in files:
            one = self._plan(source, file, taken)
            taken[collision_key(self.name_of(one))] = source.key(file)
            planned.append(one)
        return tuple(planned)

    def reserve(
        self, source: Source, files: Sequence[File], taken: MutableMapping[str, FileKey]
    ) -> dict[FileKey, str]:
        """Return the names of files that will be written later, as if they were here already.

        Raises:
            TargetTaken: another file is in the way.
        """
        names = {}
        for one in self.plan(source, files, taken):
            name = self.name_of(one)
            names[source.key(one.file)] = name
            self.entries.setdefault(name, Entry.of(source, one.file, mtime_ns=0))
        return names

    def name_of(self, planned: Planned) -> str:
        """Return the path of a target below the folder."""
        return planned.target.relative_to(self.root).as_posix()

    def add(self, source: Source, planned: Sequence[Planned]) -> None:
        """Record files that were placed; entries whose files are gone are removed."""
        for one in planned:
            found = one.target.stat()
            name = self.name_of(one)
            former = self.entries.get(name)
            is_same = former is not None and former.sha256 == one.file.sha256
            self.entries[name] = Entry.of(
                source,
                one.file,
                mtime_ns=found.st_mtime_ns,
                lock=former.lock if former is not None and is_same else "",
            )
        self.save()

    def write(self, files: Mapping[str, tuple[Entry, bytes]]) -> None:
        """Write small files after their records, so that a kill leaves no unknown file.

        Args:
            files: Path below the folder to its record, whose size, digest and time are set here,
                and its bytes.

        Raises:
            TargetUnusable: one of them cannot be written.
        """
        if not files:
            return
        with self.locked():
            for name, (entry, content) in files.items():
                former, sha256 = self.entries.get(name), hashlib.sha256(content).hexdigest()
                is_known = former is not None and former.is_at(self.place(name))
                self.entries[name] = replace(
                    entry,
                    sha256=sha256,
                    size=len(content),
                    mtime_ns=0,
                    replaces=former.sha256 if former is not None and is_known else "",
                )
            self.save(files)
            for name, (_, content) in files.items():
                write_file(self.place(name), content)
                mtime_ns = self.place(name).stat().st_mtime_ns
                self.entries[name] = replace(self.entries[name], mtime_ns=mtime_ns, replaces="")
            self.save()

    def save(self, announced: Collection[str] = ()) -> None:
        """Write the record, without entries whose files are gone.

        Args:
            announced: Entries to keep although their files are not there yet.
        """
        rows = {
            name: {key: value for key, value in asdict(entry).items() if value != ""}
            for name, entry in sorted(self.entries.items())
            if name in announced or self.place(name).is_file()
        }
        text = json.dumps({"schema": _SCHEMA, "files": rows}, indent=1)
        with replacement(self.root / RECORD) as part:
            part.write_text(f"{text}\n", encoding="ascii")

    def place(self, name: str) -> Path:
        """Return the path of an entry."""
        return self.root.joinpath(*name.split("/"))

    def _plan(self, source: Source, file: File, taken: Mapping[str, FileKey]) -> Planned:
        key = source.key(file)
        first = [self.reserved[key]] if key in self.reserved else []
        for name in (*first, *self._recorded(source, file), *self.names(source, file)):
            if taken.get(collision_key(name), key) != key:
                continue
            state = self._state(name, source, file)
            if state != "other":
                return Planned(file, self.place(name), is_here=state == "here")
        msg = f"{self.root} has no free name for {file.path}. Pull to another folder."
        raise TargetTaken(msg, facts={"path": os.fspath(self.root)})

    def _state(self, name: str, source: Source, file: File) -> _State:
        """Return whether a name has these bytes, is free, or belongs to another pulled file."""
        place, entry = self.place(name), self._entry(name)
        if not os.path.lexists(place):
            self._require_inside(place)
            return "free"
        if self._holds(place, entry, file):
            return "here"
        if entry is not None:
            is_same_path = (entry.adapter, entry.path) == (source.adapter.full_name, file.path)
            if entry.sha256 != file.sha256 and not (self.may_replace and is_same_path):
                return "other"
            if entry.is_at(place):  # damaged, although its size and time are unchanged
                return "free"
        if self.may_replace and not place.is_dir():
            self._require_inside(place)
            return "free"
        message = (
            f"{place} was not written by Lorary, or was edited later, so it was left alone. "
            "Move it, or pull with --force."
        )
        raise TargetTaken(message, facts={"path": os.fspath(place)})

    def _require_inside(self, place: Path) -> None:
        """Check that no link on the way to a file leads out of the folder.

        The hub chooses the path, and must not choose among the user's links.
        """
        if place.parent.resolve().is_relative_to(self.root.resolve()):
            return
        message = (
            f"{place.parent} is behind a link that leads out of {self.root}. Nothing was written. "
            "Pull to another folder."
        )
        raise TargetTaken(message, facts={"path": os.fspath(place)})

    def _holds(self, place: Path, entry: Entry | None, file: File) -> bool:
        """Return whether these bytes are there; the file is read only if necessary."""
        try:
            found = place.stat()
            if not place.is_file() or found.st_size != file.size_bytes:
                return False
            if entry is not None and entry.fits(found) and not self.rehash:
                return entry.sha256 == file.sha256
            return digest_file(place) == file.sha256
        except OSError:
            return False

    def _recorded(self, source: Source, file: File) -> Iterator[str]:
        """Yield the names under which this file was written before."""
        for name, entry in self.entries.items():
            if entry.key == source.key(file) and self.place(name).exists():
                yield name

    def _entry(self, name: str) -> Entry | None:
        key = collision_key(name)
        return next((e for other, e in self.entries.items() if collision_key(other) == key), None)

    def names(self, source: Source, file: File) -> Iterator[str]:
        """Yield possible names for a file, in order of preference."""
        parent, name = _split(file.path)
        if not file.is_weights:
            folder = f"{source.prefix}--{source.number}"
            yield f"{folder}/{file.path}"
            yield f"{folder}--{source.version.revision[:8]}/{file.path}"
            return
        for stem in self._stems(source, file, name):
            whole = f"{stem}{_SUFFIX}"
            if len(whole.encode()) <= MAX_SEGMENT_BYTES:
                yield f"{parent}{whole}"

    def _stems(self, source: Source, file: File, name: str) -> Iterator[str]:
        stem = name.removesuffix(_SUFFIX)
        rest = generic_rest(stem, "" if file.is_primary else file.variant)
        if rest is None:
            yield stem
            holder = self._entry(file.path)
            if holder is not None and holder.adapter == source.adapter.full_name:
                yield f"{stem}--{source.number}"
            base, mark = f"{source.prefix}--{stem}", ""
        else:
            base, mark = source.prefix, f"--{rest}" if rest else ""
        yield f"{base}{mark}"
        yield f"{base}--{source.number}{mark}"
        yield f"{source.prefix}--{source.number}--{file.sha256[:12]}"


def names_in_empty(files: Sequence[tuple[Source, File]]) -> tuple[str, ...]:
    """Return the names that files get if they are pulled one after the other into an empty folder.

    Raises:
        TargetTaken: there is no free name for one of them.
    """
    folder, taken, found = Folder(Path()), set[str](), list[str]()
    for source, file in files:
        free = (one for one in folder.names(source, file) if collision_key(one) not in taken)
        name = next(free, None)
        if name is None:
            msg = f"There is no free name for {file.path}."
            raise TargetTaken(msg)
        taken.add(collision_key(name))
        folder.entries[name] = Entry.of(source, file, mtime_ns=0)
        found.append(name)
    return tuple(found)


def _split(path: str) -> tuple[str, str]:
    """Return the folder with a trailing slash, and the name."""
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}", name


def write_file(place: Path, content: bytes) -> None:
    """Write a small file in one step. Raises TargetUnusable: it cannot be written."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with replacement(place) as part:
            part.write_bytes(content)
    except OSError as error:
        msg = f"{place} cannot be written: {error.strerror or error}."
        raise TargetUnusable(msg, facts={"path": os.fspath(existing(place))}) from error


def existing(place: Path) -> Path:
    """Return the path itself, or its nearest existing parent folder."""
    while not place.exists() and place != place.parent:
        place = place.parent
    return place


def _unusable(folder: Path, reason: str | None) -> TargetUnusable:
    message = f"Files cannot be written to {folder}: {reason}. Nothing was downloaded."
    return TargetUnusable(message, facts={"path": os.fspath(folder)})

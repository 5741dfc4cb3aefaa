"""Finds weights in folders, without reading them."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from lorary.client.errors import FileMissing
from lorary.library.sidecars.beside import NONE, Companions, companions_in, companions_of
from lorary.subfolders import is_folder, listed

SUFFIX = ".safetensors"


class Seen(NamedTuple):
    """A file that may be read.

    Attributes:
        path: Its path, as the system has it.
        key: Device, inode, size and time of its last change.
        companions: JSON with the names of its companions; empty if it has none.
        mark: Size and time of change of its sidecars.
    """

    path: bytes
    key: str
    size_bytes: int
    companions: str
    mark: str


class Fault(NamedTuple):
    """A file or a folder that cannot be read, and why."""

    path: bytes
    code: str
    message: str
    is_folder: bool = False

    @property
    def key(self) -> str:
        """A key that no file has."""
        return f"fault:{self.code}"


def companions_from(text: str) -> Companions:
    """Return the companions in ``Seen.companions``."""
    return Companions(**{key: tuple(names) for key, names in json.loads(text or "{}").items()})


def key_of(found: os.stat_result) -> str:
    """Return the identity of a file's content, as far as the system shows it."""
    return f"{found.st_dev:x}-{found.st_ino:x}-{found.st_size:x}-{found.st_mtime_ns:x}"


def walk(roots: Sequence[Path]) -> Iterator[Seen | Fault]:
    """Yield the weights in folders and their subfolders; links are followed, each folder once.

    Raises:
        FileMissing: one of the roots does not exist.
    """
    folders: set[tuple[int, int]] = set()
    given = frozenset(roots)
    beside: dict[Path, Mapping[str, Companions]] = {}  # by folder, of roots that are files
    for root in dict.fromkeys(roots):
        try:
            is_file = stat.S_ISREG(root.stat().st_mode)
        except (OSError, ValueError) as error:  # a null byte in a name raises ValueError
            reason = getattr(error, "strerror", None) or error
            message = f"{root} cannot be read: {reason}."
            raise FileMissing(message) from error
        if is_file and given.isdisjoint(root.parents):
            if root.parent not in beside:
                beside[root.parent] = _companions(root.parent)
            yield _seen(root, beside[root.parent])
        elif not is_file:
            yield from _walk(root, folders)


def _companions(folder: Path) -> Mapping[str, Companions]:
    """Return the companions in a folder; none if it cannot be read."""
    try:
        with os.scandir(folder) as listing:
            return companions_in(entry.name for entry in listing if not is_folder(entry))
    except OSError:
        return {}


def _walk(root: Path, folders: set[tuple[int, int]]) -> Iterator[Seen | Fault]:
    for folder, names, error in listed(root, folders):
        if error is not None:
            yield _fault(folder, error, is_folder=True)
            continue
        companions = companions_in(names)
        for name in names:
            if name.lower().endswith(SUFFIX):
                yield _seen(folder / name, companions)


def _seen(path: Path, companions: Mapping[str, Companions]) -> Seen | Fault:
    try:
        found = path.stat()
    except OSError as error:
        return _fault(path, error)
    if not stat.S_ISREG(found.st_mode):  # reading a pipe would wait forever
        return Fault(os.fsencode(path), "not_a_file", f"{path} is not a regular file.")
    mine = companions_of(path.name, companions)
    if mine is NONE:
        return Seen(os.fsencode(path), key_of(found), found.st_size, "", "")
    mark = "/".join(_mark(path.with_name(name)) for name in mine.sidecars)
    return Seen(os.fsencode(path), key_of(found), found.st_size, json.dumps(asdict(mine)), mark)


def _mark(sidecar: Path) -> str:
    try:
        found = sidecar.stat()
    except OSError:
        return f"{sidecar.name!r} -"
    return f"{sidecar.name!r} {found.st_size} {found.st_mtime_ns}"


def _fault(path: Path, error: OSError, *, is_folder: bool = False) -> Fault:
    message = f"{path} cannot be read: {error.strerror or error}."
    return Fault(os.fsencode(path), FileMissing.code, message, is_folder)

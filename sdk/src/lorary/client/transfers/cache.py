"""The cache: files by their SHA-256, shared by all processes and projects of a user.

<LORARY_HOME>/cache/
├── blobs/
│   ├── <sha256>               whole and verified; read-only
│   ├── <sha256>.incomplete    a download that is running, or was interrupted and can be resumed
│   └── <sha256>.seal          size and modification time of the blob when it was verified
├── locks/<sha256>.lock        held by the process that writes the blob
├── versions/<hub>/<owner>/<name>/    version data, for use when the hub is unreachable:
│   └── <revision>.json, v3.json      permanent names; <hub> is a digest of its address
└── snapshots/<owner>/<name>/<revision>/<path>    hard links to blobs, copies where that fails

Owners and adapters whose names are devices on Windows get a trailing ``_``: ``con_``.

A blob is identified by its digest, so the cache needs no invalidation. A file that was modified
after it was sealed (hard links make that possible) is hashed again before it is used.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterator
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

from lorary.client.errors import BadAnswer
from lorary.client.models import File, Version
from lorary.client.names import Reference, safe_segment

if TYPE_CHECKING:
    from hashlib import _Hash


BLOCK_BYTES = 1024 * 1024


def feed(digest: _Hash, file: FileIO, on_bytes: Callable[[int], None] | None = None) -> int:
    """Hash an open, unbuffered file from its current position to its end.

    Args:
        digest: Hash object to update.
        on_bytes: Called after each block with the number of bytes read so far.

    Returns:
        Number of bytes read.
    """
    view = memoryview(bytearray(BLOCK_BYTES))
    total = 0
    while count := file.readinto(view):
        digest.update(view[:count])
        total += count
        if on_bytes is not None:
            on_bytes(total)
    return total


def digest_file(path: Path, on_bytes: Callable[[int], None] | None = None) -> str:
    """Return the sha256 of a file as 64 hex digits."""
    digest = hashlib.sha256()
    with FileIO(path, "r") as file:
        feed(digest, file, on_bytes)
    return digest.hexdigest()


_POLL_S = 0.05

if sys.platform == "win32":
    import msvcrt

    def _try(handle: int) -> bool:
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try(handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@contextlib.contextmanager
def exclusive(path: Path, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the lock at ``path``; wait while another process holds it.

    The file is kept: removing it would let two processes lock two different files of one name.

    Args:
        path: The lock file; created if it is missing.
        on_wait: Called once if another process holds the lock.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if not _try(handle):
            on_wait()
            while not _try(handle):
                time.sleep(_POLL_S)
        yield
    finally:
        os.close(handle)


#: Names of versions that never point to another version.
_FOR_GOOD = re.compile(r"(?:v[0-9]{1,9}|[0-9a-f]{40})\Z")
_READ_ONLY = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH
_WRITABLE = _READ_ONLY | stat.S_IWUSR


class Cache:
    """The cache below one folder.

    Args:
        root: ``<LORARY_HOME>/cache``; created on the first write.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def blob(self, sha256: str) -> Path:
        """Return the path of a verified file, whether it exists or not."""
        return self.root / "blobs" / sha256

    def part(self, sha256: str) -> Path:
        """Return the path of an incomplete download."""
        return self.root / "blobs" / f"{sha256}.incomplete"

    def snapshot(self, owner: str, name: str, revision: str) -> Path:
        """Return the folder of one revision."""
        folder = self.root / "snapshots"
        return folder / safe_segment(owner) / safe_segment(name) / revision

    @contextlib.contextmanager
    def lock(self, sha256: str, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Lock a blob for writing; wait if another process is writing it.

        Args:
            on_wait: Called once before a wait.
        """
        for folder in ("blobs", "locks"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        with exclusive(self.root / "locks" / f"{sha256}.lock", on_wait):
            yield

    def missing_bytes(self, file: File) -> int:
        """Return how many bytes of a file are missing, judging by sizes alone."""
        for place in (self.blob(file.sha256), self.part(file.sha256)):
            with contextlib.suppress(OSError):
                return max(0, file.size_bytes - place.stat().st_size)
        return file.size_bytes

    def holds(self, sha256: str, size_bytes: int, *, rehash: bool = False) -> bool:
        """Return whether the blob is cached and intact; a damaged blob is removed.

        Args:
            rehash: Read the whole file even if its seal is valid.
        """
        blob = self.blob(sha256)
        try:
            found = blob.stat()
        except FileNotFoundError:
            return False
        if found.st_size == size_bytes and not rehash and self._is_sealed(sha256, found):
            return True
        if found.st_size == size_bytes and digest_file(blob) == sha256:
            self._seal(sha256)
            return True
        self.drop(sha256)
        return False

    def remember(self, endpoint: str, version: Version, adapter: Reference) -> None:
        """Store version data for offline use; write errors are ignored."""
        folder = self._versions(endpoint, adapter)
        text = json.dumps(version.data)
        for name in (version.revision, version.name):
            if not _FOR_GOOD.match(name):
                continue
            part = folder / f".{name}.{secrets.token_hex(6)}.part"
            with contextlib.suppress(OSError):
                folder.mkdir(parents=True, exist_ok=True)
                part.write_text(text, encoding="utf-8")
                part.replace(folder / f"{name}.json")

    def recall(self, endpoint: str, reference: Reference) -> Version | None:
        """Return stored version data; only for names that never change (``v3`` or a revision)."""
        if not _FOR_GOOD.match(reference.rev):
            return None
        place = self._versions(endpoint, reference) / f"{reference.rev}.json"
        try:
            version = Version.read(json.loads(place.read_bytes()))
        except (OSError, ValueError, BadAnswer):
            return None
        return version if reference.rev in {version.name, version.revision} else None

    def _versions(self, endpoint: str, adapter: Reference) -> Path:
        hub = hashlib.sha256(endpoint.encode()).hexdigest()[:16]
        folder = self.root / "versions" / hub
        return folder / safe_segment(adapter.owner) / safe_segment(adapter.name)

    def open_part(self, sha256: str) -> FileIO:
        """Open an incomplete download for reading and appending; create it if necessary."""
        part = self.part(sha256)
        try:
            return FileIO(part, "a+")
        except PermissionError:
            # Made read-only, then interrupted before the rename. Its bytes will be hashed again.
            try:
                part.chmod(_WRITABLE)
            except OSError:  # owned by another user
                part.unlink()
            return FileIO(part, "a+")

    def adopt(self, sha256: str) -> None:
        """Turn a verified download into the blob atomically."""
        part, blob = self.part(sha256), self.blob(sha256)
        part.replace(blob)
        _sync_folder(blob.parent)
        self._seal(sha256)

    def drop(self, sha256: str) -> None:
        """Remove a blob."""
        for path in (self.blob(sha256), self._seal_path(sha256)):
            path.unlink(missing_ok=True)

    def _seal_path(self, sha256: str) -> Path:
        return self.root / "blobs" / f"{sha256}.seal"

    def _seal(self, sha256: str) -> None:
        """Record that a blob is intact, and make it read-only against accidental writes."""
        blob = self.blob(sha256)
        if os.name == "posix":  # on Windows, read-only files cannot be deleted
            with contextlib.suppress(OSError):  # some disks, other users' files
                blob.chmod(_READ_ONLY)
        found = blob.stat()
        self._seal_path(sha256).write_text(_mark(found), encoding="ascii")

    def _is_sealed(self, sha256: str, found: os.stat_result) -> bool:
        try:
            return self._seal_path(sha256).read_text(encoding="ascii") == _mark(found)
        except (OSError, ValueError):
            return False


def _mark(found: os.stat_result) -> str:
    return f"{found.st_size} {found.st_mtime_ns}\n"


def place(blob: Path, target: Path) -> None:
    """Make ``target`` the same file as ``blob``: a hard link, or a copy on another disk.

    An existing ``target`` is replaced atomically; a symbolic link is replaced itself, not its
    target.
    """
    with contextlib.suppress(OSError):
        if not target.is_symlink() and target.samefile(blob):
            return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".lorary-{secrets.token_hex(6)}.part")
    try:
        try:
            part.hardlink_to(blob)
        except OSError:
            shutil.copyfile(blob, part)
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power failure, if folders can be synced."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

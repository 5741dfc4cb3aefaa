"""The cache: files by their SHA-256, shared by all processes and projects of a user.

<LORARY_HOME>/cache/
├── CACHEDIR.TAG               tells backup programs that all of this can be downloaded again
├── blobs/
│   ├── <sha256>               whole and verified; read-only
│   ├── <sha256>.incomplete    a download that is running, or was interrupted and can be resumed
│   └── <sha256>.seal          size and modification time of the blob when it was verified; its own
│                              modification time says when the blob was last used
├── locks/<sha256>.lock        held by the process that writes the blob
├── versions/<hub>/<owner>/<name>/    version data, for use when the hub is unreachable:
│   └── <revision>.json, v3.json      permanent names; <hub> is a digest of its address
├── pack-versions/<hub>/<owner>/<name>/v3.json    the same of packs
└── snapshots/<owner>/<name>/<revision>/<path>    hard links to blobs, copies where that fails

Owners and adapters whose names are devices on Windows get a trailing ``_``: ``con_``.

A blob is identified by its digest, so the cache needs no invalidation. A file that was modified
after it was sealed (hard links make that possible) is hashed again before it is used.

With LORARY_CACHE=off, ``<target>/.lorary-parts/blobs/`` takes the place of ``blobs/`` during a
download, and nothing is kept.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import stat
import sys
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

from lorary.client.errors import BadAnswer, Offline, SettingInvalid, Unreachable
from lorary.client.models import JSON, File, Version
from lorary.client.names import Reference, safe_segment
from lorary.environment import is_cache_off
from lorary.file_locks import exclusive, exclusive_now
from lorary.replacing import replacement

if sys.platform != "win32":
    import fcntl

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


_TAG = """\
Signature: 8a477f597d28d172789f06886806bc55
# This folder is a cache of Lorary. All of it can be downloaded again: https://bford.info/cachedir/
"""
_PARTS = ".lorary-parts"

#: Names of versions that never point to another version.
_FOR_GOOD = re.compile(r"(?:v[0-9]{1,9}|[0-9a-f]{40})\Z")
_FICLONE = 0x40049409
_READ_ONLY = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH
WRITABLE = _READ_ONLY | stat.S_IWUSR


def is_permanent(rev: str) -> bool:
    """Return whether the name of a version always stands for the same one: v3, or a revision."""
    return _FOR_GOOD.match(rev) is not None


def not_cached(
    failure: Unreachable, endpoint: str, reference: Reference, known: Sequence[str]
) -> Unreachable:
    """Return the error for a version that the cache cannot give while the hub is unreachable.

    Args:
        failure: Why the hub is unreachable.
        endpoint: Address of the hub.
        reference: What was asked for.
        known: The versions that the cache has.
    """
    if not isinstance(failure, Offline):
        return failure
    if is_permanent(reference.rev):
        why = f"{reference} of {endpoint} is not in the cache"
    else:
        why = f"Only the hub knows which version “{reference}” is"
    listed = f" The cache has {', '.join(known[:10])}." if known else ""
    return Offline(f"{why}, and Lorary is offline (--offline or LORARY_OFFLINE).{listed}")


class Cache:
    """The cache below one folder.

    Args:
        root: ``<LORARY_HOME>/cache``; created on the first write.
        locks: Folder of the locks; by default below the root.
        is_kept: Whether files stay in it after they were placed.
    """

    def __init__(self, root: Path, locks: Path | None = None, *, is_kept: bool = True) -> None:
        self.root = root
        self.is_kept = is_kept
        self._locks = locks or root / "locks"

    def for_target(self, folder: Path | None) -> Cache:
        """Return the cache for files of a folder: with LORARY_CACHE=off, one that keeps nothing.

        Args:
            folder: The folder; None for the cache's own folders.

        Raises:
            SettingInvalid: the cache is off, but its own folders are wanted.
        """
        if not is_cache_off():
            return self
        if folder is None:
            msg = "The cache is off (LORARY_CACHE): name a folder for the files, --to DIR (to=)."
            raise SettingInvalid(msg)
        return Cache(folder / _PARTS, self._locks, is_kept=False)

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

    def lock(
        self, sha256: str, on_wait: Callable[[], None] = lambda: None
    ) -> AbstractContextManager[None]:
        """Lock a blob for writing; wait if another process is writing it.

        Args:
            on_wait: Called once before a wait.
        """
        self._prepare()
        return exclusive(self._lock_path(sha256), on_wait)

    def lock_now(self, sha256: str) -> AbstractContextManager[bool]:
        """Lock a blob, unless another process is writing it; yield whether it is locked."""
        self._prepare()
        return exclusive_now(self._lock_path(sha256))

    def _lock_path(self, sha256: str) -> Path:
        return self._locks / f"{sha256}.lock"

    def _prepare(self) -> None:
        """Create the folders, and mark the cache as one."""
        for folder in (self.root / "blobs", self._locks):
            folder.mkdir(parents=True, exist_ok=True)
        tag = self._locks.parent / "CACHEDIR.TAG"
        if not tag.exists():
            with contextlib.suppress(OSError):
                tag.write_text(_TAG, encoding="ascii")

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
            with contextlib.suppress(OSError):  # another user's cache
                os.utime(self.seal(sha256))
            return True
        if found.st_size == size_bytes and digest_file(blob) == sha256:
            self._seal(sha256)
            return True
        self.drop(sha256)
        return False

    def remember(self, endpoint: str, version: Version, adapter: Reference) -> None:
        """Store version data for offline use; write errors are ignored."""
        folder = self._versions("versions", endpoint, adapter)
        self._remember(folder, (version.revision, version.name), version.data)

    def recall(self, endpoint: str, reference: Reference) -> Version | None:
        """Return stored version data; only for names that never change (``v3`` or a revision)."""
        try:
            version = Version.read(self._recalled("versions", endpoint, reference))
        except (OSError, ValueError, BadAnswer):
            return None
        return version if reference.rev in {version.name, version.revision} else None

    def remember_pack(self, endpoint: str, reference: Reference, data: JSON) -> None:
        """Store data of a pack's version for offline use; write errors are ignored."""
        folder = self._versions("pack-versions", endpoint, reference)
        self._remember(folder, (reference.rev,), data)

    def recall_pack(self, endpoint: str, reference: Reference) -> object:
        """Return stored data of a pack's version, None if there are none."""
        try:
            return self._recalled("pack-versions", endpoint, reference)
        except (OSError, ValueError):
            return None

    def remembered(self, kind: str, endpoint: str, reference: Reference) -> list[str]:
        """Return the names of stored versions, the newest first.

        Args:
            kind: ``versions`` or ``pack-versions``.
            endpoint: Address of the hub.
            reference: The adapter or the pack.
        """
        found = self._versions(kind, endpoint, reference).glob("v*.json")
        names = (path.stem for path in found)
        return sorted(names, key=lambda name: (len(name), name), reverse=True)

    def _remember(self, folder: Path, names: Collection[str], data: JSON) -> None:
        if not self.is_kept:
            return
        text = json.dumps(data)
        for name in filter(is_permanent, names):
            with contextlib.suppress(OSError):
                folder.mkdir(parents=True, exist_ok=True)
                with replacement(folder / f"{name}.json") as part:
                    part.write_text(text, encoding="utf-8")

    def _recalled(self, kind: str, endpoint: str, reference: Reference) -> object:
        if not is_permanent(reference.rev):
            raise ValueError
        place = self._versions(kind, endpoint, reference) / f"{reference.rev}.json"
        return json.loads(place.read_bytes())

    @staticmethod
    def hub_key(endpoint: str) -> str:
        """Return the name of the folders with data of a hub."""
        return hashlib.sha256(endpoint.encode()).hexdigest()[:16]

    def _versions(self, kind: str, endpoint: str, reference: Reference) -> Path:
        folder = self.root / kind / self.hub_key(endpoint)
        return folder / safe_segment(reference.owner) / safe_segment(reference.name)

    def open_part(self, sha256: str) -> FileIO:
        """Open an incomplete download for reading and appending; create it if necessary."""
        part = self.part(sha256)
        if not part.parent.is_dir():  # removed by `discard` of another process since `lock`
            self._prepare()
        try:
            return FileIO(part, "a+")
        except PermissionError:
            # Made read-only, then interrupted before the rename. Its bytes will be hashed again.
            try:
                part.chmod(WRITABLE)
            except OSError:  # owned by another user
                part.unlink()
            return FileIO(part, "a+")

    def adopt(self, sha256: str) -> None:
        """Turn a verified download into the blob atomically.

        The folder is not synced: after a power failure before the new name is stored, the bytes
        are still those of the incomplete download.
        """
        part, blob = self.part(sha256), self.blob(sha256)
        part.replace(blob)
        self._seal(sha256)

    def drop(self, sha256: str) -> None:
        """Remove a blob."""
        for path in (self.blob(sha256), self.seal(sha256)):
            path.unlink(missing_ok=True)

    def discard(self, sha256s: Collection[str]) -> None:
        """Remove blobs that were placed, if the cache keeps nothing."""
        if self.is_kept:
            return
        for sha256 in sha256s:
            with contextlib.suppress(PermissionError):  # on Windows, while another pull reads it
                self.drop(sha256)
        with contextlib.suppress(OSError):  # other downloads are under way
            (self.root / "blobs").rmdir()
            self.root.rmdir()

    def seal(self, sha256: str) -> Path:
        """Return the path of the seal of a blob."""
        return self.root / "blobs" / f"{sha256}.seal"

    def _seal(self, sha256: str) -> None:
        """Record that a blob is intact, and make it read-only against accidental writes."""
        blob = self.blob(sha256)
        if os.name == "posix":  # on Windows, read-only files cannot be deleted
            with contextlib.suppress(OSError):  # some disks, other users' files
                blob.chmod(_READ_ONLY)
        found = blob.stat()
        self.seal(sha256).write_text(_mark(found), encoding="ascii")

    def _is_sealed(self, sha256: str, found: os.stat_result) -> bool:
        try:
            return self.seal(sha256).read_text(encoding="ascii") == _mark(found)
        except (OSError, ValueError):
            return False


def _mark(found: os.stat_result) -> str:
    return f"{found.st_size} {found.st_mtime_ns}\n"


def place(blob: Path, target: Path, *, may_move: bool = False) -> None:
    """Make ``target`` the same file as ``blob``: a hard link, a clone or a copy.

    A hard link and a clone use no space; which of them is possible depends on the disks.

    An existing ``target`` is replaced atomically; a symbolic link is replaced itself, not its
    target.

    Args:
        may_move: Whether to rename the blob where it cannot be linked.
    """
    with contextlib.suppress(OSError):
        if not target.is_symlink() and target.samefile(blob):
            return
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacement(target) as part:
        _duplicate(blob, part, may_move=may_move)


def _duplicate(blob: Path, part: Path, *, may_move: bool) -> None:
    """Create a second name for a file; otherwise a file that shares its blocks, or a copy."""
    with contextlib.suppress(OSError):
        part.hardlink_to(blob)
        return
    if may_move:
        blob.replace(part)
        return
    try:
        _clone(blob, part)
    except OSError:
        shutil.copyfile(blob, part)


def _clone(blob: Path, part: Path) -> None:
    """Create a file that shares its blocks with another: Btrfs, XFS and others can, on Linux.

    Source: ``ioctl_ficlone(2)``.
    """
    if sys.platform != "linux":
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
    with blob.open("rb") as source, part.open("wb") as target:
        fcntl.ioctl(target, _FICLONE, source.fileno())

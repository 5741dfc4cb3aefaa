"""What is in the cache: lists, verifies and removes files.

Removing a file takes its lock, so one that a running pull writes is left alone. A pull whose file
is removed before it is placed fetches it again.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lorary.client.errors import LoraryError, NotFound
from lorary.client.models import Version
from lorary.client.names import Reference
from lorary.client.progress import Progress
from lorary.client.transfers.cache import digest_file
from lorary.client.transfers.parallel import each
from lorary.limits import processors

if TYPE_CHECKING:
    from lorary.client.progress import OnProgress
    from lorary.client.transfers.cache import Cache

_BLOB = re.compile(r"([0-9a-f]{64})(\.incomplete)?\Z")
_DIGEST = re.compile(r"[0-9a-f]{8,64}\Z")

Outcome = Literal["removed", "in_use", "shared"]


@dataclass(frozen=True, slots=True)
class CachedFile:
    """A file in the cache.

    Attributes:
        sha256: Its digest.
        size_bytes: Its size; of an unfinished download, of what is here.
        is_whole: Whether it is whole; otherwise the download can be resumed.
        used_at: When it was last used, in seconds since 1970.
        is_linked: Whether a folder outside the cache has the same file, so that removing it here
            frees no space.
        versions: ``owner/name@v1`` of each version that is known to have it.
        paths: Its paths in these versions.
    """

    sha256: str
    size_bytes: int
    is_whole: bool
    used_at: float
    is_linked: bool
    versions: tuple[str, ...]
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Removed:
    """What became of a file: ``shared`` means that another version has it, too."""

    file: CachedFile
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class _Known:
    """A version whose data the cache has."""

    version: Version
    snapshot: Path
    data: tuple[Path, ...]  # the files with its data

    @property
    def label(self) -> str:
        return f"{self.version.adapter}@{self.version.name}"

    @property
    def order(self) -> tuple[str, int, str]:
        """Sort key: adapters by name, versions by number."""
        return self.version.adapter, len(self.version.name), self.version.name

    def is_of(self, reference: Reference) -> bool:
        """Return whether a reference means this version; without a rev, all of an adapter."""
        is_adapter = self.version.adapter.casefold() == reference.full_name.casefold()
        return is_adapter and reference.rev in {"", self.version.name, self.version.revision}


class CachedFiles:
    """The files in the cache, as they are when this is created."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._known = sorted(_known(cache), key=lambda one: one.order)
        self._users: dict[str, list[tuple[_Known, str]]] = {}
        for one in self._known:
            for file in one.version.files:
                self._users.setdefault(file.sha256, []).append((one, file.path))
        found = (self._file(place) for place in cache.blob("x").parent.glob("*"))
        self.all = sorted((one for one in found if one), key=lambda one: one.used_at, reverse=True)

    def _file(self, place: Path) -> CachedFile | None:
        """Return a file of the folder; None for seals, and for one that is gone by now."""
        match = _BLOB.match(place.name)
        if match is None:
            return None
        sha256, is_whole = match[1], not match[2]
        try:
            found = place.stat()
            used_at = self._used_at(sha256, place)
        except OSError:
            return None
        users = self._users.get(sha256, [])
        own_links = len(self._links.get((found.st_dev, found.st_ino), []))
        return CachedFile(
            sha256=sha256,
            size_bytes=found.st_size,
            is_whole=is_whole,
            used_at=used_at,
            is_linked=found.st_nlink > 1 + own_links,
            versions=tuple(dict.fromkeys(one.label for one, _ in users)),
            paths=tuple(dict.fromkeys(path for _, path in users)),
        )

    def _used_at(self, sha256: str, place: Path) -> float:
        if place == self._cache.blob(sha256):
            with contextlib.suppress(OSError):
                return self._cache.seal(sha256).stat().st_mtime
        return place.stat().st_mtime

    @cached_property
    def _links(self) -> dict[tuple[int, int], list[Path]]:
        """The files of snapshots by device and inode."""
        found: dict[tuple[int, int], list[Path]] = {}
        for folder, _, names in os.walk(self._cache.root / "snapshots"):
            for name in names:
                place = Path(folder, name)
                with contextlib.suppress(OSError):
                    facts = place.stat()
                    found.setdefault((facts.st_dev, facts.st_ino), []).append(place)
        return found

    def stale(self, *, unused_since: float | None, max_bytes: int | None) -> list[CachedFile]:
        """Return the files to remove, the least recently used first.

        Args:
            unused_since: Remove what was not used since, in seconds since 1970.
            max_bytes: Then remove until no more than this is left.
        """
        kept = self.all
        if unused_since is not None:
            kept = [one for one in kept if one.used_at >= unused_since]
        if max_bytes is not None:
            total, recent = 0, []
            for one in kept:
                total += one.size_bytes
                if total > max_bytes:
                    break
                recent.append(one)
            kept = recent
        return self.all[len(kept) :][::-1]

    def verify(self, on_progress: OnProgress) -> Iterator[tuple[CachedFile, bool]]:
        """Hash all whole files, on all processors, and yield whether each is intact."""

        def read(file: CachedFile, report: OnProgress) -> str | None:
            def on_bytes(done: int) -> None:
                report(Progress("hash", file.sha256[:12], done, file.size_bytes))

            try:
                return digest_file(self._cache.blob(file.sha256), on_bytes)
            except FileNotFoundError:  # removed meanwhile
                return None
            except OSError:  # the disk is damaged
                return ""

        whole = [one for one in self.all if one.is_whole]
        for file, digest in each(whole, read, on_progress=on_progress, jobs=processors()):
            if digest is not None:
                yield file, digest == file.sha256

    def remove(self, files: Iterable[CachedFile], *, dry_run: bool = False) -> Iterator[Removed]:
        """Remove files and their links in snapshots; those that are being written stay."""
        for file in files:
            with self._cache.lock_now(file.sha256) as is_locked:
                is_removed = is_locked and (dry_run or self._remove(file))
            yield Removed(file, "removed" if is_removed else "in_use")

    def _remove(self, file: CachedFile) -> bool:
        """Remove a file, unless it was used since it was listed; return whether it is gone."""
        own = self._cache.blob if file.is_whole else self._cache.part
        with contextlib.suppress(FileNotFoundError):
            if self._used_at(file.sha256, own(file.sha256)) != file.used_at:
                return False
        places = [
            one.snapshot.joinpath(*path.split("/"))
            for one, path in self._users.get(file.sha256, [])
        ]
        with contextlib.suppress(OSError):
            facts = self._cache.blob(file.sha256).stat()
            places += self._links.get((facts.st_dev, facts.st_ino), [])
        try:
            if file.is_whole:
                self._cache.drop(file.sha256)
            else:
                self._cache.part(file.sha256).unlink(missing_ok=True)
                places = []
        except PermissionError:  # on Windows, while a program has it open
            return False
        for place in places:
            with contextlib.suppress(OSError):
                place.unlink(missing_ok=True)
            self._tidy(place.parent)
        return True

    def _tidy(self, folder: Path) -> None:
        """Remove empty folders of snapshots."""
        while folder.parent != self._cache.root:
            try:
                folder.rmdir()
            except OSError:  # not empty, or gone
                return
            folder = folder.parent

    def remove_named(self, names: Sequence[str], *, dry_run: bool = False) -> Iterator[Removed]:
        """Remove the files of versions, of all versions of adapters, or with digests.

        Files that another version has, too, stay, unless their digest was given.

        Args:
            names: Each ``owner/name[@version]``, or at least 8 digits of a sha256.
            dry_run: Remove nothing.

        Raises:
            NotFound: the cache has nothing of one of the names; nothing was removed.
            ReferenceInvalid: one is neither; nothing was removed.
        """
        known: list[_Known] = []
        digests: set[str] = set()
        for name in names:
            digits = name.lower().removeprefix("sha256:")
            if _DIGEST.match(digits):
                digests |= self._with_digits(digits)
            else:
                known += self._named(name)
        labels = {one.label for one in known}
        listed = digests | {file.sha256 for one in known for file in one.version.files}
        files = [one for one in self.all if one.sha256 in listed]
        alone = [one for one in files if one.sha256 in digests or labels.issuperset(one.versions)]
        yield from self.remove(alone, dry_run=dry_run)
        yield from (Removed(one, "shared") for one in files if one not in alone)
        if not dry_run:
            self._forget(known)

    def _with_digits(self, digits: str) -> set[str]:
        found = {one.sha256 for one in self.all if one.sha256.startswith(digits)}
        if not found:
            msg = f"The cache has no file with the sha256 {digits}."
            raise NotFound(msg)
        return found

    def _named(self, name: str) -> list[_Known]:
        reference = Reference.parse(name)
        found = [one for one in self._known if one.is_of(reference)]
        if not found:
            msg = f"The cache has no file of {reference}. `lorary cache ls` lists what it has."
            raise NotFound(msg)
        return found

    def _forget(self, known: Sequence[_Known]) -> None:
        """Remove the data of versions, and what is left of their snapshots."""
        for one in known:
            for place in one.data:
                place.unlink(missing_ok=True)
            for file in one.version.files:
                place = one.snapshot.joinpath(*file.path.split("/"))
                with contextlib.suppress(OSError):
                    place.unlink(missing_ok=True)
                self._tidy(place.parent)


def cached_versions(cache: Cache, endpoint: str) -> list[Version]:
    """Return the versions of a hub whose data the cache has, by adapter and number."""
    hub = cache.hub_key(endpoint)
    known = (one for one in _known(cache) if one.data[0].parents[2].name == hub)
    return [one.version for one in sorted(known, key=lambda one: one.order)]


def _known(cache: Cache) -> Iterator[_Known]:
    for place in (cache.root / "versions").glob("*/*/*/*.json"):
        try:
            version = Version.read(json.loads(place.read_bytes()))
            adapter = Reference.parse(version.adapter)
            data = (place, place.with_name(f"{version.name}.json"))
        except (OSError, ValueError, LoraryError):  # such as a name that is none: a/b
            continue
        if place.stem == version.revision:
            snapshot = cache.snapshot(adapter.owner, adapter.name, version.revision)
            yield _Known(version, snapshot, data)

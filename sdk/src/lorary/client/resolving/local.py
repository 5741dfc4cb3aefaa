"""Finds adapters in folders and in the cache."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from lorary.client.errors import LoraryError
from lorary.client.finding.by_hash import Digests, digests_of
from lorary.client.progress import Total
from lorary.client.transfers.folders import Folder
from lorary.limits import processors
from lorary.pictures.claims.facts import WEIGHT_ENDINGS, without_ending
from lorary.subfolders import listed

if TYPE_CHECKING:
    from lorary.client.progress import OnProgress
    from lorary.client.resolving.references import LoraReference
    from lorary.client.transfers.cache import Cache

_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
#: Kinds of hashes that begin a digest of the whole file, and of the data after its header.
_OF_FILE, _OF_DATA = ("sha256", "autov2"), ("data_sha256", "autov3")


#: Kinds that can be computed here; BLAKE3 needs a package, and CRC-32 proves nothing.
COMPUTED = frozenset({*_OF_FILE, *_OF_DATA})


class LocalFiles:
    """The weights in some folders, and the cache.

    Files are hashed once, and only those that may be wanted.

    Args:
        folders: Folders, which are searched with their subfolders.
        cache: The cache.
    """

    def __init__(self, folders: Sequence[Path], cache: Cache, on_progress: OnProgress) -> None:
        self._cache = cache
        self._on_progress = on_progress
        self._records = dict(_recorded(folders))
        self._digests: dict[Path, Digests | None] = {}
        self.paths = list(dict.fromkeys(path for root in folders for path in _weights(root)))
        self._by_stem: dict[str, list[Path]] = {}
        self._by_size: dict[int, list[Path]] = {}
        for path in self.paths:
            self._by_stem.setdefault(without_ending(path.name).casefold(), []).append(path)
            self._by_size.setdefault(_size(path), []).append(path)

    def cached(self, sha256: str, size_bytes: int) -> Path | None:
        """Return the cached file with a digest."""
        if self._cache.holds(sha256, size_bytes):
            return self._cache.blob(sha256)
        return None

    def of_size(self, size_bytes: int) -> list[Path]:
        """Return the files of a size."""
        return self._by_size.get(size_bytes, [])

    def named(self, name: str) -> list[Path]:
        """Return the files of a name; those in the same folders come first."""
        wanted = without_ending(name.replace("\\", "/")).casefold()
        return by_name(self._by_stem.get(wanted.rpartition("/")[2], []), name)

    def digests(self, path: Path) -> Digests | None:
        """Return the digests of a file; None if it cannot be read."""
        if path not in self._digests:
            self._digests[path] = _hashed(path, self._on_progress)
        return self._digests[path]

    def sha256_of(self, path: Path) -> str:
        """Return the digest of a file, from the record of the folder if it is unchanged there."""
        if path in self._records:
            return self._records[path]
        found = self.digests(path)
        return found.sha256 if found else ""

    def hash_all(self) -> None:
        """Hash all files that are not hashed yet, on all processors."""
        rest = [path for path in self.paths if path not in self._digests]
        total = Total(f"{len(rest):,} files", sum(map(_size, rest)), self._on_progress)
        with ThreadPoolExecutor(processors(), "lorary-hash") as pool:
            found = pool.map(lambda path: _hashed(path, total.part()), rest)
            self._digests.update(zip(rest, found, strict=True))

    def matching(self, reference: LoraReference, paths: Iterable[Path]) -> Path | None:
        """Return the first of some files that has a hash of a reference."""
        for path in paths:
            found = self.digests(path)
            if found is not None and has_hash(found, reference):
                return path
        return None


def by_name(paths: Iterable[Path], name: str) -> list[Path]:
    """Return paths in their order, after those that have a name: exactly, or in another case."""
    wanted = without_ending(f"/{name}".replace("\\", "/"))
    last = wanted.rpartition("/")[2]

    def order(path: Path) -> tuple[bool, bool, bool]:
        own = without_ending(f"/{path.as_posix()}")
        is_there = own.casefold().endswith(wanted.casefold())
        stem = own.rpartition("/")[2]
        return not is_there, stem.casefold() != last.casefold(), stem != last

    return sorted(paths, key=order)


def _hashed(path: Path, on_progress: OnProgress) -> Digests | None:
    try:
        return digests_of(path, on_progress)
    except LoraryError:
        return None


def has_hash(digests: Digests, reference: LoraReference) -> bool:
    """Return whether a file has one of the hashes of a reference.

    SwarmUI gives the digest of the data where others give that of the file, so a whole digest may
    be either.
    """
    hashes = reference.hashes
    of_file = [hashes[kind] for kind in _OF_FILE if kind in hashes]
    of_data = [hashes[kind] for kind in (*_OF_DATA, "sha256") if kind in hashes]
    return any(digests.sha256.startswith(text) for text in of_file) or any(
        bool(digests.data) and digests.data.startswith(text) for text in of_data
    )


def _recorded(folders: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    """Yield the files that Lorary wrote into folders and that are unchanged, with their sha256."""
    for root in folders:
        folder = Folder(root)
        try:
            folder.load()
        except LoraryError:
            continue
        for name, entry in folder.entries.items():
            path = root.joinpath(*name.split("/"))
            try:
                if entry.fits(path.stat()) and _SHA256.match(entry.sha256):
                    yield path, entry.sha256
            except OSError:
                continue


def _weights(root: Path) -> Iterator[Path]:
    """Yield the files with weights in a folder and its subfolders, in order."""
    for folder, names, _ in listed(root):
        for name in names:
            if name.lower().endswith(WEIGHT_ENDINGS):
                yield folder / name


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1

"""From a version on a hub to verified files here."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lorary.client.cache import Cache, place
from lorary.client.digests import digest_file
from lorary.client.download import fetch
from lorary.client.errors import DiskFull, FileMissing, Gone, TargetTaken
from lorary.client.models import File, Version
from lorary.client.names import Reference, check_paths

if TYPE_CHECKING:
    from pathlib import Path

    from lorary.client.progress import OnProgress
    from lorary.client.session import Session

__all__ = ["Destination", "Pulled", "PulledFile", "pull", "read_version"]


@dataclass(frozen=True, slots=True)
class PulledFile:
    """A file that is here now.

    Attributes:
        file: What the version lists.
        local_path: Where it is.
        bytes_fetched: Bytes that came over the network for it, 0 when the cache had it.
    """

    file: File
    local_path: Path
    bytes_fetched: int


@dataclass(frozen=True, slots=True)
class Pulled:
    """A version that is here now."""

    adapter: str
    version: Version
    folder: Path
    files: tuple[PulledFile, ...]

    @property
    def path(self) -> Path:
        """The primary weights file; the folder when the version has none."""
        for pulled in self.files:
            if pulled.file.is_primary:
                return pulled.local_path
        return self.folder


def read_version(session: Session, reference: Reference) -> Version:
    """Ask for a version; without a rev, for the latest."""
    return Version.read(session.json("GET", reference.version_path))


@dataclass(frozen=True)
class Destination:
    """Where pulled files go: a folder, or the cache's own; and whether they may replace others'."""

    folder: Path | None = None
    may_replace: bool = False


def pull(
    session: Session,
    cache: Cache,
    reference: Reference,
    *,
    to: Destination,
    rehash: bool,
    on_progress: OnProgress,
) -> Pulled:
    """Resolve, fetch, and place; see `lorary.client.hub.Hub.pull`."""
    version = read_version(session, reference)
    if version.state == "withdrawn":
        msg = f"{reference} was withdrawn: {version.reason or 'no reason was given'}"
        raise Gone(msg)
    check_paths(file.path for file in version.files)
    adapter = Reference.parse(version.adapter or reference.full_name)
    folder = to.folder or cache.snapshot(adapter.owner, adapter.name, version.revision)
    if to.folder is not None and not to.may_replace:
        for file in version.files:
            _require_own(cache, folder.joinpath(*file.path.split("/")), file.sha256)
    pulled = []
    for file in version.files:
        count = fetch(session, cache, file, rehash=rehash, on_progress=on_progress)
        target = folder.joinpath(*file.path.split("/"))
        _place(cache.blob(file.sha256), target)
        pulled.append(PulledFile(file, target, count))
    return Pulled(adapter.full_name, version, folder, tuple(pulled))


def _require_own(cache: Cache, target: Path, sha256: str) -> None:
    """See that what will be replaced came from a hub, so that it can be had again.

    Raises:
        TargetTaken: it is the only copy this cache knows of.
    """
    if not target.is_file() or target.is_symlink():
        return
    there = digest_file(target)
    if there != sha256 and not cache.blob(there).is_file():
        message = f"{target} is another file and was left alone. Move it, or pull with --force."
        raise TargetTaken(message, facts={"path": os.fspath(target)})


def _place(blob: Path, target: Path) -> None:
    try:
        place(blob, target)
    except OSError as error:
        kind = DiskFull if error.errno == 28 else FileMissing
        message = f"{target} cannot be written: {error.strerror or error}."
        raise kind(message, facts={"path": os.fspath(target)}) from error

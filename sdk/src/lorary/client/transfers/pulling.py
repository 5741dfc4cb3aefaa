"""Pulls a version from a hub into verified local files."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lorary.client.errors import (
    BadAnswer,
    DiskFull,
    Gone,
    LoraryError,
    NotFound,
    TargetUnusable,
    Unreachable,
)
from lorary.client.http.json_answers import Record
from lorary.client.models import Adapter, File, Version
from lorary.client.names import Reference, check_paths
from lorary.client.progress import silent
from lorary.client.transfers.cache import WRITABLE, Cache, not_cached, place
from lorary.client.transfers.derived import (
    PEFT_CONFIG,
    PEFT_WEIGHTS,
    DerivedFile,
    Form,
    derive,
)
from lorary.client.transfers.download import fetch
from lorary.client.transfers.folders import (
    FileKey,
    Folder,
    Planned,
    Source,
    existing,
    write_file,
)

if TYPE_CHECKING:
    from lorary.client.finding.by_hash import Match
    from lorary.client.http.session import Session
    from lorary.client.progress import OnProgress


@dataclass(frozen=True, slots=True)
class PulledFile:
    """A pulled file.

    Attributes:
        file: The file of the version.
        local_path: Its local path.
        bytes_fetched: Bytes received over the network for it; 0 if it was cached.
        was_here: Whether it was already in its place.
    """

    file: File
    local_path: Path
    bytes_fetched: int
    was_here: bool = False


@dataclass(frozen=True, slots=True)
class Pulled:
    """A pulled version.

    Attributes:
        adapter: ``owner/name``.
        version: The version.
        folder: The folder of its files.
        files: The pulled files.
        left_out: Companions that were not requested.
        is_offline: Whether the hub was unreachable; all data then comes from the cache.
    """

    adapter: str
    version: Version
    folder: Path
    files: tuple[PulledFile, ...]
    left_out: tuple[File, ...] = ()
    is_offline: bool = False

    @property
    def path(self) -> Path:
        """The primary weights file; the folder if the version has none."""
        for pulled in self.files:
            if pulled.file.is_primary:
                return pulled.local_path
        return self.folder


def read_version(session: Session, reference: Reference) -> Version:
    """Request a version; the latest if the reference has no rev."""
    return Version.read(session.json("GET", reference.version_path))


#: States of versions whose data the cache stores.
_REMEMBERED = frozenset({"published", "yanked"})
#: Maximum number of references in a request.
_AT_ONCE = 50


def read_versions(session: Session, references: Sequence[Reference]) -> dict[Reference, Version]:
    """Request several versions at once, and return those that the hub gives this way.

    The others must be requested alone, which also says why one cannot be had: a hub of an earlier
    release answers none. Nothing is tried again.
    """
    return _read_several(session, references, "references")[0]


def read_with_adapters(
    session: Session, references: Sequence[Reference]
) -> tuple[dict[Reference, Version], dict[str, Adapter]]:
    """Request versions as `read_versions` does, and their adapters in the same requests.

    Returns:
        The versions, and name → adapter; a hub of an earlier release returns no adapters.
    """
    return _read_several(session, references, "references?adapters=true")


def _read_several(
    session: Session, references: Sequence[Reference], path: str
) -> tuple[dict[Reference, Version], dict[str, Adapter]]:
    found: dict[Reference, Version] = {}
    adapters: dict[str, Adapter] = {}
    wanted = list(dict.fromkeys(references))
    if len(wanted) == 1:
        return found, adapters
    for first in range(0, len(wanted), _AT_ONCE):
        by_text = {str(one): one for one in wanted[first : first + _AT_ONCE]}
        try:
            data = {"references": list(by_text)}
            answer = Record(session.json_once("POST", path, data), "list")
            rows = [Record(row, "result") for row in answer.items("results")]
            found |= {
                by_text[row.text("reference")]: Version.read(row.data["version"])
                for row in rows
                if row.data.get("version") and row.text("reference") in by_text
            }
            adapters |= {one.full_name: one for one in map(Adapter.read, answer.items("adapters"))}
        except LoraryError:
            break
    return found, adapters


def remember_versions(
    session: Session,
    cache: Cache,
    references: Iterable[Reference],
    known: Mapping[tuple[str, Reference], Version],
) -> None:
    """Store the data of versions for offline use, as a pull does.

    Versions that the cache does not have are requested. Those that the hub does not return are left
    out; nothing is tried again.

    Args:
        references: Exact versions, whose files are downloaded next.
        known: Versions that were requested already, by address of the hub and reference.
    """
    hub, found = session.endpoint, dict[Reference, Version]()
    new = [one for one in dict.fromkeys(references) if cache.recall(hub, one) is None]
    unknown = [one for one in new if (hub, one) not in known]
    if len(unknown) == 1:
        with contextlib.suppress(LoraryError):
            answer = session.json_once("GET", unknown[0].version_path, None)
            found[unknown[0]] = Version.read(answer)
    else:
        found = read_versions(session, unknown)
    for one in new:
        version = found.get(one) or known.get((hub, one))
        if version is not None and version.state in _REMEMBERED:
            cache.remember(hub, version, Reference.parse(version.adapter or one.full_name))


@dataclass(frozen=True)
class Destination:
    """Where to put pulled files.

    Attributes:
        folder: A folder, in which `lorary.client.transfers.folders` chooses the names; None for the
            cache's own folder, in which files keep their names.
        only_sha256: Digest of the only file to pull; empty for all files.
        form: The form of the weights, which the hub makes; without one they are as uploaded.
        made: How the hub made the only file to pull, and a hash of it.
    """

    folder: Path | None = None
    may_replace: bool = False  # whether files that Lorary did not write may be replaced
    has_companions: bool = False  # whether README.md, samples etc. go into the folder as well
    only_sha256: str = ""
    names: Mapping[FileKey, str] = field(default_factory=dict)  # names to prefer in the folder
    form: Form = field(default_factory=Form)
    made: Match | None = None

    def for_made(self, match: Match | None) -> Destination:
        """Return the destination for a file that the hub made; a requested form comes first."""
        if match is None or match.derived is None or self.form:
            return self
        form = Form(match.derived.naming, match.derived.max_rank, match.derived.strip)
        return replace(self, form=form, only_sha256=match.file.sha256, made=match)

    def wants(self, file: File) -> bool:
        """Whether a file of a version goes there."""
        if self.only_sha256:
            return file.sha256 == self.only_sha256
        is_whole = self.folder is None and not self.form
        return is_whole or file.is_weights or self.has_companions


@dataclass(frozen=True, slots=True)
class Found:
    """A version that will be pulled.

    Attributes:
        source: The version.
        files: The files of it that are wanted.
        failure: Why the hub is unreachable; None if it is not.
    """

    source: Source
    files: tuple[File, ...]
    failure: Unreachable | None


def find(
    session: Session,
    cache: Cache,
    reference: Reference,
    to: Destination,
    on_progress: OnProgress = silent,
    *,
    known: Version | None = None,
) -> Found:
    """Return the version for a reference; nothing is downloaded or written.

    With a form, the files are those that the hub made, which can take a while.

    Args:
        known: The version, if it was requested already.
    """
    cache.for_target(to.folder)  # fails before anything is requested
    version, failure = (known, None) if known else resolve(session, cache, reference)
    if version.state == "withdrawn":
        msg = f"{reference} was withdrawn: {version.reason or 'no reason was given'}"
        raise Gone(msg)
    check_paths(file.path for file in version.files)
    adapter = Reference.parse(version.adapter or reference.full_name)
    files = tuple(file for file in version.files if to.wants(file))
    if to.only_sha256 and not files:
        msg = f"{adapter.full_name} {version.name} has no file with sha256 {to.only_sha256}."
        raise BadAnswer(msg)
    if to.form and failure is not None:
        message = f"{failure.detail} Converted and resized files come only from the hub."
        raise type(failure)(message, status=failure.status) from failure
    if to.form:
        files = tuple(
            derive(session, adapter, version, file, to.form, on_progress)
            if file.is_weights
            else file
            for file in files
        )
    if to.made is not None:
        _require_made(to.made, files[0])
    return Found(Source(session.endpoint, adapter, version), files, failure)


#: Kinds of hashes that the SHA-256 of a file begins with.
_OF_SHA256 = frozenset({"sha256", "autov2"})


def _require_made(match: Match, file: File) -> None:
    """Check that the hub made the file with a hash. Raises NotFound: it made another one."""
    is_made = isinstance(file, DerivedFile)
    if is_made and (match.kind not in _OF_SHA256 or file.sha256.startswith(match.hash)):
        return
    title = match.derived.title if match.derived is not None else ""
    message = (
        f"The hub no longer makes the file with the hash {match.hash}: {match.file.path} of "
        f"{match.version.adapter}@{match.version.name} in this form ({title}) now has different "
        "bytes. Pull the version to get them."
    )
    raise NotFound(message)


def bring(
    session: Session,
    cache: Cache,
    found: Found,
    *,
    to: Destination,
    rehash: bool,
    on_progress: OnProgress,
) -> Pulled:
    """Download and place the files of a version."""
    cache = cache.for_target(to.folder)
    source = found.source
    transfer = _Transfer(session, cache, source, found.failure, rehash, on_progress)
    if to.folder is None:
        name, revision = source.adapter, source.version.revision
        place = cache.snapshot(name.owner, name.name, revision)
        pulled = transfer.to_cache(place, found.files)
    else:
        names = {**to.names, **{source.key(one): one.path for one in _for_peft(found.files)}}
        folder = Folder(to.folder, may_replace=to.may_replace, rehash=rehash, reserved=names)
        pulled = transfer.to_folder(folder, found.files)
    _write_configs(pulled)
    return pulled


def _for_peft(files: Sequence[File]) -> list[DerivedFile]:
    return [file for file in files if isinstance(file, DerivedFile) and file.config]


def _write_configs(pulled: Pulled) -> None:
    """Write the configuration of files for PEFT beside them."""
    for one in pulled.files:
        if isinstance(one.file, DerivedFile) and one.file.config:
            place = one.local_path
            own = f"{place.stem}.{PEFT_CONFIG}"
            name = PEFT_CONFIG if place.name == PEFT_WEIGHTS else own
            write_file(place.with_name(name), one.file.config.encode())


def pull(
    session: Session,
    cache: Cache,
    reference: Reference,
    *,
    to: Destination,
    rehash: bool,
    on_progress: OnProgress,
) -> Pulled:
    """Resolve, download, and place; see `lorary.client.hub.Hub.pull`."""
    found = find(session, cache, reference, to, on_progress)
    return bring(session, cache, found, to=to, rehash=rehash, on_progress=on_progress)


def resolve(
    session: Session, cache: Cache, reference: Reference
) -> tuple[Version, Unreachable | None]:
    """Return a version; if the hub is unreachable, the stored version data and the error.

    Raises:
        Unreachable: the name may have moved since, or this version was never pulled here.
    """
    try:
        return read_version(session, reference), None
    except Unreachable as failure:
        version = cache.recall(session.endpoint, reference)
        if version is None:
            known = cache.remembered("versions", session.endpoint, reference)
            raise not_cached(failure, session.endpoint, reference, known) from failure
        return version, failure


def require_room(folder: Path, needed: int) -> None:
    """Check that a disk has room. Raises DiskFull: it has not."""
    free = shutil.disk_usage(existing(folder)).free
    if free < needed:
        message = (
            f"The disk of {folder} has no room for {needed:,} more bytes; {free:,} are free. "
            "Nothing was downloaded."
        )
        raise DiskFull(message, facts={"needed": needed, "free": free, "path": os.fspath(folder)})


def place_blob(cache: Cache, sha256: str, target: Path, refetch: Callable[[], object]) -> None:
    """Put a cached file in its place.

    Args:
        cache: The cache.
        sha256: Digest of the file.
        target: Its place.
        refetch: Brings the file again, if another process has removed it from the cache.

    Raises:
        DiskFull, TargetUnusable: it cannot be written.
    """
    blob = cache.blob(sha256)
    try:
        try:
            place(blob, target, may_move=not cache.is_kept)
        except FileNotFoundError:
            if blob.exists():
                raise
            refetch()
            place(blob, target, may_move=not cache.is_kept)
        if not cache.is_kept and os.name == "posix":
            target.chmod(WRITABLE)  # it shares its bytes with no blob
    except OSError as error:
        kind = DiskFull if error.errno in {errno.ENOSPC, errno.EDQUOT} else TargetUnusable
        message = f"{target} cannot be written: {error.strerror or error}."
        raise kind(message, facts={"path": os.fspath(target)}) from error


def _device(folder: Path) -> int:
    return existing(folder).stat().st_dev


@dataclass(frozen=True, slots=True)
class _Transfer:
    """Downloads and places the files of a version."""

    session: Session
    cache: Cache
    source: Source
    failure: Unreachable | None  # why the hub is unreachable; None if it is not
    rehash: bool
    on_progress: OnProgress

    def to_cache(self, folder: Path, files: Sequence[File]) -> Pulled:
        """Download files; in the cache's own folder they keep their names.

        Offline, README.md may be missing: what was pulled into a folder is there without it.
        """
        if self.failure is not None:
            files = [one for one in files if one.role != "card" or self._holds(one)]
        planned = [
            Planned(file, folder.joinpath(*file.path.split("/")), is_here=False) for file in files
        ]
        self._check_room(folder, planned)
        fetched = self._fetch(planned)
        for one in planned:
            self._place(one)
        return self._pulled(folder, planned, fetched)

    def to_folder(self, folder: Folder, files: Sequence[File]) -> Pulled:
        """Download the files that are missing, and place them.

        Other processes may write to the folder meanwhile, so names are chosen twice: before the
        download, when a refusal costs nothing, and again when the folder is locked.
        """
        folder.check()
        folder.load()
        planned = folder.plan(self.source, files)
        self._check_room(folder.root, planned)
        fetched = self._fetch(planned)
        with folder.locked():
            planned = folder.plan(self.source, files)
            fetched |= self._fetch([one for one in planned if one.file.path not in fetched])
            for one in planned:
                if not one.is_here:
                    self._place(one)
            folder.add(self.source, planned)
            self.cache.discard([one.file.sha256 for one in planned])
        return self._pulled(folder.root, planned, fetched)

    def _check_room(self, folder: Path, planned: Sequence[Planned]) -> None:
        """Check that there is room for all files, before anything is downloaded."""
        missing = [one.file for one in planned if not one.is_here]
        require_room(self.cache.root, sum(map(self.cache.missing_bytes, missing)))
        if _device(folder) != _device(self.cache.root):  # files are copied, not linked
            require_room(folder, sum(file.size_bytes for file in missing))

    def _fetch(self, planned: Sequence[Planned]) -> dict[str, int]:
        """Download files into the cache; return path → bytes received."""
        missing = [one.file for one in planned if not one.is_here]
        if self.failure is not None:
            self._require_cached(missing, self.failure)
        return {file.path: self._fetch_one(file) for file in missing}

    def _fetch_one(self, file: File) -> int:
        return fetch(
            self.session, self.cache, file, rehash=self.rehash, on_progress=self.on_progress
        )

    def _holds(self, file: File) -> bool:
        return self.cache.holds(file.sha256, file.size_bytes)

    def _require_cached(self, files: Sequence[File], failure: Unreachable) -> None:
        for file in files:
            if not self._holds(file):
                message = f"{failure.detail} {file.path} of this version is not in the cache."
                raise type(failure)(message, status=failure.status) from failure

    def _place(self, planned: Planned) -> None:
        place_blob(
            self.cache,
            planned.file.sha256,
            planned.target,
            refetch=lambda: self._fetch_one(planned.file),
        )

    def _pulled(self, folder: Path, planned: Sequence[Planned], fetched: dict[str, int]) -> Pulled:
        files = tuple(
            PulledFile(
                one.file,
                one.target,
                fetched.get(one.file.path, 0),
                was_here=one.is_here and one.file.path not in fetched,
            )
            for one in planned
        )
        version = self.source.version
        brought = {
            one.file.source.path
            if isinstance(one.file, DerivedFile) and one.file.source is not None
            else one.file.path
            for one in planned
        }
        left_out = tuple(file for file in version.files if file.path not in brought)
        if self.failure is None and version.state in _REMEMBERED:
            self.cache.remember(self.source.hub, version, self.source.adapter)
        name, is_offline = self.source.adapter.full_name, self.failure is not None
        return Pulled(name, version, folder, files, left_out, is_offline)

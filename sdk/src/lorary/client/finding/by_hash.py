"""Identifies files by asking a hub for their hashes."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from lorary.client.errors import FileMissing, Invalid, LoraryError, NotFound, ReferenceInvalid
from lorary.client.http.json_answers import Record
from lorary.client.models import File, Version, found_file
from lorary.client.names import Reference
from lorary.client.progress import OnProgress, Progress, silent
from lorary.client.transfers.cache import BLOCK_BYTES
from lorary.limits import processors
from lorary.safetensors import HeaderError, read_header

if TYPE_CHECKING:
    from lorary.client.http.session import Session

    _Hashed = tuple[str, ...] | LoraryError

_log = logging.getLogger(__name__)

#: Maximum number of hashes per request, unless the hub is configured otherwise.
MAX_HASHES = 2000
_FORMS = 2  # hashes of one file
_PATIENCE_S = 1.0

_HASH = re.compile(
    r"(?:0x|(?:sha256|blake3|crc32|autov[123]):)?"
    r"(?:[0-9a-f]{8}|[0-9a-f]{10}|[0-9a-f]{12}|[0-9a-f]{64})",
    re.IGNORECASE,
)
#: Kinds of hashes that do not depend on the header.
OF_TENSORS = frozenset({"autov3", "data_sha256", "tensors", "weights_f16", "weights_bf16"})


class DerivedForm(NamedTuple):
    """How a hub made a file of a version's file.

    Attributes:
        variant: Its name at the hub, such as ``comfyui.r16.stripped``.
        naming: Its naming; empty for that of the version's file.
        max_rank: Its maximum rank; 0 for that of the version's file.
        strip: Whether it lacks the metadata about the training.
    """

    variant: str
    naming: str
    max_rank: int
    strip: bool

    @classmethod
    def read(cls, value: object) -> DerivedForm:
        """Read the ``derived`` of a match."""
        record = Record(value, "derived")
        variant, naming = record.text("variant"), record.text("naming")
        is_stripped = bool(record.data.get("strip"))
        return cls(variant, naming, record.whole("max_rank"), is_stripped)

    @property
    def title(self) -> str:
        """What was done, in words."""
        parts = [self.naming, f"rank {self.max_rank}" if self.max_rank else ""]
        parts.append("without training metadata" if self.strip else "")
        return ", ".join(filter(None, parts))


@dataclass(frozen=True, slots=True)
class Match:
    """A file of a version that matches a hash.

    Attributes:
        kind: Kind of the hash: ``sha256``, ``autov1``, ``autov2``, ``autov3``, ``data_sha256``,
            ``tensors``, ``weights_f16``, ``weights_bf16``, ``crc32`` or ``blake3``.
        hash: The hash of that kind, as the hub stores it.
        version: The version, without its files.
        file: The file.
        derived: How the hub made the file with this hash of ``file``; None if it is that file.
    """

    kind: str
    hash: str
    version: Version
    file: File
    derived: DerivedForm | None = None
    data: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def read(cls, value: object) -> Match:
        """Read a match of ``POST hashes``."""
        record = Record(value, "match")
        version, file = record.mapping("version"), record.mapping("file")
        made = record.data.get("derived")  # absent at an older hub
        return record.into(
            cls,
            version=Version.read(version),
            file=File.read(file),
            derived=None if made is None else DerivedForm.read(made),
        )

    @property
    def is_same_file(self) -> bool:
        """Whether the hash is that of the whole file, not only of its tensors or a derived file."""
        return self.kind not in OF_TENSORS and self.derived is None

    def is_file_of(self, adapter: str) -> bool:
        """Return whether an adapter, ``owner/name`` in any case, has the whole file."""
        return self.is_same_file and self.version.adapter.casefold() == adapter.casefold()

    @property
    def document(self) -> dict[str, object]:
        """The match as JSON values."""
        facts: dict[str, object] = {"kind": self.kind}
        facts["same"] = "file" if self.is_same_file else "tensors"
        if self.derived is not None:
            facts |= {"same": "derived", "derived": self.derived._asdict()}
        return found_file(self.version, self.file, facts)


def is_hash(text: str) -> bool:
    """Return whether a text has the form of a hash that can be looked up."""
    return _HASH.fullmatch(text.strip()) is not None


def wanted(what: str | os.PathLike[str]) -> str | Path:
    """Return a hash as text and a file as a path; an existing file takes precedence."""
    if isinstance(what, str) and is_hash(what) and not Path(what).exists():
        return what
    return Path(what)


@dataclass(frozen=True, slots=True)
class Found:
    """What a hub knows about one of several files or hashes.

    Attributes:
        what: The file or the hash.
        matches: Where the hub has it, the earliest published versions first.
        error: Why the file could not be read; None if it was read.
    """

    what: str | Path
    matches: tuple[Match, ...] = ()
    error: LoraryError | None = None


def find(session: Session, hashes: tuple[str, ...]) -> tuple[Match, ...]:
    """Return the files that match any of these hashes; matches of the first hash come first."""
    return joined(hashes, HashFinder(session).ask(hashes))


def find_hashes(session: Session, hashes: Sequence[str]) -> dict[str, list[Match]]:
    """Return hash → matches; one request asks for as many hashes as the hub accepts."""
    return HashFinder(session).ask(hashes)


def find_all(
    session: Session, wanted: Sequence[str | Path], on_progress: OnProgress
) -> Generator[Found, None, None]:
    """Yield what the hub knows about each item, in order, as responses arrive.

    Files are hashed on all processors. A request is sent when it is full, or when the next file
    takes long. A file that cannot be read does not stop the others.
    """
    finder, stop = HashFinder(session), threading.Event()

    def report(progress: Progress) -> None:
        if stop.is_set():
            raise _Stopped
        on_progress(progress)

    def read(what: str | Path) -> _Hashed:
        try:
            return hashes_of(what, report) if isinstance(what, Path) else (what,)
        except LoraryError as error:
            return error

    with ThreadPoolExecutor(processors(), "lorary-hash") as pool:
        jobs = [(what, pool.submit(read, what)) for what in wanted]
        try:
            for batch in _batches(jobs, finder):
                yield from finder.answer(batch)
        finally:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)


class _Stopped(Exception):
    """The caller has stopped iterating."""


def _batches(
    jobs: Sequence[tuple[str | Path, Future[_Hashed]]], finder: HashFinder
) -> Iterator[list[tuple[str | Path, _Hashed]]]:
    """Yield batches of hashed files: full ones, or earlier if the next file takes long."""
    batch: list[tuple[str | Path, _Hashed]] = []
    count, since = 0, time.monotonic()
    for what, job in jobs:
        is_slow = not job.done() and time.monotonic() - since > _PATIENCE_S
        if batch and (is_slow or count + _FORMS > finder.limit):
            yield batch
            batch, count, since = [], 0, time.monotonic()
        result = job.result()
        count += 0 if isinstance(result, LoraryError) else len(result)
        batch.append((what, result))
    if batch:
        yield batch


class HashFinder:
    """Looks up hashes on a hub, as many per request as it accepts.

    Attributes:
        limit: Maximum number of hashes per request.
        requests: Number of requests that were sent.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.limit = MAX_HASHES
        self.requests = 0

    def answer(self, batch: Sequence[tuple[str | Path, _Hashed]]) -> Iterator[Found]:
        """Yield what the hub knows about hashed files."""
        hashes = [one for _, read in batch if not isinstance(read, LoraryError) for one in read]
        known = self.ask(hashes)
        for what, read in batch:
            if isinstance(read, LoraryError):
                yield Found(what, error=read)
            else:
                yield Found(what, joined(read, known))

    def ask(self, hashes: Sequence[str]) -> dict[str, list[Match]]:
        """Return a mapping of hash to matches.

        An older or differently configured hub accepts fewer per request; then the batch is halved.
        """
        unique = list(dict.fromkeys(hashes))
        found: dict[str, list[Match]] = {}
        start = 0
        while start < len(unique):
            part = unique[start : start + self.limit]
            try:
                found |= self._ask(part)
            except Invalid:
                if len(part) == 1:
                    raise
                self.limit = len(part) // 2
            else:
                start += len(part)
        return found

    def _ask(self, hashes: Sequence[str]) -> dict[str, list[Match]]:
        data = {"hashes": list(hashes)}
        self.requests += 1
        answer = self._session.json("POST", "hashes", data=data, is_repeatable=True)
        results = [Record(item, "result") for item in Record(answer, "answer").items("results")]
        return {
            result.text("hash"): [Match.read(item) for item in result.items("matches")]
            for result in results
        }


def joined(hashes: Sequence[str], known: Mapping[str, list[Match]]) -> tuple[Match, ...]:
    """Return the matches of several hashes of one file, without duplicates."""
    found: dict[tuple[str, str, str], Match] = {}
    for text in hashes:
        for match in known.get(text, ()):
            place = (match.version.adapter, match.version.name, match.file.path)
            found.setdefault(place, match)
    return tuple(found.values())


def named(text: str) -> Reference | None:
    """Return a reference by name; None for a hash, a pack and what is no reference."""
    if is_hash(text):
        return None
    try:
        return Reference.parse(text)
    except ReferenceInvalid:
        return None


class HasVersion(Protocol):
    """A match of any kind."""

    @property
    def version(self) -> Version:
        """The version that has the file."""
        ...


class Meant(NamedTuple):
    """What a reference or a hash stands for.

    Attributes:
        reference: The version.
        match: The file of it of which the hub made the file with the hash; None for a file of the
            version.
    """

    reference: Reference
    match: Match | None = None


def meant_by(session: Session, text: str | Reference) -> Meant:
    """Return the version that a reference or the hash of a file stands for.

    Files of versions come before files that the hub made, in whatever state their versions are. If
    several adapters have the file, the others are logged.

    Raises:
        NotFound: no version that can be downloaded has the hash, or different files have it.
        ReferenceInvalid: it is neither a reference nor a hash.
    """
    if isinstance(text, Reference) or not is_hash(text):
        return Meant(Reference.parse(text))
    matches = [match for match in find(session, (text,)) if match.version.state != "withdrawn"]
    matches = [match for match in matches if match.derived is None] or matches
    if not matches:
        msg = f"No version has a file with the hash {text.strip()}."
        raise NotFound(msg)
    files = {match.file.sha256: match.version for match in matches}
    if len(files) > 1:
        listed = ", ".join(f"{one.adapter}@{one.name}" for one in files.values())
        msg = f"The hash {text.strip()} stands for several files: {listed}. Name one of them."
        raise NotFound(msg)
    best = min(matches, key=lambda match: match.version.state != "published")
    if others := also_in(best, matches):
        name = f"{best.version.adapter}@{best.version.name}"
        _log.info("%s is used; the same file is in %s.", name, ", ".join(others))
    adapter = Reference.parse(best.version.adapter)
    reference = Reference(adapter.owner, adapter.name, best.version.name)
    return Meant(reference, best if best.derived is not None else None)


def also_in(chosen: HasVersion, matches: Iterable[HasVersion]) -> tuple[str, ...]:
    """Return ``owner/name@v1`` of other adapters with the same file, one version of each."""
    others: dict[str, str] = {}
    for match in matches:
        if match.version.adapter != chosen.version.adapter:
            others.setdefault(match.version.adapter, match.version.name)
    return tuple(f"{adapter}@{name}" for adapter, name in others.items())


class Digests(NamedTuple):
    """Digests of a file, as hexadecimal digits.

    Attributes:
        sha256: Of the whole file; its first ten digits are AutoV2.
        data: The SHA-256 of what follows the header; its first twelve digits are AutoV3. Empty for
            a file without tensors.
        autov1: Of 64 KiB, 1 MiB from the start; empty for smaller files.
    """

    sha256: str
    data: str = ""
    autov1: str = ""


#: The bytes that AutoV1 covers.
AUTOV1_BEGIN, AUTOV1_END = 0x100000, 0x110000
#: Numbers of digits of the short forms.
AUTOV1_DIGITS, AUTOV2_DIGITS, AUTOV3_DIGITS = 8, 10, 12


def hashes_of(path: Path, on_progress: OnProgress) -> tuple[str, ...]:
    """Return the hashes that identify a file: of the whole file, and of the data after its header.

    Raises:
        FileMissing: the file cannot be read.
    """
    if not os.path.lexists(path):
        message = f"“{path}” is neither an existing file nor a hash of 8, 10, 12 or 64 hex digits."
        raise FileMissing(message)
    found = digests_of(path, on_progress)
    return (found.sha256, found.data) if found.data else (found.sha256,)


def digests_of(path: Path, on_progress: OnProgress = silent) -> Digests:
    """Return the digests of a file; it is read once.

    Raises:
        FileMissing: the file cannot be read.
    """
    try:
        with FileIO(path, "r") as file:
            return _digests(path, file, on_progress)
    except (OSError, ValueError) as error:  # a null byte in a name raises ValueError
        reason = getattr(error, "strerror", None) or error
        message = f"{path} cannot be read: {reason}."
        raise FileMissing(message) from error


def _digests(path: Path, file: FileIO, on_progress: OnProgress) -> Digests:
    size = path.stat().st_size
    try:
        start = read_header(path).data_start
    except HeaderError:  # no weights, or damaged: the hub may still know the whole file
        start = size
    whole, data, old = hashlib.sha256(), hashlib.sha256(), hashlib.sha256()
    view, done = memoryview(bytearray(BLOCK_BYTES)), 0
    while count := file.readinto(view):
        whole.update(view[:count])
        data.update(view[max(0, start - done) : count])
        old.update(view[:count][max(0, AUTOV1_BEGIN - done) : max(0, AUTOV1_END - done)])
        done += count
        on_progress(Progress("hash", path.name, done, size))
    return Digests(
        whole.hexdigest(),
        data.hexdigest() if done > start else "",
        old.hexdigest()[:AUTOV1_DIGITS] if done > AUTOV1_BEGIN else "",
    )

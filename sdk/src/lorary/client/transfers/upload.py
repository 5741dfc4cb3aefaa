"""Uploads one file to a hub: announced, sent in one request or in parts, checked.

Only missing bytes are sent. If the hub knows the digest, nothing is sent; an interrupted upload is
found again and continues with the missing parts.
"""

from __future__ import annotations

import hashlib
import threading
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from io import FileIO
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from lorary.client.errors import (
    BadAnswer,
    Corrupt,
    DigestMismatch,
    FileMissing,
    Invalid,
    LoraryError,
    StateConflict,
    UploadIncomplete,
    UploadNotReady,
    UploadRefused,
    reading_file,
)
from lorary.client.http.json_answers import Record
from lorary.client.http.session import Request, Session
from lorary.client.models import Part, Upload
from lorary.client.progress import OnProgress, Progress, silent
from lorary.client.transfers.cache import BLOCK_BYTES, digest_file

if TYPE_CHECKING:
    from hashlib import _Hash

PARALLEL_PARTS = 3
_PART_TRIES = 3
_LINKS = 20  # per request: few enough that none expires before it is used
_RECENT = 100  # how many recent uploads to search for an interrupted one
_FIRST_POLL_S = 0.1
_LONGEST_POLL_S = 2.0
_CHECK_TIMEOUT_S = 1800.0


class DirectParts:
    """Links with which the parts of one upload are sent directly to the hub's bucket; thread-safe.

    If a link does not work, that part and all later ones are sent through the hub.
    """

    def __init__(self, session: Session, url: object, numbers: Sequence[int]) -> None:
        """Store the arguments; links are requested when needed.

        Args:
            url: URL to request links from; None if the hub offers none.
        """
        self.session, self.url = session, url if isinstance(url, str) else ""
        self._numbers = list(numbers) if self.url else []
        self._links: dict[int, str] = {}
        self._lock = threading.Lock()

    def send(self, number: int, body: Callable[[], Iterable[memoryview]], size: int) -> bool:
        """Send a part by its link; return False if it must be sent through the hub.

        Raises:
            Corrupt, FileMissing: the local file has changed.
        """
        link = self._link(number)
        if not link:
            return False
        try:
            self.session.ask(Request("PUT", link, {}, body=body, size_bytes=size))
        except (Corrupt, FileMissing):
            raise
        except LoraryError:
            self._give_up()
            return False
        return True

    def _link(self, number: int) -> str:
        with self._lock:
            if number not in self._links and number in self._numbers:
                self._ask_from(number)
            return self._links.pop(number, "")

    def _ask_from(self, number: int) -> None:
        begin = self._numbers.index(number)
        wanted, self._numbers = self._numbers[begin : begin + _LINKS], self._numbers[begin:]
        try:
            answer = self.session.json(
                "POST", self.url, data={"numbers": wanted}, is_repeatable=True
            )
            found = [Record(item, "link") for item in Record(answer, "links").items("links")]
            self._links.update({link.whole("number"): link.text("url") for link in found})
        except LoraryError:
            self._numbers = []

    def _give_up(self) -> None:
        with self._lock:
            self._numbers, self._links = [], {}


@dataclass(frozen=True, slots=True)
class Source:
    """The state of a local file when it was hashed."""

    place: Path
    path: str
    size_bytes: int
    mtime_ns: int
    sha256: str

    @classmethod
    def of(cls, place: Path, on_progress: OnProgress = silent) -> Source:
        """Hash a file; its path on the hub is its file name.

        The hub stores names in NFC. The name is normalised, or interrupted uploads
        would not be found.

        Raises:
            OSError: the file cannot be read.
        """
        found = place.stat()

        def report(done: int) -> None:
            on_progress(Progress("hash", place.name, done, found.st_size))

        sha256 = digest_file(place, report)
        path = unicodedata.normalize("NFC", place.name)
        return cls(place, path, found.st_size, found.st_mtime_ns, sha256)

    def require_unchanged(self) -> None:
        """Make sure that it is still what was hashed.

        Raises:
            Corrupt: somebody wrote to it.
        """
        found = self.place.stat()
        if (found.st_size, found.st_mtime_ns) != (self.size_bytes, self.mtime_ns):
            msg = f"{self.place} changed while it was sent. Push it again."
            raise Corrupt(msg)


class _Stopped(Exception):
    """Another part failed, or the user cancelled."""


@dataclass(slots=True)
class _Meter:
    """Counts the bytes sent; parts report from several threads."""

    source: Source
    on_progress: OnProgress
    done: int = 0
    is_stopped: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, done: int) -> None:
        """Start with the bytes that the hub already has."""
        self.is_stopped = False
        self.done = 0
        self.add(done)

    def add(self, count: int) -> None:
        """Add bytes to the count, or subtract them. Raises _Stopped if sending should stop."""
        with self.lock:
            if self.is_stopped:
                raise _Stopped
            self.done += count
            report = Progress("send", self.source.path, self.done, self.source.size_bytes)
            self.on_progress(report)

    def stop(self) -> None:
        """Stop the running parts at their next block."""
        with self.lock:
            self.is_stopped = True


@dataclass(slots=True)
class _Feed:
    """A section of the file as a request body, hashed while it is sent."""

    meter: _Meter
    offset: int
    length: int
    digest: _Hash = field(default_factory=hashlib.sha256)
    sent: int = 0

    def expected(self) -> str:
        """Return the section's sha256 without sending it."""
        digest = hashlib.sha256()
        for block in self._read():
            digest.update(block)
        return digest.hexdigest()

    def blocks(self) -> Iterator[memoryview]:
        """Yield the section from its start; a retry first subtracts its bytes from the count."""
        taken_back, self.sent = self.sent, 0
        self.digest = hashlib.sha256()
        self.meter.add(-taken_back)
        for block in self._read():
            self.digest.update(block)
            self.sent += len(block)
            self.meter.add(len(block))
            yield block

    def _read(self) -> Iterator[memoryview]:
        place = self.meter.source.place
        view = memoryview(bytearray(min(BLOCK_BYTES, max(1, self.length))))
        with _opened(place) as file:
            file.seek(self.offset)
            left = self.length
            while left:
                count = file.readinto(view[:left])
                if not count:
                    msg = f"{place} became shorter while it was sent."
                    raise Corrupt(msg)
                left -= count
                yield view[:count]


def _opened(place: Path) -> FileIO:
    with reading_file(place):  # an error must not be mistaken for one of the network
        return FileIO(place, "r")


def send(session: Session, source: Source, on_progress: OnProgress = silent) -> Upload:
    """Upload a file and wait for its checks.

    Returns:
        The accepted upload.

    Raises:
        UploadRefused: a check found an error; ``findings`` says which.
        DigestMismatch: the hub received different bytes.
        LoraryError: an error response, or no response.
    """
    upload = _announce(session, source)
    if upload.state == "receiving":
        upload = _transfer(session, upload, _Meter(source, on_progress))
    return _wait_for_checks(session, upload, on_progress)


def _announce(session: Session, source: Source) -> Upload:
    """Return an interrupted upload of the file, or announce a new one."""
    for upload in _unfinished(session):
        is_same = (upload.path, upload.sha256) == (source.path, source.sha256)
        if is_same and upload.state in {"receiving", "checking"}:
            return _fresh(session, upload)
    announced = {"path": source.path, "size": source.size_bytes, "sha256": source.sha256}
    return Upload.read(session.json("POST", "uploads", data=announced, is_repeatable=True))


def _unfinished(session: Session) -> list[Upload]:
    """Return uploads that may be interrupted ones; a hub of an earlier release lists all."""
    query: dict[str, object] = {"limit": _RECENT}
    try:
        items = list(islice(session.items("uploads", query | {"unfinished": "true"}), _RECENT))
    except Invalid:
        items = list(islice(session.items("uploads", query), _RECENT))
    return [Upload.read(item) for item in items]


def _path(upload: Upload) -> str:
    return f"uploads/{quote(upload.id, safe='')}"


def _fresh(session: Session, upload: Upload) -> Upload:
    return Upload.read(session.json("GET", _path(upload)))


def _transfer(session: Session, upload: Upload, meter: _Meter) -> Upload:
    source = meter.source
    if upload.size_bytes != source.size_bytes:
        msg = "The hub recorded a different size from the one that was announced."
        raise BadAnswer(msg)
    if upload.part_bytes <= 0 or source.size_bytes <= upload.part_bytes:
        return _send_whole(session, upload, meter)
    upload = _with_direct_parts(session, upload)
    for _ in range(_PART_TRIES):
        _send_parts(session, upload, meter)
        source.require_unchanged()
        try:
            return _complete(session, upload)
        except UploadIncomplete:
            upload = _with_direct_parts(session, _fresh(session, upload))
        except StateConflict:
            # The response to an earlier attempt was lost, and the checks have finished.
            return _fresh(session, upload)
    raise UploadIncomplete


def _with_direct_parts(session: Session, upload: Upload) -> Upload:
    """Let the hub register parts that were sent to its bucket; return the upload."""
    named = upload.urls.get("parts")
    if not upload.urls.get("links") or not isinstance(named, str):
        return upload
    return Upload.read(session.json("POST", named, is_repeatable=True))


def _complete(session: Session, upload: Upload) -> Upload:
    path = f"{_path(upload)}/complete"
    return Upload.read(session.json("POST", path, data={}, is_repeatable=True))


def _send_whole(session: Session, upload: Upload, meter: _Meter) -> Upload:
    size = meter.source.size_bytes
    url = _url(session, upload, "content", f"{_path(upload)}/content")
    try:
        answer = _put(session, url, _Feed(meter, 0, size))
    except StateConflict:
        # The response to an earlier attempt was lost: the hub has the bytes.
        return _fresh(session, upload)
    meter.source.require_unchanged()
    return _fresh(session, upload) if answer is None else Upload.read(answer)


def _send_parts(session: Session, upload: Upload, meter: _Meter) -> None:
    """Send the missing parts, a few at a time."""
    here = {part.number: part for part in upload.parts}
    size, step = upload.size_bytes, upload.part_bytes
    count = -(-size // step)
    feeds = {
        number: _Feed(meter, (number - 1) * step, min(step, size - (number - 1) * step))
        for number in range(1, count + 1)
    }
    missing = [number for number in feeds if not _is_here(here.get(number), feeds[number])]
    meter.begin(sum(feed.length for number, feed in feeds.items() if number not in missing))
    direct = DirectParts(session, upload.urls.get("links"), missing)

    def send_part(number: int) -> None:
        feed = feeds[number]
        if not direct.send(number, feed.blocks, feed.length):
            _send_part(session, upload, number, feed)

    with ThreadPoolExecutor(PARALLEL_PARTS, "lorary-send") as pool:
        jobs = [pool.submit(send_part, number) for number in missing]
        try:
            wait(jobs, return_when=FIRST_EXCEPTION)
        except KeyboardInterrupt:
            meter.stop()
            session.abort()
            raise
        finally:
            meter.stop()
            pool.shutdown(wait=True, cancel_futures=True)
    _raise_first(jobs)


def _is_here(part: Part | None, feed: _Feed) -> bool:
    """Return whether the hub has this part of the same file."""
    if part is None or part.size_bytes != feed.length:
        return False
    return not part.sha256 or part.sha256 == feed.expected()


def _raise_first(jobs: Sequence[Future[None]]) -> None:
    """Raise the first error; parts that were stopped because of it are ignored."""
    errors = [job.exception() for job in jobs if not job.cancelled()]
    for error in errors:
        if error is not None and not isinstance(error, _Stopped):
            raise error


def _send_part(session: Session, upload: Upload, number: int, feed: _Feed) -> None:
    path = f"{_path(upload)}/parts/{number}"
    named = upload.urls.get("part")
    url = named.replace("{number}", str(number)) if isinstance(named, str) else path
    for _ in range(_PART_TRIES):
        answer = _put(session, session.locate(url), feed)
        stored = "" if answer is None else Record(answer, "part").text("sha256")
        if not stored or stored == feed.digest.hexdigest():
            return
    message = f"Part {number} of {upload.path} was damaged in transit every time."
    raise Corrupt(message, facts={"part": number})


def _put(session: Session, url: str, feed: _Feed) -> object:
    headers = {"Content-Type": "application/octet-stream", "Accept": "application/json"}
    request = Request("PUT", url, headers, body=feed.blocks, size_bytes=feed.length)
    return session.ask(request)


def _url(session: Session, upload: Upload, key: str, path: str) -> str:
    """Return the URL to send to: the one that the hub returned, or the default."""
    named = upload.urls.get(key)
    return session.locate(named if isinstance(named, str) and named else path)


def _wait_for_checks(session: Session, upload: Upload, on_progress: OnProgress) -> Upload:
    """Wait until the checks have finished."""
    deadline = time.monotonic() + _CHECK_TIMEOUT_S
    pause = _FIRST_POLL_S
    while upload.state in {"receiving", "checking"}:
        if upload.state == "receiving" or time.monotonic() > deadline:
            doing = {"receiving": "being received", "checking": "being checked"}[upload.state]
            msg = f"{upload.path} is still {doing}. Push it again later."
            raise UploadNotReady(msg)
        on_progress(Progress("check", upload.path, upload.done, upload.total))
        session.backoff.sleep(pause)
        pause = min(_LONGEST_POLL_S, pause * 1.5)
        upload = _fresh(session, upload)
    if upload.state != "accepted":
        errors = [found for found in upload.findings if found.severity == "error"]
        message = errors[0].message if errors else f"{upload.path} was {upload.state}."
        is_other = any(found.code == DigestMismatch.code for found in errors)
        raise (DigestMismatch if is_other else UploadRefused)(message, findings=upload.findings)
    return upload

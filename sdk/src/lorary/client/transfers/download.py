"""Downloads one file into the cache: resumed, hashed while it is written, verified, renamed.

This order makes it safe to kill the process at any point:

1. lock the blob, so that no other process writes it;
2. hash what an earlier run left in ``<sha256>.incomplete``;
3. request the remaining bytes (``Range`` with ``If-Range``, so that parts of different files are
   never combined);
4. hash and write block by block, unbuffered: what was written survives ``kill -9``;
5. compare size and sha256, sync, and only then rename.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from io import FileIO
from typing import TYPE_CHECKING

from lorary.client.errors import (
    BadAnswer,
    Corrupt,
    DiskFull,
    Offline,
    RangeUnsatisfiable,
    Unreachable,
)
from lorary.client.http.retries import Again
from lorary.client.http.session import Request, Session
from lorary.client.progress import OnProgress, Progress, silent
from lorary.client.transfers.cache import BLOCK_BYTES, feed
from lorary.replacing import Writeback

if TYPE_CHECKING:
    from hashlib import _Hash

    from urllib3 import BaseHTTPResponse

    from lorary.client.models import File
    from lorary.client.transfers.cache import Cache

_log = logging.getLogger(__name__)
_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})\Z")
_ETAG = re.compile(r'"([0-9a-f]{64})"\Z')


@dataclass(slots=True)
class _Transfer:
    """State of one download."""

    file: File  # the file to download
    out: FileIO  # the incomplete file, open and unbuffered
    report: Callable[[int], None]
    digest: _Hash = field(default_factory=hashlib.sha256)  # hash of the bytes in ``out``
    have: int = 0  # number of bytes in ``out``
    fetched: int = 0  # bytes received over the network in this run
    writeback: Writeback = field(init=False)
    restarts: int = 0  # how often the hub forced a restart

    def __post_init__(self) -> None:
        self.writeback = Writeback(self.out.fileno())

    @property
    def is_whole(self) -> bool:
        return self.have == self.file.size_bytes

    def resume(self) -> None:
        """Hash the existing bytes; discard them if there are more than the file has."""
        self.have = feed(self.digest, self.out)
        if self.have > self.file.size_bytes:
            self.restart()

    def restart(self) -> None:
        """Discard the existing bytes."""
        self.out.seek(0)
        self.out.truncate()
        self.digest = hashlib.sha256()
        self.have = 0
        self.restarts += 1

    def add(self, block: bytes) -> None:
        """Append a block."""
        self.digest.update(block)
        rest = memoryview(block)
        while rest:
            rest = rest[self.out.write(rest) :]
        self.have += len(block)
        self.fetched += len(block)
        self.writeback.reached(self.have)
        self.report(self.have)


def fetch(
    session: Session,
    cache: Cache,
    file: File,
    *,
    rehash: bool = False,
    on_progress: OnProgress = silent,
) -> int:
    """Download a file into the cache.

    Args:
        session: Session with the hub.
        file: The file to download; its size and digest are verified.
        rehash: Hash a cached file again before using it.
        on_progress: Called for each block.

    Returns:
        Bytes received over the network; 0 if the file was cached.

    Raises:
        Corrupt: the received bytes differ from the file; they were removed.
        DiskFull: the disk has no room.
        LoraryError: an error response, or no response.
    """

    def report(done: int) -> None:
        on_progress(Progress("fetch", file.path, done, file.size_bytes))

    def say_waiting() -> None:
        _log.info("Waiting for another process that downloads %s.", file.path)

    with cache.lock(file.sha256, say_waiting):
        if cache.holds(file.sha256, file.size_bytes, rehash=rehash):
            report(file.size_bytes)
            return 0
        try:
            return _download(session, cache, file, report)
        except Corrupt:
            cache.part(file.sha256).unlink(missing_ok=True)
            raise
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise _disk_full(file.size_bytes) from error
            raise


def _download(session: Session, cache: Cache, file: File, report: Callable[[int], None]) -> int:
    part = cache.part(file.sha256)
    with cache.open_part(file.sha256) as out:
        out.seek(0)
        transfer = _Transfer(file, out, report)
        transfer.resume()
        if shutil.disk_usage(part.parent).free < file.size_bytes - transfer.have:
            raise _disk_full(file.size_bytes - transfer.have)
        _persist(session, transfer)
        is_right = transfer.digest.hexdigest() == file.sha256
        if is_right:
            os.fsync(out.fileno())
    if not is_right:
        message = (
            f"{file.path}: the bytes that arrived are not the ones that the version lists "
            f"(sha256 {transfer.digest.hexdigest()[:12]}…, expected {file.sha256[:12]}…). "
            "They were removed. Try again."
        )
        raise Corrupt(message, facts={"path": file.path, "expected": file.sha256})
    cache.adopt(file.sha256)
    return transfer.fetched


def fetch_range(session: Session, file: File, start: int, end: int) -> bytes:
    """Return bytes of a file from the hub; only a whole file can be verified.

    Args:
        session: Session with the hub.
        file: The file.
        start: Position of the first byte.
        end: Position after the last byte, at most the size of the file.

    Raises:
        Corrupt: the hub has another file there.
        LoraryError: an error response, or no response.
    """
    if start >= end:
        return b""

    def take(response: BaseHTTPResponse) -> bytes:
        _check_identity(response, file)
        match = _RANGE.match(response.headers.get("Content-Range") or "")
        found = tuple(map(int, match.groups())) if match else ()
        is_part = response.status == 206 and found == (start, end - 1, file.size_bytes)
        if not is_part and (response.status == 206 or start):
            msg = f"The hub does not serve parts of {file.path}."
            raise BadAnswer(msg)
        body = response.read(end - start)
        if len(body) < end - start:
            msg = "The connection ended in the middle of the file."
            raise Again(Unreachable(msg))
        return body

    headers = {"Range": f"bytes={start}-{end - 1}"}
    request = Request("GET", session.locate(file.download_url), headers)
    return session.backoff.persist(lambda: session.attempt(request, take))


def _disk_full(needed: int) -> DiskFull:
    message = f"The disk of the cache has no room for {needed:,} more bytes."
    return DiskFull(message, facts={"needed": needed})


def _persist(session: Session, transfer: _Transfer) -> None:
    """Send requests until all bytes are here; only failures without progress count as attempts."""
    if transfer.is_whole:
        return
    try:
        session.backoff.persist(lambda: _ask(session, transfer), lambda: transfer.fetched)
    except Offline as error:
        message = (
            f"{transfer.file.path} is not in the cache, and Lorary is offline (--offline or "
            "LORARY_OFFLINE)."
        )
        raise Offline(message) from error
    except Unreachable as error:
        if not transfer.have:
            raise
        message = f"{error.detail} The received bytes were kept: run this again to resume."
        raise type(error)(message, status=error.status) from error


def _ask(session: Session, transfer: _Transfer) -> None:
    """Request the missing bytes once, and store them; restart if the hub does."""
    url = session.locate(transfer.file.download_url)
    while not transfer.is_whole:
        headers = {}
        if transfer.have:
            headers["Range"] = f"bytes={transfer.have}-"
            headers["If-Range"] = f'"{transfer.file.sha256}"'
        try:
            session.attempt(Request("GET", url, headers), lambda answer: _take(answer, transfer))
        except RangeUnsatisfiable:
            _begin_again(transfer)


def _take(response: BaseHTTPResponse, transfer: _Transfer) -> None:
    """Store the part of the file that a response contains."""
    _check_identity(response, transfer.file)
    if transfer.have and not _continues(response, transfer):
        _begin_again(transfer)
        if response.status == 206:
            return
    _receive(response, transfer)


def _check_identity(response: BaseHTTPResponse, file: File) -> None:
    """Raise before reading if the hub's headers show that the file is a different one."""
    match = _ETAG.match(response.headers.get("ETag") or "")
    if match and match[1] != file.sha256:
        message = f"{file.path} changed on the hub while it was read. Try again."
        raise Corrupt(message, facts={"path": file.path, "expected": file.sha256})
    if response.status not in {200, 206}:
        msg = f"The hub returned {response.status} instead of the file."
        raise BadAnswer(msg)


def _continues(response: BaseHTTPResponse, transfer: _Transfer) -> bool:
    """Return whether the body continues exactly where the local file ends."""
    match = _RANGE.match(response.headers.get("Content-Range") or "")
    return (
        response.status == 206
        and match is not None
        and int(match[1]) == transfer.have
        and int(match[3]) == transfer.file.size_bytes
    )


def _begin_again(transfer: _Transfer) -> None:
    transfer.restart()
    if transfer.restarts > 3:
        msg = f"The hub does not serve {transfer.file.path} consistently."
        raise BadAnswer(msg)


def _receive(response: BaseHTTPResponse, transfer: _Transfer) -> None:
    """Read the body in the blocks in which it arrives, so that slow connections report often."""
    while block := response.read1(BLOCK_BYTES):
        if transfer.have + len(block) > transfer.file.size_bytes:
            message = f"{transfer.file.path}: the hub sends more bytes than the version lists."
            raise Corrupt(message, facts={"path": transfer.file.path})
        transfer.add(block)
    if not transfer.is_whole:
        msg = "The connection ended in the middle of the file."
        raise Again(Unreachable(msg))

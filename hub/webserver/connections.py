"""Client sockets that enforce a minimum transfer rate.

A request holds a thread from the end of its head to the last byte of its response. Time that the
hub itself spends is not counted.

* **Head**: read without a thread (``ClientSocket.collect``), within ``HEAD_TIMEOUT_S`` of its first
  byte.
* **Body**: bytes are counted in windows of ``WINDOW_S`` seconds of waiting. Two windows in a row
  with less than ``LORARY_MIN_BODY_RATE`` end the request: within 10 s if the body never reaches the
  rate, within 15 s if it falls below it later.
* **Response**: a budget of seconds. Waiting uses it up, sent bytes refill it. A stalled download is
  closed after ``SEND_BUDGET_S``, one that trickles not much later, and a slow connection above
  ``MIN_SEND_RATE`` continues for as long as it takes.
"""

from __future__ import annotations

import fcntl
import io
import math
import os
import select
import socket
import struct
import termios
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar

from django.conf import settings
from gunicorn.http.body import LengthReader

if TYPE_CHECKING:
    from gunicorn.http.message import Request
    from gunicorn.http.unreader import SocketUnreader
    from typing_extensions import Buffer


# Request bodies that are read directly from the socket.
#
# ```
# socket ──recv_into──▶ buffer of the reader ──▶ sha256, file
# ```
#
# gunicorn 27 (``http/body.py``, ``http/unreader.py``) passes a body through two buffers, and copies
# their rest with each read: that was half of an upload's CPU time beyond hashing it.

#: Smaller reads, such as lines of a form, are buffered.
BUFFER = 16 * 1024


def make_direct(request: Request) -> None:
    """Let a request read its body directly from the socket, if the length is known."""
    reader = getattr(request.body, "reader", None)
    if isinstance(reader, LengthReader):
        length = reader.length
        request.body = Body(reader.unreader, length) if length else io.BytesIO()


class Body(io.BufferedReader):
    """A body of known length, as WSGI requires: a read is short only if the client disconnected."""

    def __init__(self, unreader: SocketUnreader, length: int) -> None:
        self._rest = _Rest(unreader, length)
        super().__init__(self._rest, BUFFER)

    @property
    def failed(self) -> bool:
        """Whether reading failed, so that the start of the next request is unknown."""
        return self.closed or self._rest.failed


class _Rest(io.RawIOBase):
    """The unread rest of a body."""

    def __init__(self, unreader: SocketUnreader, length: int) -> None:
        early = unreader.take_buffered()  # received with the head; the next request may follow
        unreader.unread(early[length:])
        self._early = memoryview(early)[:length]
        self._line, self._left = unreader.sock, length
        self.failed = False

    def readable(self) -> bool:
        return True

    def readinto(self, room: Buffer) -> int:
        """Write bytes into the buffer, and return their number; 0 at the end.

        Raises:
            OSError: the connection broke, or the client sends too slowly.
        """
        target = memoryview(room)[: self._left]
        if self._early:
            count = min(len(target), len(self._early))
            target[:count], self._early = self._early[:count], self._early[count:]
        else:
            count = self._received(target) if target else 0
        self._left -= count
        return count

    def _received(self, room: memoryview) -> int:
        try:
            return int(self._line.recv_into(room))
        except Exception:
            self.failed = True
            raise


T = TypeVar("T")

#: Seconds from the first byte of a head to its last one.
HEAD_TIMEOUT_S = 5.0
#: Maximum bytes of a head: 100 fields of 8 KiB are never all full.
MAX_HEAD_BYTES = 64 * 1024
#: Seconds of waiting over which the bytes of a body are counted.
WINDOW_S = 5.0
#: Seconds that the hub waits for a reader, not counting what sent bytes refill.
SEND_BUDGET_S = 60.0
#: Bytes that refill the budget by a second: a slower reader is closed in the end.
MIN_SEND_RATE = 1024
#: Seconds between two readings of a slow reader's send queue.
QUEUE_POLL_S = 5.0

#: A refused body is discarded up to this size and time, so that clients which read only after
#: they have sent everything get the response; then the connection is closed.
MAX_DISCARD_BYTES = 64 * 1024 * 1024
MAX_DISCARD_S = 5.0
BLOCK = 256 * 1024

_SENDFILE_BYTES = 2**30
_HEAD_BLOCK = 16 * 1024
_END_OF_HEAD = b"\r\n\r\n"


class ClientSocket(socket.socket):
    """The connection of a client.

    Attributes:
        deadline: Monotonic time after which reading raises ``TimeoutError``.
        head: Bytes received of a request that no thread reads yet.
        has_ended: Whether the client has closed its side.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401 - socket's
        super().__init__(*arguments, **named)
        self.head, self.has_ended = bytearray(), False
        self.start()
        self._writable = select.poll()
        self._writable.register(self, select.POLLOUT)
        self._readable = select.poll()
        self._readable.register(self, select.POLLIN)

    @classmethod
    def wrap(cls, plain: socket.socket) -> Self:
        """Take over the file descriptor of a socket, which is detached."""
        return cls(plain.family, plain.type, plain.proto, fileno=plain.detach())

    def start(self) -> None:
        """Reset deadline, budget and window: a request begins or ends."""
        self.deadline, self._left_s = math.inf, SEND_BUDGET_S
        self._window_s, self._received, self._received_before = 0.0, 0, math.inf

    def collect(self) -> bool:
        """Read what has arrived of a head, without waiting.

        Returns:
            Whether the event loop must act: the head is complete or too long, or the client has
            closed its side.
        """
        while _END_OF_HEAD not in self.head and len(self.head) < MAX_HEAD_BYTES:
            try:
                data = os.read(self.fileno(), _HEAD_BLOCK)
            except BlockingIOError:
                return False
            except OSError:
                data = b""
            if not data:
                self.has_ended = True
                return True
            self.head += data
        return True

    def head_length(self) -> int:
        """Return the length of the head without its empty line; -1 while it is incomplete."""
        return self.head.find(_END_OF_HEAD)

    def take_head(self) -> bytes:
        """Return the bytes in ``head``, and empty it."""
        taken, self.head = bytes(self.head), bytearray()
        return taken

    def setblocking(self, flag: bool, /) -> None:  # noqa: FBT001 - socket's
        """Use ``SEND_BUDGET_S`` as the timeout of blocking mode; ignore a closed socket."""
        wait_s = SEND_BUDGET_S if flag else 0.0
        if self.gettimeout() != wait_s and self.fileno() >= 0:
            self.settimeout(wait_s)

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Return received bytes.

        Raises:
            TimeoutError: the client sends too slowly.
        """
        if flags or self.gettimeout() == 0.0:
            return super().recv(size, flags)
        data = self._read_when_ready(partial(os.read, self.fileno(), size))
        self._received += len(data)
        return data

    def recv_into(self, room: Any, size: int = 0, flags: int = 0) -> int:  # noqa: ANN401 - any buffer
        """Write received bytes into the buffer, and return their number.

        Raises:
            TimeoutError: the client sends too slowly.
        """
        if size or flags or self.gettimeout() == 0.0:
            return super().recv_into(room, size, flags)
        count = self._read_when_ready(partial(os.readv, self.fileno(), [room]))
        self._received += count
        return count

    def _read_when_ready(self, read: Callable[[], T]) -> T:
        """Read what has arrived, without asking for the time: a body has thousands of pieces."""
        while True:
            try:
                return read()
            except BlockingIOError:
                self._wait_for_bytes()

    def has_bytes(self, within_s: float) -> bool:
        """Whether bytes or the end of the stream arrive within this number of seconds."""
        return bool(self._readable.poll(1000 * within_s))

    def _wait_for_bytes(self) -> None:
        deadline = min(self.deadline, time.monotonic() + (self.gettimeout() or math.inf))
        is_there = False
        while not is_there:
            began = time.monotonic()
            if began >= deadline:
                msg = "the rest of the request did not arrive in time"
                raise TimeoutError(msg)
            is_there = self.has_bytes(min(deadline - began, max(0.0, WINDOW_S - self._window_s)))
            self._window_s += time.monotonic() - began
            if self._window_s >= WINDOW_S:
                self._end_window()

    def _end_window(self) -> None:
        least = settings.LORARY.min_body_rate
        if self._received_before + self._received < 2 * WINDOW_S * least:
            msg = f"less than {least} bytes per second for {2 * WINDOW_S:g} seconds"
            raise TimeoutError(msg)
        self._window_s, self._received, self._received_before = 0.0, 0, self._received

    def sendall(self, data: Any, flags: int = 0, /) -> None:  # noqa: ANN401 - any buffer
        """Send all bytes.

        Raises:
            TimeoutError: the client reads too slowly.
        """
        del flags
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self.fileno(), rest) :]
            except BlockingIOError:
                self._wait_until_writable()

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:  # noqa: ANN401 - socket's
        """Send a file with ``os.sendfile``, and return how many bytes were sent.

        Raises:
            TimeoutError: the client reads too slowly.
        """
        source, left = file.fileno(), math.inf if count is None else count
        begin = offset
        while left > 0:
            try:
                n = os.sendfile(self.fileno(), source, offset, int(min(left, _SENDFILE_BYTES)))
            except BlockingIOError:
                n = -1
            if n == 0:
                break
            offset, left = offset + max(n, 0), left - max(n, 0)
            if left > 0:
                self._wait_until_writable()
        return offset - begin

    def _wait_until_writable(self) -> None:
        """Wait until the socket is writable.

        Linux reports that when a third of the send buffer is free, which may be a megabyte: on a
        slow connection that takes minutes. Therefore the length of the queue is read meanwhile.
        """
        wait_s = min(QUEUE_POLL_S, self._left_s)
        self._require_budget(wait_s)
        if self._writable.poll(1000 * wait_s):
            return  # a third of the buffer was sent meanwhile
        self._left_s -= wait_s
        queued, is_ready = self._queued(), False
        while not is_ready:
            self._require_budget(self._left_s)
            began = time.monotonic()
            is_ready = bool(self._writable.poll(1000 * min(QUEUE_POLL_S, self._left_s)))
            self._left_s -= time.monotonic() - began
            before, queued = queued, self._queued()
            self._credit(before - queued)
        if not queued:  # all was acknowledged, or the length is unknown
            self._left_s = SEND_BUDGET_S

    def _queued(self) -> int:
        """Return how many sent bytes are not acknowledged yet; 0 if that is unknown."""
        try:
            return int(struct.unpack("i", fcntl.ioctl(self, termios.TIOCOUTQ, bytes(4)))[0])
        except OSError:
            return 0

    def _credit(self, count: int) -> None:
        self._left_s = min(SEND_BUDGET_S, self._left_s + count / MIN_SEND_RATE)

    @staticmethod
    def _require_budget(left_s: float) -> None:
        if left_s <= 0:
            msg = f"less than {MIN_SEND_RATE} bytes per second for {SEND_BUDGET_S:g} seconds"
            raise TimeoutError(msg)


def discard(read: Callable[[int], bytes], environ: Mapping[str, Any]) -> None:
    """Discard the rest of a refused body, within limits.

    Raises:
        OSError: the client disconnected, or is too slow.
    """
    connection, deadline = environ.get("gunicorn.socket"), time.monotonic() + MAX_DISCARD_S
    left = MAX_DISCARD_BYTES
    if isinstance(connection, ClientSocket):
        connection.deadline = deadline
    try:
        while left > 0 and time.monotonic() < deadline:
            block = read(BLOCK)
            if not block:
                return
            left -= len(block)
    finally:
        if isinstance(connection, ClientSocket):
            connection.deadline = math.inf

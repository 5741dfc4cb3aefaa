"""Connections of clients, who keep a least pace or are waited for no longer.

A request holds a thread from the end of its head to the last byte of its answer. Time that the hub
itself spends is not counted.

* **Head**: collected without a thread (``Line.collect``), within ``HEAD_S`` of its first byte.
* **Body**: bytes are counted in windows of ``WINDOW_S`` seconds of waiting. Two windows in a row
  with less than ``LORARY_MIN_BODY_RATE`` end the request: within 10 s when a body never keeps the
  rate, within 15 s when it stops keeping it.
* **Answer**: the patience for a reader is a stock of seconds. Waiting takes from it, bytes that
  move fill it up again. So a download that stands still is closed after ``PATIENCE_S``, one that
  trickles not much later, and a thin line that moves goes on for as long as it takes.
"""

from __future__ import annotations

import fcntl
import math
import os
import select
import socket
import struct
import termios
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar

from django.conf import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")

#: Seconds from the first byte of a head to its last one.
HEAD_S = 5.0
#: Bytes of a head: 100 fields of 8 KiB are never all full.
MAX_HEAD_BYTES = 64 * 1024
#: Seconds of waiting over which the bytes of a body are counted.
WINDOW_S = 5.0
#: Seconds for which a reader may be waited for, bytes that it takes not counted.
PATIENCE_S = 60.0
#: Bytes that earn a second: who takes fewer of them a second is closed in the end.
LEAST_RATE = 1024
#: Seconds between two looks at what a slow reader has taken meanwhile.
LOOK_S = 5.0

#: A refused body is read on for this long and this far, so that clients which only listen
#: once they have sent everything get to hear the answer; then the connection is closed.
MAX_DISCARD_BYTES = 64 * 1024 * 1024
MAX_DISCARD_S = 5.0
BLOCK = 256 * 1024

_SENDFILE_BYTES = 2**30
_HEAD_BLOCK = 16 * 1024
_END_OF_HEAD = b"\r\n\r\n"


class Line(socket.socket):
    """The connection of a client.

    Attributes:
        until: Monotonic time at which reading ends whatever comes.
        head: What has come of a request that no thread reads yet.
        has_ended: Whether the client sends nothing more.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401 - socket's
        super().__init__(*arguments, **named)
        self.head, self.has_ended = bytearray(), False
        self.start()
        self._room = select.poll()
        self._room.register(self, select.POLLOUT)
        self._bytes = select.poll()
        self._bytes.register(self, select.POLLIN)

    @classmethod
    def of(cls, plain: socket.socket) -> Self:
        """Return a connection as a line; the given object is empty afterwards."""
        return cls(plain.family, plain.type, plain.proto, fileno=plain.detach())

    def start(self) -> None:
        """Be patient anew: a request begins, or ends."""
        self.until, self._left_s = math.inf, PATIENCE_S
        self._waited_s, self._came, self._came_before = 0.0, 0, math.inf

    def collect(self) -> bool:
        """Read what is there of a head, without waiting.

        Returns:
            Whether the loop has to look at it: the head is whole or too long, or no more of it
            comes.
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
        """Return how long the head is without its empty line; -1 while it is not whole."""
        return self.head.find(_END_OF_HEAD)

    def take_head(self) -> bytes:
        """Return what was collected, and forget it."""
        taken, self.head = bytes(self.head), bytearray()
        return taken

    def setblocking(self, flag: bool, /) -> None:  # noqa: FBT001 - socket's
        """Wait with patience where it shall wait; a line that was closed stays closed."""
        wait_s = PATIENCE_S if flag else 0.0
        if self.gettimeout() != wait_s and self.fileno() >= 0:
            self.settimeout(wait_s)

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Return what has come.

        Raises:
            TimeoutError: too little came for too long.
        """
        if flags or self.gettimeout() == 0.0:
            return super().recv(size, flags)
        data = self._come(partial(os.read, self.fileno(), size))
        self._came += len(data)
        return data

    def recv_into(self, room: Any, size: int = 0, flags: int = 0) -> int:  # noqa: ANN401 - any buffer
        """Write what has come into the room, and return how many bytes that were.

        Raises:
            TimeoutError: too little came for too long.
        """
        if size or flags or self.gettimeout() == 0.0:
            return super().recv_into(room, size, flags)
        count = self._come(partial(os.readv, self.fileno(), [room]))
        self._came += count
        return count

    def _come(self, read: Callable[[], T]) -> T:
        """Read what is there, without a look at the clock: a body has thousands of pieces."""
        while True:
            try:
                return read()
            except BlockingIOError:
                self._wait_for_bytes()

    def has_bytes(self, within_s: float) -> bool:
        """Whether bytes come, or the end, within so many seconds."""
        return bool(self._bytes.poll(1000 * within_s))

    def _wait_for_bytes(self) -> None:
        until = min(self.until, time.monotonic() + (self.gettimeout() or math.inf))
        is_there = False
        while not is_there:
            began = time.monotonic()
            if began >= until:
                msg = "the end of what was awaited did not come in time"
                raise TimeoutError(msg)
            is_there = self.has_bytes(min(until - began, max(0.0, WINDOW_S - self._waited_s)))
            self._waited_s += time.monotonic() - began
            if self._waited_s >= WINDOW_S:
                self._end_window()

    def _end_window(self) -> None:
        least = settings.LORARY.min_body_rate
        if self._came_before + self._came < 2 * WINDOW_S * least:
            msg = f"less than {least} bytes a second for {2 * WINDOW_S:g} seconds"
            raise TimeoutError(msg)
        self._waited_s, self._came, self._came_before = 0.0, 0, self._came

    def sendall(self, data: Any, flags: int = 0, /) -> None:  # noqa: ANN401 - any buffer
        """Send everything.

        Raises:
            TimeoutError: too little was taken for too long.
        """
        del flags
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self.fileno(), rest) :]
            except BlockingIOError:
                self._wait_for_room()

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:  # noqa: ANN401 - socket's
        """Have the system send a file, and return how many bytes it sent.

        Raises:
            TimeoutError: too little was taken for too long.
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
                self._wait_for_room()
        return offset - begin

    def _wait_for_room(self) -> None:
        """Wait until the system takes more.

        It does when a third of its buffer is free, which may be a megabyte: on a thin line that
        takes minutes in which bytes do move. So what the client has taken is looked at meanwhile.
        """
        wait_s = min(LOOK_S, self._left_s)
        self._require_patience(wait_s)
        if self._room.poll(1000 * wait_s):
            return  # a third of the buffer went out meanwhile
        self._left_s -= wait_s
        queued, is_ready = self._queued(), False
        while not is_ready:
            self._require_patience(self._left_s)
            began = time.monotonic()
            is_ready = bool(self._room.poll(1000 * min(LOOK_S, self._left_s)))
            self._left_s -= time.monotonic() - began
            before, queued = queued, self._queued()
            self._earn(before - queued)
        if not queued:  # all was taken, or nobody says
            self._left_s = PATIENCE_S

    def _queued(self) -> int:
        """Return how many bytes the client has not taken yet; 0 where the system does not say."""
        try:
            return int(struct.unpack("i", fcntl.ioctl(self, termios.TIOCOUTQ, bytes(4)))[0])
        except OSError:
            return 0

    def _earn(self, count: int) -> None:
        self._left_s = min(PATIENCE_S, self._left_s + count / LEAST_RATE)

    @staticmethod
    def _require_patience(left_s: float) -> None:
        if left_s <= 0:
            msg = f"less than {LEAST_RATE} bytes a second for {PATIENCE_S:g} seconds"
            raise TimeoutError(msg)


def discard(read: Callable[[int], bytes], environ: Mapping[str, Any]) -> None:
    """Read a refused body on, within limits.

    Raises:
        OSError: the client left, or is too slow.
    """
    line, until = environ.get("gunicorn.socket"), time.monotonic() + MAX_DISCARD_S
    left = MAX_DISCARD_BYTES
    if isinstance(line, Line):
        line.until = until
    try:
        while left > 0 and time.monotonic() < until:
            block = read(BLOCK)
            if not block:
                return
            left -= len(block)
    finally:
        if isinstance(line, Line):
            line.until = math.inf

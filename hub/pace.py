"""Connections of clients, who keep a least pace or are waited for no longer.

A request holds a thread from its first byte to the last of its answer. The patience for its client
is a stock of seconds: waiting takes from it, bytes that move fill it up again. So a connection that
stands still is closed after ``PATIENCE_S``, one that trickles not much later, and a thin line that
moves goes on for as long as it takes. Time that the hub spends is not counted.
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

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Line", "discard"]

T = TypeVar("T")

#: Seconds for which a client may be waited for, bytes that it moves not counted.
PATIENCE_S = 60.0
#: Bytes that earn a second: who sends or takes fewer of them a second is closed in the end.
LEAST_RATE = 1024
#: Seconds between two looks at what a slow reader has taken meanwhile.
LOOK_S = 5.0

#: A refused body is read on for this long and this far, so that clients which only listen
#: once they have sent everything get to hear the answer; then the connection is closed.
MAX_DISCARD_BYTES = 64 * 1024 * 1024
MAX_DISCARD_S = 5.0
BLOCK = 256 * 1024

_SENDFILE_BYTES = 2**30


class Line(socket.socket):
    """The connection of a client.

    Attributes:
        until: Monotonic time at which reading ends whatever comes.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401 - socket's
        super().__init__(*arguments, **named)
        self.until, self._left_s = math.inf, PATIENCE_S
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
        self._earn(len(data))
        return data

    def recv_into(self, room: Any, size: int = 0, flags: int = 0) -> int:  # noqa: ANN401 - any buffer
        """Write what has come into the room, and return how many bytes that were.

        Raises:
            TimeoutError: too little came for too long.
        """
        if size or flags or self.gettimeout() == 0.0:
            return super().recv_into(room, size, flags)
        count = self._come(partial(os.readv, self.fileno(), [room]))
        self._earn(count)
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
        began = time.monotonic()
        wait_s = min(self.gettimeout() or math.inf, self._left_s, self.until - began)
        self._require_patience(wait_s)
        try:
            if not self.has_bytes(wait_s):
                raise TimeoutError
        finally:
            self._left_s -= time.monotonic() - began

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

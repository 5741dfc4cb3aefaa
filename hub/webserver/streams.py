"""Request bodies that are read directly from the socket.

```
socket ──recv_into──▶ buffer of the reader ──▶ sha256, file
```

gunicorn 27 (``http/body.py``, ``http/unreader.py``) passes a body through two buffers, and copies
their rest with each read: that was half of an upload's CPU time beyond hashing it.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from gunicorn.http.body import LengthReader

if TYPE_CHECKING:
    from gunicorn.http.message import Request
    from gunicorn.http.unreader import SocketUnreader
    from typing_extensions import Buffer

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

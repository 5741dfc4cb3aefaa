"""Bodies of requests, straight from the connection.

```
socket ──recv_into──▶ the piece that is asked for ──▶ sha256, file
```

gunicorn 27 (``http/body.py``, ``http/unreader.py``) hands a body on through two buffers, and copies
what is left in them with each read: that was half of an upload's CPU time beyond hashing it.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from gunicorn.http.body import LengthReader

if TYPE_CHECKING:
    from gunicorn.http.message import Request
    from gunicorn.http.unreader import SocketUnreader
    from typing_extensions import Buffer

#: Pieces that are smaller are read together, lines of forms for example.
BUFFER = 16 * 1024


def make_direct(request: Request) -> None:
    """Have a request's body come straight from its connection, where its length is known."""
    reader = getattr(request.body, "reader", None)
    if isinstance(reader, LengthReader):
        length = reader.length
        request.body = Body(reader.unreader, length) if length else io.BytesIO()


class Body(io.BufferedReader):
    """A body of known length, as WSGI wants it: a read ends early only where the client left."""

    def __init__(self, unreader: SocketUnreader, length: int) -> None:
        self._rest = _Rest(unreader, length)
        super().__init__(self._rest, BUFFER)

    @property
    def failed(self) -> bool:
        """Whether reading broke off, so that nobody knows where the next request begins."""
        return self.closed or self._rest.failed


class _Rest(io.RawIOBase):
    """What is left of a body."""

    def __init__(self, unreader: SocketUnreader, length: int) -> None:
        early = unreader.take_buffered()  # came with the head; behind it may be the next request
        unreader.unread(early[length:])
        self._early = memoryview(early)[:length]
        self._line, self._left = unreader.sock, length
        self.failed = False

    def readable(self) -> bool:
        return True

    def readinto(self, room: Buffer) -> int:
        """Fill a part of the room, and return its length; 0 at the end.

        Raises:
            OSError: the connection broke, or too little came for too long.
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

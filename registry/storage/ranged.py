"""Reads an object of a bucket like a file, one range at a time."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, IncompleteReadError

from registry.storage.s3_client import translate_errors

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from botocore.response import StreamingBody

    Fetch = Callable[[int, int], StreamingBody]

#: First range after opening or seeking, enough for most headers.
FIRST = 64 * 1024
#: Maximum length of a range. A broken connection loses at most this; shorter ones need more
#: requests.
LONGEST = 16 * 1024 * 1024
GROWTH = 4

TRIES = 4
PAUSE_S = 0.2


class Ranged(io.RawIOBase):
    """Requests ranges that grow while reading continues, and resumes after broken connections."""

    def __init__(self, name: str, size: int, fetch: Fetch) -> None:
        """Prepare, without a request.

        Args:
            size: Length of the object in bytes.
            fetch: Returns the body with the bytes from a first to a last one, inclusive.
        """
        super().__init__()
        self.name, self.size, self.fetch = name, size, fetch
        self._position = 0
        self._body: StreamingBody | None = None
        self._at = self._left = 0  # position of the body, and its remaining bytes
        self._range = FIRST

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Set the position; the next read sends the request."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        if start + offset < 0:
            msg = f"negative position {start + offset}"
            raise ValueError(msg)
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read some bytes.

        Raises:
            StorageAway: the server did not send them, even after retries.
            FileNotFoundError: the object was removed or replaced.
        """
        view = memoryview(buffer).cast("B")
        if self._position >= self.size or not view:
            return 0
        for trial in range(TRIES):
            with translate_errors(self.name):
                try:
                    data = self._some(len(view))
                except BotoCoreError:
                    self._end()
                    if trial == TRIES - 1:
                        raise
                else:
                    view[: len(data)] = data
                    return len(data)
            time.sleep(PAUSE_S * 2**trial)
        raise AssertionError  # the last trial returned or raised

    def _some(self, most: int) -> bytes:
        body = self._body
        if body is None or self._at != self._position:
            body = self._request()
        data = body.read(min(most, self._left))
        if not data:
            raise IncompleteReadError(actual_bytes=0, expected_bytes=self._left)
        self._at += len(data)
        self._left -= len(data)
        self._position = self._at
        if not self._left:
            self._end()
        return data

    def _request(self) -> StreamingBody:
        """Request a range from here: a longer one than before if reading continues."""
        continues = self._at == self._position and self._at > 0
        self._end()
        self._range = min(self._range * GROWTH, LONGEST) if continues else FIRST
        length = min(self._range, self.size - self._position)
        self._body = body = self.fetch(self._position, self._position + length - 1)
        self._at, self._left = self._position, length
        return body

    def _end(self) -> None:
        """Release the connection."""
        if self._body is not None:
            self._body.close()
        self._body = None

    def close(self) -> None:
        """Close the connection."""
        if not self.closed:
            self._end()
        super().close()

"""A request that can be sent again, and an answer that need not be read at once."""

from __future__ import annotations

import contextlib
import http.client
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lorary.client.errors import BadAnswer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["Request", "Response"]

MAX_JSON_BYTES = 64 * 1024 * 1024
_REPEATABLE = frozenset({"GET", "HEAD", "PUT", "DELETE"})


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    Attributes:
        method: HTTP method.
        url: Absolute URL.
        headers: Further headers.
        body: Makes the body anew for each attempt; None for no body.
        size_bytes: Length of the body.
        is_repeatable: Sending it twice does no harm; by default what HTTP says of the method.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Callable[[], Iterable[bytes | memoryview]] | None = None
    size_bytes: int = 0
    is_repeatable: bool = False

    @property
    def may_repeat(self) -> bool:
        """Whether to send it again after a failure that leaves its effect unknown."""
        return self.is_repeatable or self.method in _REPEATABLE


class Response:
    """An answer whose body has not been read; leaving its block frees the connection."""

    def __init__(
        self, raw: http.client.HTTPResponse, url: str, release: Callable[[bool], None]
    ) -> None:
        self._raw = raw
        self._release = release
        self.url = url
        self.status = raw.status
        self.headers = raw.headers

    def __enter__(self) -> Response:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def readinto(self, buffer: memoryview) -> int:
        """Fill ``buffer``; fewer bytes than it holds only at the end, 0 after it."""
        return self._raw.readinto(buffer)

    def read(self, limit: int = MAX_JSON_BYTES) -> bytes:
        """Return the whole body.

        Raises:
            BadAnswer: it is longer than ``limit``.
            IncompleteRead: the connection ended before it did.
            OSError: the connection broke.
        """
        body = self._raw.read(limit + 1)
        if len(body) > limit:
            msg = "The hub's answer is far too long."
            raise BadAnswer(msg, status=self.status)
        if self._raw.length:  # http.client tells only when it is not asked for a number of bytes
            raise http.client.IncompleteRead(body, self._raw.length)
        return body

    def close(self) -> None:
        """Hand the connection back, or close it when some of the body is unread."""
        is_finished = self._raw.isclosed() and not self._raw.length
        with contextlib.suppress(OSError):
            self._raw.close()
        self._release(is_finished and not self._raw.will_close)

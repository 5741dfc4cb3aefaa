"""Bytes to a hub and what comes back, whatever the bytes are."""

from __future__ import annotations

import json
import re
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Status of an answer that did not come.
SILENT = 0
#: Seconds: a push waits up to a minute for its checks.
WAIT_S = 90.0
_STATUS = re.compile(rb"(?:^|\r\n\r\n|\n|[}>])HTTP/1\.[01] ([0-9]{3}) ")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; names of headers in lower case.

    Attributes:
        trouble: Why there is none.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    trouble: str = ""

    @property
    def document(self) -> Any:
        """The body as JSON; None where it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    @property
    def is_of_django(self) -> bool:
        """Whether the application gave it, and not the server in front of it."""
        return "x-content-type-options" in self.headers


def sent(port: int, data: bytes, method: str = "GET", *, is_cut: bool = False) -> Answer:
    """Send a request as it is and return the answer; ``is_cut`` ends the sending side."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=WAIT_S) as line:
            _push(line, data, is_cut=is_cut)
            response = HTTPResponse(line, method=method)
            response.begin()
            named = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, named, response.read())
    except (OSError, HTTPException) as error:
        return Answer(SILENT, trouble=f"{type(error).__name__}: {error}"[:200])


def statuses(port: int, data: bytes, *, within_s: float = 10.0) -> list[int]:
    """Send bytes, say that no more come, and return the status of each answer."""
    heard = bytearray()
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), within_s) as line:
        _push(line, data, is_cut=True)
        while piece := line.recv(65_536):
            heard += piece
    return [int(found) for found in _STATUS.findall(bytes(heard))]


def _push(line: socket.socket, data: bytes, *, is_cut: bool) -> None:
    with suppress(OSError):  # whoever was refused early has an answer to read
        line.sendall(data)
        if is_cut:
            line.shutdown(socket.SHUT_WR)

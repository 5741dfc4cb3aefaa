"""When a hub that is just started is ready."""

from __future__ import annotations

import contextlib
import http.client
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from hub.operations.supervisor import Supervisor

__all__ = ["Announcer"]

#: Seconds that workers wait for the web server, so that it starts undisturbed.
READY_S = 30.0


class Announcer:
    """Says once that the web server answers, however long that takes."""

    def __init__(
        self,
        supervisor: Supervisor,
        host: str,
        port: int,
        *,
        tell: Callable[[str], object],
        say: Callable[[str], object],
    ) -> None:
        """Announce an address.

        Args:
            supervisor: Runs the web server.
            host: Where it listens.
            port: On which port.
            tell: Gets the address, once.
            say: Gets what else there is to say.
        """
        self.supervisor, self.host, self.port = supervisor, host, port
        self._tell, self._say = tell, say
        self.is_done = False

    def wait(self) -> None:
        """Look until it answers, ends, or ``READY_S`` are over; others start after that."""
        until = time.monotonic() + READY_S
        while not (self.supervisor.is_stopping or self.supervisor.essential_has_ended()):
            self.look()
            if self.is_done:
                return
            if time.monotonic() >= until:
                self._say(f"The web server does not answer after {READY_S:g} s: still waiting.")
                return
            time.sleep(0.05)

    def look(self) -> None:
        """Announce the address if it answers now for the first time."""
        if self.is_done or not _answers(self.host, self.port):
            return
        self.is_done = True
        shown = f"[{self.host}]" if ":" in self.host else self.host
        self._tell(f"Lorary is ready at http://{shown}:{self.port} - Ctrl-C stops it.")


def _answers(host: str, port: int) -> bool:
    target = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared only
    connection = http.client.HTTPConnection(target, port, timeout=2)
    with contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("GET", "/healthz/live")
        return connection.getresponse().status < 600  # any answer: it serves
    return False

"""Which requests get a thread: no caller holds more than a share of a process's threads.

A caller is the address at the other end of the connection; with ``LORARY_TRUST_PROXY``, the address
that the proxy forwards. What a caller asks for beyond the share waits for the caller's own requests
that run, for ``WAIT_S`` at most, and holds no thread meanwhile.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter, deque
from typing import TYPE_CHECKING, Any

from django.conf import settings

if TYPE_CHECKING:
    from collections.abc import Iterator

#: A caller's part of the threads, and of the connections that wait for one.
PART = 4
#: Seconds that a request waits for a thread of its caller's share.
WAIT_S = 30.0
#: Who has an IPv6 address mostly has a network of this length, with any number of addresses.
IPV6_PREFIX = 64

_FORWARDED = re.compile(rb"(?im)^x-forwarded-for:([^\r\n]*)")


def caller_of(peer: str, head: bytes | bytearray, length: int) -> str:
    """Return whose request it is: an address, or the network of a public IPv6 address.

    Args:
        peer: Address at the other end of the connection.
        head: The request's head; other bytes may follow it.
        length: Length of the head.
    """
    if settings.LORARY.trust_proxy and (found := _FORWARDED.findall(head, 0, max(0, length))):
        nearest = found[-1].rpartition(b",")[2].strip().decode("latin-1")
        peer = nearest or peer
    return network_of(peer) if ":" in peer else peer


def network_of(text: str) -> str:
    """Return an address; of a public IPv6 address its network, which counts as one caller."""
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        return text
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    if not address.is_global:  # machines of one local network share a prefix
        return str(address)
    return str(ipaddress.IPv6Network((address, IPV6_PREFIX), strict=False))


class Admission:
    """Requests that run and requests that wait, by caller. The loop of a process asks it.

    Attributes:
        running: Threads that each caller holds.
    """

    def __init__(self, threads: int, connections: int) -> None:
        """Divide so many threads and connections."""
        self._most_running = max(1, threads // PART)
        self._most_waiting = max(1, connections // PART)
        self.running = Counter[str]()
        self._waiting: dict[str, deque[Any]] = {}

    def enter(self, caller: str) -> bool:
        """Whether another request of a caller may run; it counts from now on."""
        if self.running[caller] >= self._most_running:
            return False
        self.running[caller] += 1
        return True

    def wait(self, caller: str, conn: Any) -> bool:  # noqa: ANN401 - gunicorn's TConn
        """Whether a connection may wait until another of its caller leaves."""
        line = self._waiting.setdefault(caller, deque())
        if len(line) >= self._most_waiting:
            return False
        line.append(conn)
        return True

    def leave(self, caller: str) -> Any:  # noqa: ANN401 - gunicorn's TConn
        """End a request; return the connection that runs in its place, None if none waits."""
        self.running[caller] -= 1
        line = self._waiting.get(caller)
        if line:
            self.running[caller] += 1
            return self._pop(caller, line)
        if not self.running[caller]:
            del self.running[caller]
        return None

    def has_waiting(self, caller: str) -> bool:
        """Whether another connection of a caller waits."""
        return caller in self._waiting

    def expired(self, now: float) -> Iterator[Any]:
        """Remove and yield the connections whose time to wait is over."""
        for caller, line in list(self._waiting.items()):
            while line and line[0].timeout <= now:
                yield self._pop(caller, line)

    def _pop(self, caller: str, line: deque[Any]) -> Any:  # noqa: ANN401 - gunicorn's TConn
        conn = line.popleft()
        if not line:
            del self._waiting[caller]
        return conn

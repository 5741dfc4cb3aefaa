"""Admission of requests: no client holds more than a share of a process's threads.

A client is identified by the address at the other end of the connection; with
``LORARY_TRUST_PROXY``, by the address that the proxy forwards. Requests beyond the share wait, for
``WAIT_S`` at most, until one of the same client ends; they hold no thread while they wait.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter, deque
from collections.abc import Iterator
from typing import Any

from django.conf import settings

#: A client gets this fraction (one divided by this) of the threads, and of the places in the queue.
SHARE_DIVISOR = 4
#: Seconds that a request waits in the queue of its client.
WAIT_S = 30.0
#: An IPv6 customer usually has a network of this prefix length, with any number of addresses.
IPV6_PREFIX = 64

_FORWARDED = re.compile(rb"(?im)^x-forwarded-for:([^\r\n]*)")


def client_key(peer: str, head: bytes | bytearray, length: int) -> str:
    """Return the client of a request: an address, or the network of a public IPv6 address.

    Args:
        head: The request's head; other bytes may follow it.
    """
    if settings.LORARY.trust_proxy and (found := _FORWARDED.findall(head, 0, max(0, length))):
        peer = forwarded(b",".join(found).decode("latin-1")) or peer
    return network_of(peer) if ":" in peer else peer


def forwarded(header: str) -> str:
    """Return the client in ``X-Forwarded-For``; "" if no proxy is trusted or it names none.

    Each proxy appends the address that connected to it. Of N trusted proxies, the outermost wrote
    the Nth address from the end; those before it are the client's own words.
    """
    hops = settings.LORARY.trust_proxy
    return header.rsplit(",", hops)[-hops:][0].strip() if hops else ""


def network_of(text: str) -> str:
    """Return an IPv4 address unchanged, and the network of a public IPv6 address."""
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
    """Running and waiting requests of a process, by client.

    Attributes:
        running: Number of threads that each client holds.
    """

    def __init__(self, threads: int, connections: int) -> None:
        """Set the limits of a client from the numbers of threads and connections."""
        self._most_running = max(1, threads // SHARE_DIVISOR)
        self._most_waiting = max(1, connections // SHARE_DIVISOR)
        self.running = Counter[str]()
        self._waiting: dict[str, deque[Any]] = {}

    def enter(self, client: str) -> bool:
        """Count a request of a client as running, if it may; return whether it may."""
        if self.running[client] >= self._most_running:
            return False
        self.running[client] += 1
        return True

    def wait(self, client: str, conn: Any) -> bool:  # noqa: ANN401 - gunicorn's TConn
        """Queue a connection behind its client's requests; return False if the queue is full."""
        queue = self._waiting.setdefault(client, deque())
        if len(queue) >= self._most_waiting:
            return False
        queue.append(conn)
        return True

    def leave(self, client: str) -> Any:  # noqa: ANN401 - gunicorn's TConn
        """End a request; return the connection that gets its thread, None if none waits."""
        self.running[client] -= 1
        queue = self._waiting.get(client)
        if queue:
            self.running[client] += 1
            return self._pop(client, queue)
        if not self.running[client]:
            del self.running[client]
        return None

    def has_waiting(self, client: str) -> bool:
        """Whether a connection of a client waits in the queue."""
        return client in self._waiting

    def expired(self, now: float) -> Iterator[Any]:
        """Remove and yield the connections that have waited too long."""
        for client, queue in list(self._waiting.items()):
            while queue and queue[0].timeout <= now:
                yield self._pop(client, queue)

    def _pop(self, client: str, queue: deque[Any]) -> Any:  # noqa: ANN401 - gunicorn's TConn
        conn = queue.popleft()
        if not queue:
            del self._waiting[client]
        return conn

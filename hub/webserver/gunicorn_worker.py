"""A gunicorn ``gthread`` worker that limits how long its threads wait for a client.

```
accepted ──▶ head is read in ──▶ client is within ──▶ thread reads body and ──▶ kept alive
             the event loop      its share            sends response            in the loop
```

The event loop refuses requests that get no thread, and answers ``/healthz/live``.

Source: gunicorn 27, ``workers/gthread.py``. Unmodified, it keeps a thread for five seconds on an
idle connection and forever on an incomplete request head, accepts connections while all its threads
are busy and another process has free ones, and waits in its loop for clients to close their side.
"""

from __future__ import annotations

import json
import math
import os
import re
import select
import socket
import time
from collections import deque
from contextlib import suppress
from functools import partial
from selectors import EVENT_READ
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

from hub.webserver.admission import WAIT_S, Admission, client_key
from hub.webserver.connections import HEAD_TIMEOUT_S, ClientSocket, make_direct

#: ``Retry-After`` for a client that has too many requests open.
RETRY_AFTER_S = 10

_LIVENESS_PATH = re.compile(rb"(?:GET|HEAD) /healthz/live[ ?]")


def _answer(status: str, kind: str, document: dict[str, object], *fields: str) -> bytes:
    body = json.dumps(document).encode()
    lines = [
        f"HTTP/1.1 {status}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "Connection: close",
        *fields,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _problem(status: str, code: str, title: str, detail: str, *fields: str) -> bytes:
    standard = {"type": f"/api/docs#{code}", "title": title, "status": int(status[:3])}
    document = {**standard, "detail": detail, "code": code}
    return _answer(status, "application/problem+json", document, *fields)


HEAD_TOO_SLOW = _problem(
    "408 Request Timeout",
    "request_timeout",
    "The request was too slow",
    "Send all request headers within 5 seconds.",
)
HEAD_TOO_LONG = _problem(
    "431 Request Header Fields Too Large",
    "malformed_request",
    "The request cannot be read",
    "Request headers can have at most 64 KiB.",
)
TOO_MANY = _problem(
    "503 Service Unavailable",
    "unavailable",
    "The server is busy",
    "Too many requests from your address are open. Try again when some of them are finished.",
    f"Retry-After: {RETRY_AFTER_S}",
)

_LIVENESS_OK = _answer("200 OK", "application/json", {"status": "ok"})


def is_liveness_check(head: bytes | bytearray) -> bool:
    """Whether a request is for ``/healthz/live``."""
    return _LIVENESS_PATH.match(head) is not None


def liveness_answer(head: bytes | bytearray) -> bytes:
    """Return the response to a liveness check, without the body for HEAD."""
    return (
        _LIVENESS_OK.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if head[:1] == b"H" else _LIVENESS_OK
    )


#: Seconds that a thread waits for the next request of its client, which may be downloading many
#: files: going through the loop to a thread again costs more than a small response.
NEXT_REQUEST_WAIT_S = 0.005

#: Seconds without a first byte after which a connection is not expected to need a thread soon.
IDLE_AFTER_S = 0.02

#: Seconds by which each open connection delays accepting a new one, so that less loaded processes
#: accept first; and how many connections count at most.
ACCEPT_DELAY_S, MAX_DELAYS = 0.0001, 10

#: Seconds after which a process without a free thread accepts connections that the others left, and
#: between two checks for them: together less than ``/healthz/live`` may take.
LEFT_OVER_AFTER_S, ACCEPT_POLL_S = 0.1, 0.05

#: Seconds that a refused client has to read the response before its connection is closed.
LINGER_S = 2.0


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """A web process. All methods run in its event loop, except ``handle`` and what it calls."""

    def __init__(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401 - gunicorn's
        super().__init__(*arguments, **named)
        self._admission = Admission(self.cfg.threads, self.worker_connections)
        # Both are ordered by time, as the timeout is the same for each entry.
        self._heads = deque[Any]()
        self._closing = deque[Any]()
        self._all_accepted_at = 0.0

    def accept(self, listener: Any) -> None:  # noqa: ANN401 - gunicorn's socket
        """Accept a connection, unless a process with fewer connections was faster.

        The kernel wakes all processes at once. Without the delay, two long-lived connections may
        end up in one process and share its interpreter while another process is idle.
        """
        time.sleep(min(self.nr_conns, MAX_DELAYS) * ACCEPT_DELAY_S)
        super().accept(listener)

    def enqueue_req(self, conn: Any) -> None:  # noqa: ANN401 - gunicorn's TConn
        """Handle a new connection, or one on which a request begins."""
        if not isinstance(conn.sock, ClientSocket):
            conn.sock = ClientSocket.wrap(conn.sock)
        conn.sock.settimeout(0.0)
        if conn.initialized or conn.data_ready:
            if conn.parser is not None:
                conn.sock.head += conn.parser.unreader.take_buffered()
            self._collect(conn)
            return
        conn.set_timeout()
        self.pending_conns.append(conn)
        readable = partial(self.on_pending_socket_readable, conn)
        self.poller.register(conn.sock, EVENT_READ, readable)

    def _collect(self, conn: Any) -> None:  # noqa: ANN401 - gunicorn's TConn
        """Read what has arrived of a head, and handle the request or wait for the rest."""
        if not conn.sock.collect():
            self._wait(conn, self._heads, HEAD_TIMEOUT_S, self._continue_head)
        elif conn.sock.has_ended:
            self._close(conn)
        elif conn.sock.head_length() < 0:
            self._answer(conn, HEAD_TOO_LONG)
        elif is_liveness_check(conn.sock.head):
            self._answer(conn, liveness_answer(conn.sock.head))
        else:
            self._admit(conn)

    def _continue_head(self, conn: Any, sock: Any) -> None:  # noqa: ANN401 - gunicorn's TConn
        if conn.sock.collect():
            self.poller.unregister(sock)
            self._heads.remove(conn)
            self._collect(conn)

    def _wait(self, conn: Any, conns: deque[Any], wait_s: float, act: Any) -> None:  # noqa: ANN401
        conn.timeout = time.monotonic() + wait_s
        conns.append(conn)
        self.poller.register(conn.sock, EVENT_READ, partial(act, conn))

    def _admit(self, conn: Any) -> None:  # noqa: ANN401 - gunicorn's TConn
        """Give a request a thread, queue it, or refuse it."""
        conn.client_key = _client_key(conn)
        if self._admission.enter(conn.client_key):
            super().enqueue_req(conn)
            return
        conn.timeout = time.monotonic() + WAIT_S
        if not self._admission.wait(conn.client_key, conn):
            self._answer(conn, TOO_MANY)

    def finish_request(self, conn: Any, fs: Any) -> None:  # noqa: ANN401 - gunicorn's
        """Give the thread of a finished request to the client's next one in the queue."""
        following = self._admission.leave(conn.client_key)
        if following is not None:
            super().enqueue_req(following)
        super().finish_request(conn, fs)

    def _answer(self, conn: Any, answer: bytes) -> None:  # noqa: ANN401 - gunicorn's TConn
        """Respond without a thread, and give the client time to read the response."""
        with suppress(OSError):  # the response fits the send buffer
            os.write(conn.sock.fileno(), answer)
            conn.sock.shutdown(socket.SHUT_WR)
        self._wait(conn, self._closing, LINGER_S, self._drain)

    def _drain(self, conn: Any, sock: Any) -> None:  # noqa: ANN401 - gunicorn's TConn
        """Discard data of a refused client: closing earlier would cut off the response."""
        conn.sock.take_head()
        conn.sock.collect()
        if conn.sock.has_ended:
            self.poller.unregister(sock)
            self._closing.remove(conn)
            self._close(conn)

    def _close(self, conn: Any) -> None:  # noqa: ANN401 - gunicorn's TConn
        self.nr_conns -= 1
        conn.close()

    def handle(self, conn: Any) -> object:  # noqa: ANN401 - gunicorn's TConn
        """Answer a request in a thread, and following requests as long as they arrive immediately.

        A finished connection is closed here: the loop would block for two seconds, waiting for the
        client to close its side.
        """
        conn.init()
        sock, unreader, is_next = conn.sock, conn.parser.unreader, True
        while is_next:
            unreader.unread(sock.take_head())
            sock.start()
            sock.deadline = time.monotonic() + HEAD_TIMEOUT_S
            is_kept = super().handle(conn)
            sock.head += unreader.take_buffered()
            is_next = (
                is_kept is True and not self._is_thread_needed(conn) and _has_next_request(conn)
            )
        sock.start()
        if is_kept:
            unreader.unread(sock.take_head())  # where the loop reads it
        else:
            conn.close(graceful=True)
        return is_kept

    def _is_thread_needed(self, conn: Any) -> bool:  # noqa: ANN401 - gunicorn's TConn
        """Whether other work needs this thread before its client's next request."""
        is_quiet = self.alive and self._accepting
        waiting = self.tpool._work_queue.qsize() > 0  # noqa: SLF001 - no other way
        return not is_quiet or waiting or self._admission.has_waiting(conn.client_key)

    def handle_request(self, req: Any, conn: Any) -> object:  # noqa: ANN401 - gunicorn's
        """Answer a request whose head is complete."""
        conn.sock.deadline = math.inf
        make_direct(req)
        return super().handle_request(req, conn)

    def set_accept_enabled(self, enabled: bool) -> None:  # noqa: FBT001 - gunicorn's
        """Accept new connections, or leave them to the other processes.

        A connection that was just accepted will need a thread soon; one that is idle will not.
        """
        idle_from = time.monotonic() + self.cfg.keepalive - IDLE_AFTER_S
        fresh = sum(conn.timeout >= idle_from for conn in self.pending_conns)
        busy = self._admission.running.total() + fresh
        super().set_accept_enabled(enabled and busy < self.cfg.threads)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Wait for events and handle them.

        By itself, the loop accepts connections again only after it has reached the connection
        limit.
        """
        if self.alive:
            self._make_room()
            self.set_accept_enabled(self.nr_conns < self.worker_connections)
            if not self._accepting:
                timeout = IDLE_AFTER_S if self.pending_conns else ACCEPT_POLL_S
        else:
            for conn in self.pending_conns:  # an idle client does not delay the shutdown
                conn.timeout = 0.0
        super().wait_for_and_dispatch_events(timeout)
        self._accept_left_over()
        self._close_expired()

    def _make_room(self) -> None:
        """Close the connections that have been idle longest while the process is at its limit."""
        for conns in (self.pending_conns, self.keepalived_conns, self._closing, self._heads):
            while conns and self.nr_conns >= self.worker_connections:
                conn = conns.popleft()
                self.poller.unregister(conn.sock)
                self._close(conn)

    def _accept_left_over(self) -> None:
        """Accept connections that no process accepted while all threads are busy: liveness checks.

        Any other request that is accepted here waits for a thread of this process.
        """
        now = time.monotonic()
        if not self.alive or self._accepting or not self._has_unaccepted():
            self._all_accepted_at = now
        elif now >= self._all_accepted_at + LEFT_OVER_AFTER_S:
            for listener in self.sockets:
                before = -1
                while before < self.nr_conns < self.worker_connections:
                    before = self.nr_conns
                    self.accept(listener)

    def _has_unaccepted(self) -> bool:
        """Whether a connection waits to be accepted."""
        waiting = select.poll()
        for listener in self.sockets:
            waiting.register(listener, select.POLLIN)
        return bool(waiting.poll(0))

    def _close_expired(self) -> None:
        now = time.monotonic()
        while self._heads and self._heads[0].timeout <= now:
            conn = self._heads.popleft()
            self.poller.unregister(conn.sock)
            self._answer(conn, HEAD_TOO_SLOW)
        while self._closing and self._closing[0].timeout <= now:
            conn = self._closing.popleft()
            self.poller.unregister(conn.sock)
            self._close(conn)
        for conn in self._admission.expired(now):
            self._answer(conn, TOO_MANY)


def _client_key(conn: Any) -> str:  # noqa: ANN401 - gunicorn's TConn
    sock, peer = conn.sock, conn.client
    return client_key(peer[0] if isinstance(peer, tuple) else "", sock.head, sock.head_length())


def _has_next_request(conn: Any) -> bool:  # noqa: ANN401 - gunicorn's TConn
    """Whether the complete head of the client's next request arrives within a few milliseconds."""
    sock = conn.sock
    is_here = sock.collect() or (sock.has_bytes(NEXT_REQUEST_WAIT_S) and sock.collect())
    return is_here and not sock.has_ended and _client_key(conn) == conn.client_key

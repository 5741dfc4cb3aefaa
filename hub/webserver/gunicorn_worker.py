"""The web server's threads: gunicorn's ``gthread``, whose threads wait for no client without end.

```
accepted ──▶ head is collected ──▶ caller has a ──▶ a thread: body, answer ──▶ kept open,
             in the loop           share left       at a least pace         in the loop
```

The loop itself refuses what gets no thread, and answers ``/healthz/live``.

Source: gunicorn 27, ``workers/gthread.py``. By itself it keeps a thread for five seconds on a
connection that says nothing and for ever on half a head, takes connections on while all threads
are busy and another process has some, and waits in its loop for clients to close their side.
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

from hub.webserver.admission import WAIT_S, Admission, caller_of
from hub.webserver.connections import HEAD_S, Line
from hub.webserver.streams import make_direct

#: Seconds after which a caller who had too many requests may come again.
RETRY_AFTER_S = 10

_LIVE = re.compile(rb"(?:GET|HEAD) /healthz/live[ ?]")


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
    "Send the whole head within 5 seconds.",
)
HEAD_TOO_LONG = _problem(
    "431 Request Header Fields Too Large",
    "malformed_request",
    "The request cannot be read",
    "The head has at most 64 KiB.",
)
TOO_MANY = _problem(
    "503 Service Unavailable",
    "unavailable",
    "The server is busy",
    "Too many requests from your address are open. Try again when some of them are finished.",
    f"Retry-After: {RETRY_AFTER_S}",
)

_ALIVE = _answer("200 OK", "application/json", {"status": "ok"})


def is_about_life(head: bytes | bytearray) -> bool:
    """Whether a request only asks whether the process answers."""
    return _LIVE.match(head) is not None


def alive(head: bytes | bytearray) -> bytes:
    """Return that it does, to HEAD without the body."""
    return _ALIVE.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if head[:1] == b"H" else _ALIVE


#: Seconds that a thread stays with a client who may go on at once, as one who fetches many files:
#: the way back to the loop and to a thread again costs more than a small answer.
NEXT_S = 0.005

#: Seconds after which a connection without a first byte is not expected to need a thread soon.
SILENT_S = 0.02

#: Seconds that a process leaves a new connection to the others for each one that it has, and the
#: most for which it counts them.
HEAD_START_S, MOST = 0.0001, 10

#: Seconds that a process without a free thread leaves new connections to the others, and between
#: two looks at whether any wait: together less than what ``/healthz/live`` may take.
BUSY_S, LOOK_S = 0.1, 0.05

#: Seconds that a refused client has to read the refusal, before its connection is closed.
LINGER_S = 2.0


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """A web process. What follows runs in its loop, but for ``handle`` and what that calls."""

    def __init__(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401 - gunicorn's
        super().__init__(*arguments, **named)
        self._admission = Admission(self.cfg.threads, self.worker_connections)
        # Both are ordered by time: every head has as long, and so has every farewell.
        self._heads = deque[Any]()
        self._closing = deque[Any]()
        self._none_new_at = 0.0

    def accept(self, listener: Any) -> None:  # noqa: ANN401 - gunicorn's socket
        """Take a connection on, unless a process that has fewer was faster.

        All are told of it at once. Two clients who keep theirs and meet in one process would share
        its interpreter for as long, while another has nothing to do.
        """
        time.sleep(min(self.nr_conns, MOST) * HEAD_START_S)
        super().accept(listener)

    def enqueue_req(self, conn: Any) -> None:  # noqa: ANN401 - gunicorn's TConn
        """Take on a connection: a new one, or one on which a request begins."""
        if not isinstance(conn.sock, Line):
            conn.sock = Line.of(conn.sock)
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
        """Read on in a head, and wait for the rest of it."""
        if not conn.sock.collect():
            self._wait(conn, self._heads, HEAD_S, self._go_on)
        elif conn.sock.has_ended:
            self._close(conn)
        elif conn.sock.head_length() < 0:
            self._answer(conn, HEAD_TOO_LONG)
        elif is_about_life(conn.sock.head):
            self._answer(conn, alive(conn.sock.head))
        else:
            self._admit(conn)

    def _go_on(self, conn: Any, line: Any) -> None:  # noqa: ANN401 - gunicorn's TConn
        if conn.sock.collect():
            self.poller.unregister(line)
            self._heads.remove(conn)
            self._collect(conn)

    def _wait(self, conn: Any, conns: deque[Any], wait_s: float, act: Any) -> None:  # noqa: ANN401
        conn.timeout = time.monotonic() + wait_s
        conns.append(conn)
        self.poller.register(conn.sock, EVENT_READ, partial(act, conn))

    def _admit(self, conn: Any) -> None:  # noqa: ANN401 - gunicorn's TConn
        """Give a request a thread, have it wait for one, or refuse it."""
        conn.caller = _caller_of(conn)
        if self._admission.enter(conn.caller):
            super().enqueue_req(conn)
            return
        conn.timeout = time.monotonic() + WAIT_S
        if not self._admission.wait(conn.caller, conn):
            self._answer(conn, TOO_MANY)

    def finish_request(self, conn: Any, fs: Any) -> None:  # noqa: ANN401 - gunicorn's
        """Give the thread of a request to the next one of its caller."""
        following = self._admission.leave(conn.caller)
        if following is not None:
            super().enqueue_req(following)
        super().finish_request(conn, fs)

    def _answer(self, conn: Any, answer: bytes) -> None:  # noqa: ANN401 - gunicorn's TConn
        """Answer without a thread, and leave the client a moment to read it."""
        with suppress(OSError):  # an answer fits what the system buffers
            os.write(conn.sock.fileno(), answer)
            conn.sock.shutdown(socket.SHUT_WR)
        self._wait(conn, self._closing, LINGER_S, self._drop)

    def _drop(self, conn: Any, line: Any) -> None:  # noqa: ANN401 - gunicorn's TConn
        """Read what a refused client still sends: closing before would cut the answer off."""
        conn.sock.take_head()
        conn.sock.collect()
        if conn.sock.has_ended:
            self.poller.unregister(line)
            self._closing.remove(conn)
            self._close(conn)

    def _close(self, conn: Any) -> None:  # noqa: ANN401 - gunicorn's TConn
        self.nr_conns -= 1
        conn.close()

    def handle(self, conn: Any) -> object:  # noqa: ANN401 - gunicorn's TConn
        """Answer requests, in a thread, while they follow at once; what ends a connection ends it.

        The loop would wait two seconds for the client to close its side, and for nothing else.
        """
        conn.init()
        line, unreader, is_next = conn.sock, conn.parser.unreader, True
        while is_next:
            unreader.unread(line.take_head())
            line.start()
            line.until = time.monotonic() + HEAD_S
            is_kept = super().handle(conn)
            line.head += unreader.take_buffered()
            is_next = is_kept is True and not self._is_needed(conn) and _goes_on(conn)
        line.start()
        if is_kept:
            unreader.unread(line.take_head())  # the loop looks there
        else:
            conn.close(graceful=True)
        return is_kept

    def _is_needed(self, conn: Any) -> bool:  # noqa: ANN401 - gunicorn's TConn
        """Whether this thread has better to do than to wait for the next request of its client."""
        is_quiet = self.alive and self._accepting
        waiting = self.tpool._work_queue.qsize() > 0  # noqa: SLF001 - no other way
        return not is_quiet or waiting or self._admission.has_waiting(conn.caller)

    def handle_request(self, req: Any, conn: Any) -> object:  # noqa: ANN401 - gunicorn's
        """Answer a request whose head was read."""
        conn.sock.until = math.inf
        make_direct(req)
        return super().handle_request(req, conn)

    def set_accept_enabled(self, enabled: bool) -> None:  # noqa: FBT001 - gunicorn's
        """Take new connections on, or leave them to the other processes.

        One that was just accepted is about to need a thread, an older one that is silent is not.
        """
        silent_from = time.monotonic() + self.cfg.keepalive - SILENT_S
        fresh = sum(conn.timeout >= silent_from for conn in self.pending_conns)
        busy = self._admission.running.total() + fresh
        super().set_accept_enabled(enabled and busy < self.cfg.threads)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Wait for what happens next.

        The loop asks for new connections again by itself only when it had reached their limit.
        """
        if self.alive:
            self._make_room()
            self.set_accept_enabled(self.nr_conns < self.worker_connections)
            if not self._accepting:
                timeout = SILENT_S if self.pending_conns else LOOK_S
        else:
            for conn in self.pending_conns:  # who says nothing holds up no stop
                conn.timeout = 0.0
        super().wait_for_and_dispatch_events(timeout)
        self._look_for_new()
        self._end_what_is_late()

    def _make_room(self) -> None:
        """Close the connection that has been silent the longest where there is no other place."""
        for conns in (self.pending_conns, self.keepalived_conns, self._closing, self._heads):
            while conns and self.nr_conns >= self.worker_connections:
                conn = conns.popleft()
                self.poller.unregister(conn.sock)
                self._close(conn)

    def _look_for_new(self) -> None:
        """Take on what no other process took, where all threads are busy: it may ask for life.

        Anything else that comes here waits for a thread, even while another process has some.
        """
        now = time.monotonic()
        if not self.alive or self._accepting or not self._has_new():
            self._none_new_at = now
        elif now >= self._none_new_at + BUSY_S:
            for listener in self.sockets:
                before = -1
                while before < self.nr_conns < self.worker_connections:
                    before = self.nr_conns
                    self.accept(listener)

    def _has_new(self) -> bool:
        """Whether a connection waits to be taken on."""
        waiting = select.poll()
        for listener in self.sockets:
            waiting.register(listener, select.POLLIN)
        return bool(waiting.poll(0))

    def _end_what_is_late(self) -> None:
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


def _caller_of(conn: Any) -> str:  # noqa: ANN401 - gunicorn's TConn
    line, peer = conn.sock, conn.client
    return caller_of(peer[0] if isinstance(peer, tuple) else "", line.head, line.head_length())


def _goes_on(conn: Any) -> bool:  # noqa: ANN401 - gunicorn's TConn
    """Whether the whole head of the caller's next request is here, or comes at once."""
    line = conn.sock
    is_here = line.collect() or (line.has_bytes(NEXT_S) and line.collect())
    return is_here and not line.has_ended and _caller_of(conn) == conn.caller

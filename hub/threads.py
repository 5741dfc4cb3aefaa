"""The web server's threads: gunicorn's ``gthread``, whose threads wait for no client without end.

```
accepted ──▶ waits in the loop ──▶ a thread: head, body, answer ──▶ kept open, in the loop
             for its first byte     at the pace of hub.pace
```

Source: gunicorn 27, ``workers/gthread.py``. By itself it keeps a thread for five seconds on a
connection that says nothing and for ever on half a head, takes connections on while all threads
are busy and another process has some, and waits in its loop for clients to close their side.
"""

from __future__ import annotations

import time
from functools import partial
from selectors import EVENT_READ
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

from hub.pace import Line
from hub.streams import make_direct

__all__ = ["Worker"]

#: Seconds that a thread stays with a client who may go on at once, as one who fetches many files:
#: the way back to the loop and to a thread again costs more than a small answer.
NEXT_S = 0.005

#: Seconds after which a connection without a first byte is not expected to need a thread soon.
SILENT_S = 0.02

#: Seconds that a process leaves a new connection to the others for each one that it has, and the
#: most for which it counts them.
HEAD_START_S, MOST = 0.0001, 10


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """A web process."""

    def accept(self, listener: Any) -> None:  # noqa: ANN401 - gunicorn's socket
        """Take a connection on, unless a process that has fewer was faster.

        All are told of it at once. Two clients who keep theirs and meet in one process would share
        its interpreter for as long, while another has nothing to do.
        """
        time.sleep(min(self.nr_conns, MOST) * HEAD_START_S)
        super().accept(listener)

    def enqueue_req(self, conn: Any) -> None:  # noqa: ANN401 - gunicorn's TConn
        """Give a connection a thread, a new one only when its first byte is there."""
        if not isinstance(conn.sock, Line):
            conn.sock = Line.of(conn.sock)
        if conn.initialized or conn.data_ready:
            super().enqueue_req(conn)
            return
        conn.sock.settimeout(0.0)
        conn.set_timeout()
        self.pending_conns.append(conn)
        readable = partial(self.on_pending_socket_readable, conn)
        self.poller.register(conn.sock, EVENT_READ, readable)

    def handle(self, conn: Any) -> object:  # noqa: ANN401 - gunicorn's TConn
        """Answer requests, in a thread, while they follow at once; what ends a connection ends it.

        The loop would wait two seconds for the client to close its side, and for nothing else.
        """
        is_next = True
        while is_next:
            conn.sock.start()
            is_kept = super().handle(conn)
            is_next = is_kept is True and not self._is_needed() and _goes_on(conn)
        conn.sock.start()
        if not is_kept:
            conn.close(graceful=True)
        return is_kept

    def _is_needed(self) -> bool:
        """Whether this thread has better to do than to wait for the next request of its client."""
        is_quiet = self.alive and self._accepting
        return not is_quiet or self.tpool._work_queue.qsize() > 0  # noqa: SLF001 - no other way

    def handle_request(self, req: Any, conn: Any) -> object:  # noqa: ANN401 - gunicorn's
        """Answer a request whose head was read."""
        make_direct(req)
        return super().handle_request(req, conn)

    def set_accept_enabled(self, enabled: bool) -> None:  # noqa: FBT001 - gunicorn's
        """Take new connections on, or leave them to the other processes.

        One that was just accepted is about to need a thread, an older one that is silent is not.
        """
        silent_from = time.monotonic() + self.cfg.keepalive - SILENT_S
        silent = sum(conn.timeout < silent_from for conn in self.pending_conns)
        busy = self.nr_conns - len(self.keepalived_conns) - silent
        super().set_accept_enabled(enabled and busy < self.cfg.threads)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Wait for what happens next, and for nobody new while all threads are busy.

        The loop asks for new connections again by itself only when it had reached their limit.
        """
        if self.alive:
            self.set_accept_enabled(self.nr_conns < self.worker_connections)
            if self.pending_conns and not self._accepting:
                timeout = SILENT_S
        else:
            for conn in self.pending_conns:  # who says nothing holds up no stop
                conn.timeout = 0.0
        super().wait_for_and_dispatch_events(timeout)


def _goes_on(conn: Any) -> bool:  # noqa: ANN401 - gunicorn's TConn
    """Whether the next request is here, read already with the one before, or comes at once."""
    return bool(conn.parser.unreader.buf.getvalue()) or conn.sock.has_bytes(NEXT_S)

"""Keeps the processes of a hub together: starts, restarts, and ends them all.

```
manage.py up            (the supervisor; first in its process group)
├── gunicorn            essential: when it ends, everything ends
├── worker, checks      restarted when it fails, after a pause that doubles
└── worker, render      restarted when it fails, after a pause that doubles
```

Exit code 0 is no failure: a worker was told to end (``manage.py workers drain``) and stays away.

Children stay in the group, so a signal to the group reaches all. When the supervisor itself is
killed, the kernel ends its children (Linux: ``PR_SET_PDEATHSIG``).
"""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import FrameType

#: Seconds that children get to end by themselves; the promise to the outside is 15.
STOP_S = 10.0
#: Seconds between two looks at the children.
LOOK_S = 0.2
#: Longest pause before a restart, and the life time after which the count starts anew.
MAX_PAUSE_S, HEALTHY_S = 30.0, 60.0

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


@dataclass(slots=True)
class Child:
    """One process to keep alive.

    Attributes:
        name: For messages.
        command: Arguments, the program first.
        is_essential: Its end ends the hub.
        orphan_signal: What the kernel sends it when the supervisor is killed.
        environ: Variables that it gets unless they are set already.
    """

    name: str
    command: Sequence[str]
    is_essential: bool = False
    orphan_signal: int = signal.SIGKILL
    environ: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    started_at: float = field(default=0.0, init=False)
    start_at: float = field(default=0.0, init=False)
    failures: int = field(default=0, init=False)
    is_over: bool = field(default=False, init=False)

    def start(self) -> None:
        """Run the command, tied to this process' life."""
        parent, orphan_signal = os.getpid(), self.orphan_signal

        def tie() -> None:
            # Ctrl-C reaches the whole group: the supervisor answers it for those that start.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            if _LIBC is not None:
                _LIBC.prctl(_PR_SET_PDEATHSIG, orphan_signal)
            if os.getppid() != parent:  # killed before the tie was made
                os._exit(1)

        # The supervisor has one thread, so code between fork and exec is safe.
        self.process = subprocess.Popen(
            list(self.command),
            env={**self.environ, **os.environ},
            stdin=subprocess.DEVNULL,
            preexec_fn=tie,  # noqa: PLW1509 - see above
        )
        self.started_at = time.monotonic()

    def exit_code(self) -> int | None:
        """Return how it ended, or None while it runs or waits for its start."""
        return None if self.process is None else self.process.poll()

    def plan_restart(self) -> float:
        """Forget the ended process and return the seconds until the next start."""
        now = time.monotonic()
        self.failures = 0 if now - self.started_at > HEALTHY_S else self.failures + 1
        pause = min(MAX_PAUSE_S, 2.0 ** (self.failures - 1)) if self.failures else 0.5
        self.process, self.start_at = None, now + pause
        return pause

    def send(self, number: int) -> None:
        """Signal the process if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)


class Supervisor:
    """Runs children until a signal comes, an essential one ends, or all were told to end."""

    def __init__(self, children: Sequence[Child], say: Callable[[str], object]) -> None:
        self.children = children
        self.say = say
        # Plain fields: a handler runs inside whatever it interrupts, so a lock taken there, such
        # as that of threading.Event, may be held already by the very code that waits for it.
        self._asked = 0
        self._is_ending = False

    @property
    def is_stopping(self) -> bool:
        """Whether the end has begun."""
        return self._is_ending or self._asked > 0

    def run(
        self,
        on_started: Callable[[], object] | None = None,
        on_look: Callable[[], object] | None = None,
    ) -> int:
        """Start all, watch until all are over, end all; return the exit code of the hub.

        Args:
            on_started: Called once the essential children run, before the others start; it may
                wait for readiness and should look at ``is_stopping`` while it does.
            on_look: Called with each look at the children.
        """
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        try:
            self._start_due(essential_only=True)
            if on_started is not None:
                on_started()
            code = self._watch(on_look or bool)
        finally:
            self._end_all()
        return code

    def essential_has_ended(self) -> bool:
        """Whether an essential child is gone."""
        return any(c.is_essential and c.exit_code() is not None for c in self.children)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._asked += 1

    def _watch(self, on_look: Callable[[], object]) -> int:
        while not self.is_stopping and not self._all_over():
            self._start_due()
            for child in self.children:
                code = child.exit_code()
                if code is None or child.is_over:
                    continue
                if child.is_essential:
                    self.say(f"{child.name} ended ({_words(code)}): stopping.")
                    return 1
                self._replace(child, code)
            on_look()
            time.sleep(LOOK_S)
        return 0

    def _all_over(self) -> bool:
        return bool(self.children) and all(child.is_over for child in self.children)

    def _replace(self, child: Child, code: int) -> None:
        if code == 0:
            child.is_over = True
            self.say(f"{child.name} ended as it was told to.")
        else:
            pause = child.plan_restart()
            self.say(f"{child.name} ended ({_words(code)}): restart in {pause:g} s.")

    def _start_due(self, *, essential_only: bool = False) -> None:
        for child in self.children:
            is_due = child.process is None and child.start_at <= time.monotonic()
            if is_due and (child.is_essential or not essential_only):
                child.start()

    def _end_all(self) -> None:
        self._is_ending = True
        asked, until = self._asked, time.monotonic() + STOP_S
        for child in self.children:
            child.send(signal.SIGTERM)
        # A second Ctrl-C means: now.
        while self._any_alive() and time.monotonic() < until and self._asked <= max(asked, 1):
            time.sleep(0.05)
        for child in self.children:
            child.send(signal.SIGKILL)
        for child in self.children:
            if child.process is not None:
                child.process.wait()

    def _any_alive(self) -> bool:
        return any(c.process is not None and c.process.poll() is None for c in self.children)


def _words(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


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

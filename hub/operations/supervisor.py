"""Supervises the processes of a hub: starts, restarts and stops them.

```
manage.py up            (the supervisor; first in its process group)
├── gunicorn            essential: when it ends, everything ends
├── worker, checks      restarted when it fails, after a pause that doubles
└── worker, render      restarted when it fails, after a pause that doubles
```

A child that exits with code 0 is not restarted: ``manage.py workers drain`` ends a worker that way.

Children stay in the process group, so a signal to the group reaches all. If the supervisor itself
is killed, the kernel ends its children (Linux: ``PR_SET_PDEATHSIG``).
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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from django.conf import settings

from hub.monitoring import multiprocess

#: Seconds that children have to exit before they are killed; documented as 15 for the whole hub.
STOP_S = 10.0
#: Seconds between two checks of the children.
POLL_S = 0.2
#: Maximum pause before a restart, and the lifetime after which the pause is reset.
MAX_PAUSE_S, HEALTHY_S = 30.0, 60.0

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


@dataclass(slots=True)
class Child:
    """A process to keep running.

    Attributes:
        orphan_signal: Signal that the kernel sends it if the supervisor is killed.
        environ: Environment variables that are set unless they are set already.
    """

    name: str  # name in messages
    command: Sequence[str]  # program and arguments
    is_essential: bool = False  # whether the hub stops when it ends
    orphan_signal: int = signal.SIGKILL
    environ: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    started_at: float = field(default=0.0, init=False)
    start_at: float = field(default=0.0, init=False)
    failures: int = field(default=0, init=False)
    has_ended: bool = field(default=False, init=False)

    def start(self) -> None:
        """Start the process; the kernel ends it if the supervisor is killed."""
        parent, orphan_signal = os.getpid(), self.orphan_signal

        def tie() -> None:
            # Ctrl-C reaches the whole group: while a child starts, only the supervisor handles it.
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
        """Return the exit code, or None while it runs or waits for its start."""
        return None if self.process is None else self.process.poll()

    def plan_restart(self) -> float:
        """Schedule the next start, and return the seconds until then."""
        now = time.monotonic()
        self.failures = 0 if now - self.started_at > HEALTHY_S else self.failures + 1
        pause = min(MAX_PAUSE_S, 2.0 ** (self.failures - 1)) if self.failures else 0.5
        self.process, self.start_at = None, now + pause
        return pause

    def send(self, number: int) -> None:
        """Send a signal to the process if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)


class Supervisor:
    """Runs children until a signal arrives, an essential one ends, or all have exited with 0."""

    def __init__(self, children: Sequence[Child], say: Callable[[str], object]) -> None:
        self.children = children
        self.say = say
        # Plain fields: a signal handler runs inside the code that it interrupts, which may already
        # hold the lock that the handler waits for, such as that of threading.Event.
        self._signals = 0
        self._is_ending = False

    @property
    def is_stopping(self) -> bool:
        """Whether the hub is stopping."""
        return self._is_ending or self._signals > 0

    def run(
        self,
        on_started: Callable[[], object] | None = None,
        on_poll: Callable[[], object] | None = None,
    ) -> int:
        """Start all children, watch them, stop them all; return the exit code of the hub.

        Args:
            on_started: Called once the essential children run, before the others start; it may
                wait for readiness and should check ``is_stopping`` meanwhile.
            on_poll: Called after each check of the children.
        """
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        try:
            self._start_due(essential_only=True)
            if on_started is not None:
                on_started()
            code = self._watch(on_poll or bool)
        finally:
            self._end_all()
        return code

    def essential_has_ended(self) -> bool:
        """Whether an essential child has ended."""
        return any(c.is_essential and c.exit_code() is not None for c in self.children)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._signals += 1

    def _watch(self, on_poll: Callable[[], object]) -> int:
        while not self.is_stopping and not self._all_ended():
            self._start_due()
            for child in self.children:
                code = child.exit_code()
                if code is None or child.has_ended:
                    continue
                if child.is_essential:
                    self.say(f"{child.name} ended ({_exit_text(code)}): stopping.")
                    return 1
                self._replace(child, code)
            on_poll()
            time.sleep(POLL_S)
        return 0

    def _all_ended(self) -> bool:
        return bool(self.children) and all(child.has_ended for child in self.children)

    def _replace(self, child: Child, code: int) -> None:
        if code == 0:
            child.has_ended = True
            self.say(f"{child.name} exited with code 0.")
        else:
            pause = child.plan_restart()
            self.say(f"{child.name} ended ({_exit_text(code)}): restarting in {pause:g} s.")

    def _start_due(self, *, essential_only: bool = False) -> None:
        for child in self.children:
            is_due = child.process is None and child.start_at <= time.monotonic()
            if is_due and (child.is_essential or not essential_only):
                child.start()

    def _end_all(self) -> None:
        self._is_ending = True
        asked, until = self._signals, time.monotonic() + STOP_S
        for child in self.children:
            child.send(signal.SIGTERM)
        # A second Ctrl-C kills the children at once.
        while self._any_alive() and time.monotonic() < until and self._signals <= max(asked, 1):
            time.sleep(0.05)
        for child in self.children:
            child.send(signal.SIGKILL)
        for child in self.children:
            if child.process is not None:
                child.process.wait()

    def _any_alive(self) -> bool:
        return any(c.process is not None and c.process.poll() is None for c in self.children)


def _exit_text(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


#: Seconds that workers wait for the web server, so that they do not slow down its start.
WAIT_FOR_WEB_S = 30.0


class Announcer:
    """Announces once that the web server responds, however long that takes."""

    def __init__(
        self,
        supervisor: Supervisor,
        host: str,
        port: int,
        *,
        tell: Callable[[str], object],
        say: Callable[[str], object],
    ) -> None:
        """Set the address to announce.

        Args:
            tell: Called once with the announcement.
            say: Called with other messages.
        """
        self.supervisor, self.host, self.port = supervisor, host, port
        self._tell, self._say = tell, say
        self.is_done = False

    def wait(self) -> None:
        """Wait until the web server answers or ends, at most ``WAIT_FOR_WEB_S``."""
        until = time.monotonic() + WAIT_FOR_WEB_S
        while not (self.supervisor.is_stopping or self.supervisor.essential_has_ended()):
            self.announce_if_ready()
            if self.is_done:
                return
            if time.monotonic() >= until:
                self._say(
                    f"The web server has not responded after {WAIT_FOR_WEB_S:g} s; still waiting."
                )
                return
            time.sleep(0.05)

    def announce_if_ready(self) -> None:
        """Announce the address if the web server answers for the first time."""
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
        return connection.getresponse().status < 600  # any answer will do
    return False


#: Each kind of work has its own process, so that checks do not wait for renders. ``render`` stands
#: for all families of the bases file.
DEFAULT_QUEUES = "checks,render"

#: Threads of a web process: each transfer occupies one while it waits for its client.
THREADS = 32
#: Seconds that open requests get when the hub stops; clients resume downloads and uploads.
GRACE_S = 5
#: Seconds that a connection may stay idle: longer than clients and proxies keep theirs (httpx 5,
#: nginx 60), as otherwise they send a request on a connection that was closed.
IDLE_S = 75
#: By default, glibc returns freed buffers of 128 KiB and more to the kernel at once, which causes
#: page faults for each piece of a body: two thirds of an upload's CPU time.
MALLOC = {"MALLOC_TRIM_THRESHOLD_": str(32 * 2**20), "MALLOC_MMAP_THRESHOLD_": str(16 * 2**20)}


def web(host: str, port: int, processes: int) -> Child:
    """Return the web server process; the hub ends with it.

    It uses threads and sendfile: a download costs 0.1 CPU seconds per GB, as with nginx.
    """
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    options = {
        "--bind": address,
        "--workers": processes,
        "--threads": THREADS,
        "--worker-class": "hub.webserver.gunicorn_worker.Worker",
        "--graceful-timeout": GRACE_S,
        "--timeout": 60,
        "--keep-alive": IDLE_S,
        "--log-level": "warning",
        # Not even from a local proxy: some forward the client's SCRIPT_NAME.
        "--forwarder-headers": "",
        "--config": f"python:{multiprocess.__name__}",
    }
    pairs = [part for name, value in options.items() for part in (name, str(value))]
    flags = ["--preload", "--no-control-socket"]
    command = [sys.executable, "-m", "gunicorn", *pairs, *flags, "hub.wsgi:application"]
    environ = {**MALLOC, multiprocess.VARIABLE: str(multiprocess.new_folder(settings.LORARY.data))}
    return Child("web", command, is_essential=True, orphan_signal=signal.SIGTERM, environ=environ)


def workers(queues: str) -> list[Child]:
    """Return a worker process for each kind of work in a comma-separated list of queues."""
    manage = str(Path(sys.argv[0]).resolve())
    command = [sys.executable, manage, "worker", "--queues"]
    return [
        Child(f"worker of {', '.join(names)}", [*command, ",".join(names)], environ=MALLOC)
        for names in groups_of(queues)
    ]


def groups_of(queues: str) -> list[list[str]]:
    """Return the queues of a comma-separated list, grouped by kind (the part before the dot).

    One process renders all families: it keeps as many bases loaded as fit, and takes urgent jobs
    first.
    """
    groups: dict[str, list[str]] = {}
    for name in dict.fromkeys(name.strip() for name in queues.split(",")):
        if name:
            groups.setdefault(name.partition(".")[0], []).append(name)
    return list(groups.values())

"""The processes of a hub, as commands."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from hub.operations.supervisor import Child

#: Checks never wait behind renders: each kind of work has a process of its own. ``render`` means
#: every family that the bases file has.
DEFAULT_QUEUES = "checks,render"

#: Threads of a web process: a transfer sleeps in one for as long as its client takes.
THREADS = 32
#: Seconds that open requests get when the hub stops; a download resumes, an upload sends again.
GRACE_S = 5
#: Seconds that a connection may stay open between requests: longer than clients and proxies keep
#: theirs (httpx 5, nginx 60), or their next request meets a closed one.
IDLE_S = 75
#: glibc hands freed buffers of 128 KiB and more back to the kernel at once, and pays with page
#: faults for each piece of a body: two thirds of an upload's CPU time were that.
MALLOC = {"MALLOC_TRIM_THRESHOLD_": str(32 * 2**20), "MALLOC_MMAP_THRESHOLD_": str(16 * 2**20)}


def web(host: str, port: int, processes: int) -> Child:
    """Return the web server; the hub ends with it.

    Threads with a sendfile path: a download costs 0.1 CPU seconds per GB, as with nginx.
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
        # Not even from a proxy on this machine: some hand on a stranger's SCRIPT_NAME.
        "--forwarder-headers": "",
    }
    pairs = [part for name, value in options.items() for part in (name, str(value))]
    flags = ["--preload", "--no-control-socket"]
    command = [sys.executable, "-m", "gunicorn", *pairs, *flags, "hub.wsgi:application"]
    return Child("web", command, is_essential=True, orphan_signal=signal.SIGTERM, environ=MALLOC)


def workers(queues: str) -> list[Child]:
    """Return a worker process for each kind of work in a comma-separated list of queues."""
    manage = str(Path(sys.argv[0]).resolve())
    command = [sys.executable, manage, "worker", "--queues"]
    return [
        Child(f"worker of {', '.join(names)}", [*command, ",".join(names)], environ=MALLOC)
        for names in groups_of(queues)
    ]


def groups_of(queues: str) -> list[list[str]]:
    """Return the parts of a comma-separated list, those of a kind (before the dot) together.

    Renders of all families are one process: it keeps open as many bases as fit, and takes what is
    urgent first.
    """
    groups: dict[str, list[str]] = {}
    for name in dict.fromkeys(name.strip() for name in queues.split(",")):
        if name:
            groups.setdefault(name.partition(".")[0], []).append(name)
    return list(groups.values())

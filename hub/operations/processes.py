"""Commands of the processes of a hub."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from hub.operations.supervisor import Child

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
    """Return the queues of a comma-separated list, grouped by kind (the part before the dot).

    One process renders all families: it keeps as many bases loaded as fit, and takes urgent jobs
    first.
    """
    groups: dict[str, list[str]] = {}
    for name in dict.fromkeys(name.strip() for name in queues.split(",")):
        if name:
            groups.setdefault(name.partition(".")[0], []).append(name)
    return list(groups.values())

"""How gunicorn serves a hub; ``manage.py up`` and the container image use the same options."""

from __future__ import annotations

import sys

__all__ = ["GRACE_S", "THREADS", "web_command"]

#: Threads of a web process: transfers wait for the network, pages for the database.
THREADS = 8
#: Seconds that open requests get when the hub stops; a download resumes, an upload sends again.
GRACE_S = 5


def web_command(host: str, port: int, processes: int) -> list[str]:
    """Return the command that serves ``hub.wsgi``.

    Threads with a sendfile path: a download costs 0.1 CPU seconds per GB, as with nginx.
    """
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    options = {
        "--bind": address,
        "--workers": processes,
        "--threads": THREADS,
        "--worker-class": "gthread",
        "--graceful-timeout": GRACE_S,
        "--timeout": 60,
        "--log-level": "warning",
    }
    pairs = [part for name, value in options.items() for part in (name, str(value))]
    flags = ["--preload", "--no-control-socket"]
    return [sys.executable, "-m", "gunicorn", *pairs, *flags, "hub.wsgi:application"]

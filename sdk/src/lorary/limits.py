"""How much is done at the same time."""

from __future__ import annotations

import os

JOBS = 8  # connections to a hub; more are hardly faster, and hubs limit requests
MAX_JOBS = 32


def processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

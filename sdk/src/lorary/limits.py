"""How much is done at the same time."""

from __future__ import annotations

JOBS = 8  # connections to a hub; more are hardly faster, and hubs limit requests
MAX_JOBS = 32

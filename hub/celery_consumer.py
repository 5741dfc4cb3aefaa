"""Celery's consumer of wake-ups, which also looks for jobs, whether or not the broker is there.

Celery by itself does nothing while it waits for a lost broker, for up to 30 seconds at a time.
"""

from __future__ import annotations

import logging
from typing import Any

from celery.worker.consumer import Consumer
from celery.worker.state import maybe_shutdown

from registry.jobs import worker_process

#: Seconds between two searches for jobs, and between two attempts to reach the broker.
LOOK_S = 1.0

log = logging.getLogger(__name__)


class LookingConsumer(Consumer):
    """Looks for jobs every second, with a broker in its event loop and without one.

    The embedded broker has no event loop: it is always there.
    """

    def ensure_connected(self, conn: Any) -> Any:  # noqa: ANN401 - kombu's connection
        """Return the connection; run jobs until the broker responds."""
        is_said = False

        def tell(error: Exception, _interval: float) -> None:
            nonlocal is_said
            if not is_said:
                log.warning("The broker is away; looking for jobs every second. %s", error)
            is_said = True

        conn = conn.ensure_connection(
            tell,
            None,
            interval_start=LOOK_S,
            interval_step=0,
            interval_max=LOOK_S,
            callback=_look_or_end,
        )
        self.first_connection_attempt = False
        if is_said:
            log.warning("The broker is back.")
        return conn

    def register_with_event_loop(self, hub: Any) -> None:  # noqa: ANN401 - kombu's event loop
        """Look for jobs in the loop as well: a connection can be lost without a word."""
        super().register_with_event_loop(hub)
        hub.call_repeatedly(LOOK_S, worker_process.look)


def _look_or_end() -> None:
    maybe_shutdown()
    worker_process.look()

"""Acknowledges wake-ups to the broker, and notices a lost broker."""

from __future__ import annotations

from celery import Task
from celery.worker import request


class Request(request.Request):
    """A message whose failed acknowledgement is an error.

    Celery's own class logs the error and continues. The message then counts as unacknowledged
    forever, and a worker that takes one message at a time requests no other from Redis: it doesn't
    notice the lost connection, and gets no messages after the broker returns.
    """

    def acknowledge(self) -> None:
        """Acknowledge once. After a connection error, Celery opens a new connection.

        Raises:
            kombu's connection and channel errors: the broker is gone. It sends the wake-up again or
            has lost it; the job is in the database.
        """
        if not self.acknowledged:
            self.message.ack()
            self.acknowledged = True


class WakeUp(Task):  # type: ignore[type-arg]  # generic in the stubs alone
    """The task that wakes workers."""

    Request = f"{__name__}:Request"

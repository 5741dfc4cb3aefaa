"""Telling the broker that a wake-up was followed, or noticing that the broker is gone."""

from __future__ import annotations

from celery import Task
from celery.worker import request

__all__ = ["Request", "WakeUp"]


class Request(request.Request):
    """A message whose failed acknowledgement is an error.

    Celery's own logs it and goes on. The message then counts as being worked on for ever, and a
    worker that takes one at a time asks Redis for no other: it never notices that its connection
    is gone, and hears nothing after the broker is back.
    """

    def acknowledge(self) -> None:
        """Acknowledge once; an error of the connection makes Celery open another one.

        Raises:
            kombu's connection and channel errors: the broker is gone. It sends the wake-up again,
            or has lost it; the job is in the database.
        """
        if not self.acknowledged:
            self.message.ack()
            self.acknowledged = True


class WakeUp(Task):  # type: ignore[type-arg]  # generic in the stubs alone
    """The kind of task that wakes workers."""

    Request = f"{__name__}:Request"

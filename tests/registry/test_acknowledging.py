"""What a worker does when the broker is gone at the end of its work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from celery.utils.imports import symbol_by_name
from kombu.message import Message
from redis.exceptions import ConnectionError as BrokerGone

from hub.celery import app
from registry.jobs.queue import WAKE
from registry.tasks import WakeUp

if TYPE_CHECKING:
    from celery.worker import request


class Channel:
    """Of a broker that takes nothing any more, or everything."""

    no_ack_consumers: set[str] | None = None

    def __init__(self, *, is_gone: bool) -> None:
        self.is_gone = is_gone
        self.acknowledged: list[str] = []

    def basic_ack(self, tag: str, *, multiple: bool = False) -> None:
        del multiple
        if self.is_gone:
            raise BrokerGone
        self.acknowledged.append(tag)


def received(channel: Channel) -> request.Request:
    """Return a wake-up as a worker holds it."""
    headers = {"id": "1", "task": WAKE, "argsrepr": "", "kwargsrepr": "", "lang": "py"}
    message = Message(
        channel=channel, delivery_tag="7", headers=headers, body="[[], {}, {}]",
        content_type="application/json", content_encoding="utf-8",
    )  # fmt: skip
    task = app.tasks[WAKE]
    assert isinstance(task, WakeUp)
    made: request.Request = symbol_by_name(task.Request)(
        message, app=app, task=task, on_ack=message.ack_log_error, connection_errors=(BrokerGone,)
    )
    return made


def test_an_acknowledgement_that_fails_is_an_error_and_not_a_line_in_the_log() -> None:
    wake_up = received(Channel(is_gone=True))
    with pytest.raises(BrokerGone):
        wake_up.acknowledge()
    assert not wake_up.acknowledged


def test_a_wake_up_is_acknowledged_once() -> None:
    channel = Channel(is_gone=False)
    wake_up = received(channel)
    wake_up.acknowledge()
    wake_up.acknowledge()
    assert channel.acknowledged == ["7"]

"""How probes of the hub's parts are run and cached."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from hub.operations import health
from hub.operations.health import Health

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hub.operations.probes import Facts

pytestmark = pytest.mark.django_db


class Slow:
    """A probe that answers when it is allowed to."""

    def __init__(self) -> None:
        self.may_answer, self.count = threading.Event(), 0

    def __call__(self, facts: Facts) -> None:
        self.count += 1
        assert self.may_answer.wait(20)
        facts["count"] = self.count


@pytest.fixture
def slow() -> Iterator[Slow]:
    probe = Slow()
    yield probe
    probe.may_answer.set()


def test_a_part_that_hangs_is_down_within_a_second_and_probed_once(slow: Slow) -> None:
    parts = Health({"storage": slow, "broker": lambda _facts: None})
    began = time.monotonic()
    found = parts.states(["storage", "broker"])
    assert time.monotonic() - began < 1
    assert (found["storage"].is_up, found["broker"].is_up) == (False, True)
    assert "did not answer within 0.8 s" in found["storage"].reason
    began = time.monotonic()
    assert not parts.states(["storage"])["storage"].is_up
    assert time.monotonic() - began < 0.2, "nobody waits for it again"
    assert slow.count == 1


def test_counts_that_take_long_are_told_as_they_were_until_there_are_new_ones(
    slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "CONTENTS_S", 0.0)
    parts = Health({"contents": slow})
    slow.may_answer.set()
    assert parts.states(["contents"])["contents"].facts == {"count": 1}
    slow.may_answer.clear()
    began = time.monotonic()
    assert parts.states(["contents"])["contents"].facts == {"count": 1}
    assert time.monotonic() - began < 0.2
    slow.may_answer.set()


def test_a_reason_has_no_password() -> None:
    def fail(_facts: Facts) -> None:
        msg = "cannot reach redis://:hunter22@cache/0"
        raise OSError(msg)

    state = Health({"cache": fail}).states(["cache"])["cache"]
    assert state.reason == "cannot reach redis://:…@cache/0"

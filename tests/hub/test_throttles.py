"""Requests are counted by the minute of the clock, also by several processes at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.cache import cache
from django.http import HttpRequest

from hub.http.throttles import AnonymousThrottle

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _no_memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(AnonymousThrottle, "get_rate", lambda _self: "50/min")
    cache.clear()
    yield
    cache.clear()


def at(now: float, address: str = "192.0.2.1") -> tuple[bool, AnonymousThrottle]:
    """Ask once at a time; return whether that is allowed, and what counted it."""
    request = HttpRequest()
    request.META["REMOTE_ADDR"], request.user = address, AnonymousUser()
    throttle = AnonymousThrottle()
    throttle.timer = lambda: now
    return throttle.allows(request), throttle


def test_no_request_of_many_at_once_is_forgotten() -> None:
    with ThreadPoolExecutor(8) as askers:
        answers = list(askers.map(lambda _n: at(600.0)[0], range(80)))
    assert sum(answers) == 50


def test_the_next_minute_begins_anew_and_others_have_their_own() -> None:
    for _ in range(50):
        at(659.0)
    is_allowed, throttle = at(659.5)
    assert (is_allowed, throttle.left, throttle.reset_s, throttle.wait()) == (False, 0, 1, 1)
    assert at(659.5, "192.0.2.2")[0]
    is_allowed, throttle = at(660.0)
    assert (is_allowed, throttle.left, throttle.reset_s) == (True, 49, 60)


def test_who_is_signed_in_is_not_counted(admin_user: object) -> None:
    request = HttpRequest()
    request.user = admin_user  # type: ignore[assignment]  # a user of this project
    throttle = AnonymousThrottle()
    assert throttle.allows(request)
    assert throttle.left is None

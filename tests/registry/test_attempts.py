"""Limits on what people try."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.db import connection
from django.utils import timezone

from registry import sweep
from registry.accounts import attempts
from registry.errors import RateLimited
from registry.models import Attempt

if TYPE_CHECKING:
    from pytest_django import DjangoAssertNumQueries

pytestmark = pytest.mark.django_db


def try_it(key: str = "ada", limit: int = 2) -> None:
    attempts.require("sign-in", key, limit=limit, window_s=90)


def test_tries_over_the_limit_are_refused_until_the_window_is_over() -> None:
    try_it()
    try_it()
    with pytest.raises(RateLimited, match=r"Too many attempts\. Try again in 2 min") as refused:
        try_it()
    with pytest.raises(RateLimited, match=r"^Two a day\. Try again in 2 minutes\.$"):
        attempts.require("sign-in", "ada", limit=2, window_s=90, text="Two a day.")
    assert 80 < refused.value.facts["retry_after"] <= 90
    try_it("bob")
    Attempt.objects.update(until=timezone.now())
    try_it()


def test_tries_over_the_limit_write_nothing(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    try_it(limit=1)
    with django_assert_num_queries(1), pytest.raises(RateLimited):
        try_it(limit=1)


@pytest.mark.django_db(transaction=True)
def test_of_many_tries_at_once_none_goes_uncounted() -> None:
    def is_allowed(_number: int) -> bool:
        try:
            try_it(limit=5)
        except RateLimited:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(is_allowed, range(24))) == 5


def test_who_succeeds_begins_anew() -> None:
    try_it(limit=1)
    attempts.clear("sign-in", "ada")
    try_it(limit=1)


def test_rows_name_nobody() -> None:
    try_it()
    # A digest can contain the letters, but not as a word.
    assert re.search(r"\bada\b", Attempt.objects.get().key) is None


def test_a_sweep_removes_what_is_over_and_nothing_else() -> None:
    try_it("old")
    Attempt.objects.update(until=timezone.now())
    try_it("new")
    old, new = SessionStore(), SessionStore()
    for session in (old, new):
        session.create()
    Session.objects.filter(pk=old.session_key).update(
        expire_date=timezone.now() - timedelta(seconds=1)
    )
    sweep.run(is_dry=True)
    assert (Attempt.objects.count(), Session.objects.count()) == (2, 2)
    sweep.run()
    assert Attempt.objects.get().until > timezone.now()
    assert Session.objects.get().session_key == new.session_key

"""Who may do what: every route, every caller, every state of an adapter.

The table is explained in ``table.py``. A route without a row fails, and a row without a route.

``make test`` asks each route once as each person, by a session and by a token in turns (by both if
their answers differ, as on pages), for states by turns; each caller and all states are asked with
``LORARY_TEST_WHOLE=1``, as in ``make test-matrix``.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings
from django.core.cache import cache
from django.db import transaction
from django.test import override_settings

from hub.config import prepare
from tests.permissions.requests import METHODS, routes, send
from tests.permissions.table import POLICIES, ROUTES, expected
from tests.permissions.world import CALLERS, STATES, World
from tests.whole import by_turns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hub.config import Config

pytestmark = pytest.mark.django_db


@dataclasses.dataclass(frozen=True)
class Ground:
    """The hub that is asked, and its settings."""

    world: World
    config: Config


@pytest.fixture(scope="module")
def ground(
    django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ground]:
    """Build the hub once; each request is rolled back."""
    del django_db_setup
    data = tmp_path_factory.mktemp("hub")
    prepare(data)
    config = dataclasses.replace(settings.LORARY, data=data, storage=(data / "files").as_uri())
    with override_settings(LORARY=config), django_db_blocker.unblock(), transaction.atomic():
        yield Ground(World.build(), config)
        transaction.set_rollback(True)


@pytest.fixture(autouse=True)
def _unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count no requests, and have the disk keep nothing: all of it is rolled back."""
    monkeypatch.setattr("hub.http.throttles._CountingThrottle.allow_request", lambda *_: True)
    monkeypatch.setattr("hub.http.middleware.flush", lambda _path: 0)


def outcome(ground: Ground, method: str, pattern: str, caller: str, state: str) -> str:
    """Return what becomes of a request: ``+`` passed, ``-`` refused, ``0`` absent, ``x`` gone."""
    params = {**ground.world.own, **ground.world.places[state]}
    cache.clear()
    with override_settings(LORARY=ground.config), transaction.atomic():
        answer = send(ground.world.callers[caller].client(), method, pattern, params)
        if answer.streaming:
            b"".join(answer.streaming_content)  # its end closes the file
        transaction.set_rollback(True)
    return letter_of(answer)


def letter_of(answer: Any) -> str:
    """Return the letter of an answer; a number for what no request may be answered with."""
    status = answer.status_code
    if status in {401, 403} or (status == 302 and answer["Location"].startswith("/signin?")):
        return "-"
    if status in {404, 405, 410, 451}:
        return {404: "0", 405: "~", 410: "x", 451: "0"}[status]
    return "+" if 200 <= status < 500 and status != 429 else str(status)


def states_of(pattern: str) -> tuple[str, ...]:
    """Return the states that a route's answer can depend on."""
    of_adapter = ("<str:name>", "_id>", "number_text>", "<str:value>", "api/repos/", "compare")
    own = ("upload_id", "token_id", "worker_id", "job_id", "user_id")
    is_of_adapter = any(part in pattern for part in of_adapter)
    return STATES if is_of_adapter and not any(part in pattern for part in own) else STATES[:1]


#: Callers by person.
PEOPLE = (
    ("stranger",), ("other-session", "other-token"), ("reader-session", "reader-token"),
    ("owner-session", "owner-token"), ("owner-read-token",), ("owner-bound-token",),
    ("owner-dead-token",), ("staff-session", "staff-token"),
)  # fmt: skip
#: Who asks for methods that a route has not.
OWNERS = PEOPLE[3]


def asking(method: str, pattern: str, turn: int) -> Iterator[str]:
    """Yield who asks a route: each person, by both ways if the answers are to differ."""
    policy = ROUTES[pattern].get(method)
    if policy is None:
        yield from by_turns(OWNERS, turn)
        return
    for ways in PEOPLE:
        columns = [
            [letters[CALLERS.index(way)] for letters in POLICIES[policy].values()] for way in ways
        ]
        is_same = all(column == columns[0] for column in columns)
        yield from by_turns(ways, turn) if is_same else ways


def test_every_route_has_a_row() -> None:
    assert sorted(set(routes())) == sorted(ROUTES)


def test_policies_name_every_caller_and_every_state() -> None:
    for name, policy in POLICIES.items():
        assert set(policy) == set(STATES), name
        assert {len(letters) for letters in policy.values()} == {len(CALLERS)}, name


@pytest.mark.slow
@pytest.mark.parametrize("pattern", sorted(ROUTES))
def test_who_may_do_what(ground: Ground, pattern: str) -> None:
    turn, states = sorted(ROUTES).index(pattern), states_of(pattern)
    wrong = []
    for method in METHODS:
        for caller in asking(method, pattern, turn):
            number = CALLERS.index(caller)
            for state in by_turns(states, turn + number):
                got = outcome(ground, method, pattern, caller, state)
                wanted = expected(method, pattern, number, state)
                if got != wanted:
                    wrong.append(f"{method} as {caller}, {state}: {got} instead of {wanted}")
    assert not wrong, "\n".join(wrong)

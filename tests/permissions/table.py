"""The permission table: ``routes.txt`` has a policy for each method of each route, and
``policies.txt`` a grid for each policy.

A line of a grid has a letter for each caller, in the order of ``world.CALLERS``, and the states of
the adapter for which it holds; ``*`` is all of them::

    stranger
    |other-session
    ||other-token
    |||reader-session       a member of the organisation who may only read
    ||||reader-token
    |||||owner-session
    ||||||owner-token
    |||||||owner-read-token     has the scope “read” alone
    ||||||||owner-bound-token   is bound to another namespace
    |||||||||owner-dead-token   has expired
    ||||||||||staff-session
    |||||||||||staff-token
    +++++++++-++

``+`` passed (also to a fault in what was sent), ``-`` refused (401, 403 or the way to sign in),
``0`` absent or blocked, ``x`` gone. A method without a row is answered with 405.
"""

from __future__ import annotations

from pathlib import Path

from tests.permissions.requests import METHODS
from tests.permissions.world import STATES

HERE = Path(__file__).parent


def _lines(name: str) -> list[str]:
    return [line for line in (HERE / name).read_text().splitlines() if line.strip()]


def _policies() -> dict[str, dict[str, str]]:
    """Return the letters of each state, by policy."""
    policies: dict[str, dict[str, str]] = {}
    grid: dict[str, str] = {}
    for line in _lines("policies.txt"):
        if line.startswith(" "):
            letters, *states = line.split()
            grid.update(dict.fromkeys(STATES if states == ["*"] else states, letters))
        else:
            grid = policies[line.partition(":")[0]] = {}
    return policies


def _routes() -> dict[str, dict[str, str]]:
    """Return the policy of each method, by route; the home page's pattern is empty."""
    routes: dict[str, dict[str, str]] = {}
    for line in _lines("routes.txt"):
        pattern, *methods, policy = line.split()
        asked = METHODS if methods == ["ANY"] else methods
        routes.setdefault("" if pattern == "(home)" else pattern, {}).update(
            dict.fromkeys(asked, policy)
        )
    return routes


POLICIES = _policies()
ROUTES = _routes()


def expected(method: str, pattern: str, caller: int, state: str) -> str:
    """Return the letter that a caller gets, by its place in ``CALLERS``."""
    policy = ROUTES[pattern].get(method)
    return "~" if policy is None else POLICIES[policy][state][caller]

"""``manage.py quota``."""

from __future__ import annotations

import json
from io import StringIO
from typing import TYPE_CHECKING

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from registry.accounts import quotas
from registry.errors import QuotaExceeded
from registry.models import Event, Namespace

if TYPE_CHECKING:
    from registry.models import User

pytestmark = pytest.mark.django_db


def run(*words: str) -> str:
    out = StringIO()
    call_command("quota", *words, stdout=out)
    return out.getvalue()


def test_a_namespace_has_the_quota_of_the_hub_until_it_gets_its_own(ada: User) -> None:
    default = "ada  uses 0 bytes; its quota is 50,000,000,000 bytes, the hub's default\n"
    assert run("Ada") == default
    assert run("ada", "2GB") == "ada  uses 0 bytes; its quota is 2,000,000,000 bytes\n"
    assert run("ada", "none") == "ada  uses 0 bytes; its quota is no limit\n"
    assert quotas.limit_of(Namespace.objects.get(user=ada)) is None
    assert run("ada", "default") == default
    events = Event.objects.filter(verb="quota_set").order_by("pk")
    sizes = [event.facts["quota_bytes"] for event in events]
    assert sizes == [2_000_000_000, quotas.NO_LIMIT, None]


def test_those_above_their_quota_are_listed_and_take_nothing_more(ada: User) -> None:
    assert run() == "No namespace is above its quota.\n"
    Namespace.objects.filter(user=ada).update(used_bytes=70 * 10**9)
    [row] = json.loads(run("--json"))["namespaces"]
    assert (row["name"], row["used_bytes"], row["is_default"]) == ("ada", 70 * 10**9, True)
    with pytest.raises(QuotaExceeded, match="No stored data was changed"):
        quotas.require_room_to_send(namespace=Namespace.objects.get(user=ada), size_bytes=1)


@pytest.mark.parametrize("words", [("nobody",), ("ada", "much")])
def test_what_is_not_understood_changes_nothing(ada: User, words: tuple[str, ...]) -> None:
    with pytest.raises(CommandError):
        run(*words)
    assert Namespace.objects.get(user=ada).quota_bytes is None

"""``manage.py audit``."""

from __future__ import annotations

import csv
import json
from datetime import timedelta
from io import StringIO
from typing import TYPE_CHECKING

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from registry import events, log_context
from registry.accounts import deletion
from registry.log_context import LogContext
from registry.models import Event, EventAddress, Source

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.models import User

pytestmark = pytest.mark.django_db
REQUEST = LogContext(source=Source.REQUEST, address="192.0.2.1")


def run(*words: str) -> list[str]:
    out = StringIO()
    call_command("audit", *words, stdout=out)
    return out.getvalue().splitlines()


def test_the_newest_events_are_listed_first(ada: User) -> None:
    with log_context.within(REQUEST):
        events.record(actor=ada, verb="signed_in", about=ada)
    events.record(actor=None, verb="quota_set", about=ada, subject="a\x1b[2J")
    first, second, third = run("list")
    assert "Z - quota_set user:ada a [2J (command" in first
    assert second.endswith("Z ada signed_in user:ada (192.0.2.1)")
    assert "user_created" in third
    assert run("list", "--limit", "1") == [first]
    [line] = run("list", "--address", "192.0.2.1", "--json")
    assert json.loads(line)["verb"] == "signed_in"
    tomorrow = f"{timezone.now() + timedelta(days=1):%Y-%m-%d}"
    assert run("list", "--since", tomorrow) == []
    assert run("list", "--until", tomorrow) == [first, second, third]
    for far in ("0001-01-01T00:00+14:00", "9999-12-31T23:59:59-14:00"):
        assert len(run("list", "--since", far) + run("list", "--until", far)) == 3


def test_an_export_is_an_event_itself(ada: User) -> None:
    events.record(actor=ada, verb="signed_out", about=ada)
    rows = list(csv.DictReader(run("export", "--format", "csv", "--actor", "ADA")))
    assert [row["verb"] for row in rows] == ["signed_out"]
    exported = Event.objects.get(verb="audit_exported")
    assert (exported.actor, exported.subject) == (None, "csv")
    assert exported.facts == {"filters": {"actor": "…"}}
    assert [json.loads(line)["id"] for line in run("export")][1:3] == [
        int(rows[0]["id"]), exported.pk,
    ]  # fmt: skip


def test_pruning_and_erasing_say_how_many(ada: User, own_settings: Callable[..., None]) -> None:
    own_settings(audit_days=60)
    old = timezone.now() - timedelta(days=61)
    Event.objects.create(verb="signed_in", actor=ada, created_at=old)
    with log_context.within(REQUEST):
        events.record(actor=ada, verb="signed_in", about=ada)
    assert run("prune", "--dry-run") == ["1 event and 0 more addresses would be removed."]
    assert run("prune") == ["1 event and 0 more addresses removed."]
    assert run("erase", "--actor", "ada") == ["1 address erased."]
    assert not EventAddress.objects.exists()


def test_a_deleted_account_is_found_by_all_of_its_names(ada: User) -> None:
    events.record(actor=ada, verb="signed_in", about=ada)
    deletion.delete(actor=None, user=ada)
    for name in ("ada", f"deleted-{ada.pk}", f"#{ada.pk}"):
        [signed_in] = run("list", "--actor", name, "--verb", "signed_in")
        assert f" deleted-{ada.pk} signed_in user:deleted-{ada.pk}" in signed_in
        assert len(run("list", "--object", f"user:{name}")) == 3
    assert len(run("list", "--object", f"user:#{ada.pk}")) == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["list", "--actor", "nobody"], "There is no account “nobody”"),
        (["list", "--verb", "nonsense"], "There is no verb 'nonsense'"),
        (["export", "--verb", "sign_in"], "Similar verbs: signed_in"),
        (["list", "--since", "yesterday"], "not a day or a time"),
        (["list", "--since", "2026-02-31"], "not a day or a time"),
        (["erase"], "needs a filter"),
        (["prune", "--verb", "signed_in"], "no filters"),
    ],
)
def test_what_is_wrong_is_said(words: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        run(*words)

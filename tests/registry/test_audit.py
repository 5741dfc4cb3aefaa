"""The audit log: nothing changes it, and only its age lets events go."""

from __future__ import annotations

import csv
import json
import os
import pwd
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

import registry.tasks  # noqa: F401 - registers the handlers of jobs
from registry import events, log_context, sweep
from registry.audit import export, selectors, services
from registry.audit.selectors import Filters
from registry.database.guards import GUARD
from registry.errors import Invalid
from registry.jobs import worker_process
from registry.jobs.identity import worker_name
from registry.log_context import LogContext
from registry.models import Event, EventAddress, Hub, Source, User
from registry.uploads import services as uploads
from tests import packs
from tests.catalogue import release
from tests.registry.files import LORA

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.models import Adapter

pytestmark = pytest.mark.django_db


def event(days: float = 0, address: str = "", **columns: Any) -> Event:
    """Write an event of some days ago."""
    at = timezone.now() - timedelta(days=days)
    found = Event.objects.create(**{"verb": "signed_in", **columns}, created_at=at)
    if address:
        EventAddress.objects.create(event=found, address=address)
    return found


def refused(write: Callable[[], object]) -> None:
    with pytest.raises(IntegrityError, match=GUARD), transaction.atomic():
        write()


def sql(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def found(**filters: Any) -> list[int]:
    return [entry.id for entry in selectors.page(Filters(**filters), limit=50)]


# --- What the database refuses ----------------------------------------------------------------


def test_no_event_and_no_address_is_changed() -> None:
    one = event(days=4000, address="192.0.2.1")
    Hub.objects.create(audit_days=30)
    refused(lambda: Event.objects.update(verb="other"))
    refused(lambda: Event.objects.update(actor=None))
    refused(one.save)
    refused(lambda: sql("UPDATE registry_event SET created_at = '2001-01-01 00:00:00'"))
    refused(lambda: EventAddress.objects.update(address="192.0.2.2"))
    if connection.vendor == "sqlite":
        refused(
            lambda: sql(
                "INSERT OR REPLACE INTO registry_event (id, verb, subject, facts, created_at) "
                f"VALUES ({one.pk}, 'other', '', '{{}}', '2001-01-01 00:00:00')"
            )
        )
    assert Event.objects.get().verb == "signed_in"
    EventAddress.objects.all().delete()


@pytest.mark.parametrize(
    ("stored", "young", "old"), [(400, 399.9, 400.1), (60, 59.9, 60.1), (1, 29.9, 30.1)]
)
def test_only_events_older_than_the_stored_days_can_be_removed(
    stored: int, young: float, old: float
) -> None:
    kept, gone = event(days=young), event(days=old)
    refused(gone.delete)  # nothing is stored yet
    Hub.objects.create(audit_days=stored)
    refused(kept.delete)
    refused(lambda: sql("DELETE FROM registry_event"))
    sql(f"DELETE FROM registry_event WHERE id = {gone.pk}")
    assert list(Event.objects.all()) == [kept]


def test_events_that_are_kept_for_ever_cannot_be_removed() -> None:
    Hub.objects.create(audit_days=0)
    refused(event(days=9000).delete)


def test_a_deleted_account_leaves_its_id_in_events() -> None:
    eve = User.objects.create_user(username="eve")
    one = events.record(actor=eve, verb="signed_in", about=eve)
    pk = eve.pk
    eve.delete()
    [entry] = selectors.page(Filters(actor=f"#{pk}"), limit=9)
    assert (entry.id, entry.actor, entry.object) == (one.pk, f"#{pk}", f"user:#{pk}")
    again = Event.objects.select_related("actor").get()
    assert (again.actor, again.actor_id) == (None, pk)


# --- Where events come from -------------------------------------------------------------------


def test_an_event_has_the_origin_of_its_request_or_process(ada: User) -> None:
    request = LogContext("abc", source=Source.REQUEST, address="192.0.2.1")
    with log_context.within(request):
        inside = events.record(actor=ada, verb="signed_in", about=ada)
    outside = events.record(actor=None, verb="swept")
    assert (inside.source, inside.request_id) == ("request", "abc")
    assert inside.origin.address == "192.0.2.1"
    assert (outside.source, bool(outside.source_name)) == ("command", True)
    assert not EventAddress.objects.filter(event=outside).exists()


@pytest.mark.parametrize(
    ("caller", "expected"),
    [
        ("grace", "{} (grace)"),
        ("grace@studio.example", "{} (grace@studio.example)"),
        ("", "{}"),
        ("x\ny", "{}"),
    ],
)
def test_an_event_of_a_command_names_who_called_sudo(
    monkeypatch: pytest.MonkeyPatch, caller: str, expected: str
) -> None:
    own = pwd.getpwuid(os.getuid()).pw_name
    monkeypatch.setenv("SUDO_USER", caller)
    events._system_user.cache_clear()
    try:
        event = events.record(actor=None, verb="swept")
    finally:
        events._system_user.cache_clear()
    assert event.source_name == expected.format(own)


def test_a_worker_signs_its_events(ada: User) -> None:
    upload = uploads.create(actor=ada, path="a.safetensors", size_bytes=len(LORA))
    uploads.receive_part(actor=ada, upload=upload, number=1, stream=_Stream(LORA))
    uploads.complete(actor=ada, upload=upload)
    worker_process.drain("checks")
    one = Event.objects.get(verb="upload_accepted")
    assert (one.source, one.source_name, one.actor) == ("worker", worker_name(), ada)


class _Stream:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def read(self, size: int = -1, /) -> bytes:
        size = len(self.data) if size < 0 else size
        head, self.data = self.data[:size], self.data[size:]
        return head


def test_an_unknown_verb_is_an_error() -> None:
    with pytest.raises(ValueError, match="VERBS"):
        events.record(actor=None, verb="adapter.created")


# --- What is removed, and when ----------------------------------------------------------------


def test_pruning_removes_what_is_old_and_records_it(own_settings: Callable[..., None]) -> None:
    own_settings(audit_days=60, audit_address_days=10)
    for _number in range(3):
        event(days=61, address="192.0.2.3")
    kept = event(days=59, address="192.0.2.1")
    fresh = event(days=9, address="192.0.2.2")
    assert services.prune(is_dry=True) == services.Pruned(3, 1)
    assert Event.objects.count() == 5
    assert services.prune() == services.Pruned(3, 1)
    assert set(Event.objects.filter(verb="signed_in")) == {kept, fresh}
    assert EventAddress.objects.get().event == fresh
    days, pruned = Event.objects.filter(verb__startswith="audit_").order_by("pk")
    assert (days.verb, days.facts) == ("audit_days_set", {"before": 0, "days": 60})
    assert (pruned.verb, pruned.facts["events"], pruned.facts["days"]) == ("audit_pruned", 3, 60)
    assert services.prune() == services.Pruned(0, 0)
    assert Event.objects.filter(verb__startswith="audit_").count() == 2


def test_the_sweeper_prunes_once_a_day(own_settings: Callable[..., None]) -> None:
    own_settings(audit_days=60)
    event(days=60.5)
    sweep.run()
    assert not Event.objects.filter(verb="audit_pruned").exists()
    event(days=61.5)
    sweep.run()
    assert Event.objects.get(verb="audit_pruned").facts["events"] == 2


def test_the_event_of_the_last_complete_backup_stays(own_settings: Callable[..., None]) -> None:
    own_settings(audit_days=60, audit_address_days=10)
    event(verb="backup_made", days=63)
    complete = event(verb="backup_made", days=62)
    event(verb="backup_made", days=61, facts={"lacking": 1})
    assert services.prune(is_dry=True).events == 2
    assert services.prune().events == 2
    assert Event.objects.get(verb="backup_made") == complete
    assert services.prune(is_daily=True) == services.Pruned(0, 0)


def test_nothing_is_pruned_where_the_log_is_kept_for_ever(
    own_settings: Callable[..., None],
) -> None:
    own_settings(audit_days=0, audit_address_days=0)
    event(days=9000, address="192.0.2.1")
    assert services.prune() == services.Pruned(0, 0)


def test_addresses_can_be_erased_before_their_time() -> None:
    one, other = event(address="192.0.2.1"), event(address="192.0.2.2")
    filters = Filters(address="192.0.2.1")
    assert services.erase_addresses(actor=None, filters=filters) == 1
    assert EventAddress.objects.get().event == other
    erased = Event.objects.get(verb="audit_addresses_erased")
    assert "192.0.2.1" not in json.dumps(erased.facts)
    assert Event.objects.filter(pk=one.pk).exists()


# --- What is found and exported ---------------------------------------------------------------


def test_each_filter_finds_its_events(ada: User, noir: Adapter) -> None:
    release(noir, LORA)
    pack = packs.published(ada, noir).pack
    bob = User.objects.create_user(username="Bob")
    about = event(user=bob, verb="staff_added", address="192.0.2.9", subject="x")
    old = event(days=3, actor=bob)
    assert found(actor="bob") == found(actor=f"#{bob.pk}") == [old.pk]
    assert found(verb="staff_added") == found(object="user:BOB") == [about.pk]
    assert found(object=f"user:#{bob.pk}") == found(address="192.0.2.9") == [about.pk]
    assert found(object="x") == [about.pk]
    newest = Event.objects.filter(adapter=noir).order_by("-pk")
    assert found(object="Ada/NOIR") == list(newest.values_list("pk", flat=True))
    newest = Event.objects.filter(pack=pack).order_by("-pk")
    assert found(object="packs/ada/dusk") == list(newest.values_list("pk", flat=True))
    assert found(object="ada/nothing") == found(verb="nothing") == []
    assert found(actor="bob", verb="staff_added") == []


def test_times_are_exact_also_where_ids_have_another_order() -> None:
    now = timezone.now()
    late, early = event(days=1), event(days=2)  # the later id has the earlier time
    assert found(since=now - timedelta(days=1.5)) == [late.pk]
    assert found(until=now - timedelta(days=1.5)) == [early.pk]
    day = {"since": now - timedelta(days=2.5), "until": now - timedelta(days=1.5)}
    assert found(**day) == [early.pk]
    assert found(since=now + timedelta(days=1)) == []
    assert found(until=now - timedelta(days=9)) == []


def test_pages_follow_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [event().pk for _number in range(5)]
    first = selectors.page(Filters(), limit=2)
    second = selectors.page(Filters(), limit=2, before=first[-1].id)
    assert [entry.id for entry in (*first, *second)] == ids[:0:-1]
    monkeypatch.setattr(selectors, "BATCH", 2)
    assert [entry.id for entry in selectors.every(Filters())] == ids
    filters = Filters(address="192.0.2.1")
    marked = [event(address="192.0.2.1").pk for _number in range(5)]
    assert [entry.id for entry in selectors.every(filters)] == marked


def test_a_search_by_several_filters_ends_in_time_and_goes_on(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = [event(actor=ada, verb="swept").pk for _number in range(2)]
    for _number in range(9):
        event(actor=ada, verb="signed_in")
    both, one = Filters(actor="ada", verb="swept"), Filters(verb="swept")
    monkeypatch.setattr(selectors, "SPAN", 2)
    entries, reached = selectors.search(both, limit=9)
    assert ([entry.id for entry in entries], reached) == (wanted[::-1], None)
    monkeypatch.setattr(selectors, "SEARCH_S", -1)
    assert selectors.search(one, limit=9) == (entries, None)
    before = list[int]()
    found, reached = selectors.search(both, limit=9)
    while reached is not None:  # the next one begins where this one ended
        before.append(reached.id)
        more, reached = selectors.search(both, limit=9, before=before[-1])
        found += more
    assert found == entries
    assert len(before) > 2
    assert before == sorted(before, reverse=True)


@pytest.mark.parametrize("name", ["nobody", "#", "#x", "#99999999999"])
def test_a_filter_with_an_unknown_account_says_so(name: str) -> None:
    with pytest.raises(Invalid, match="no account") as caught:
        selectors.page(Filters(actor=name), limit=1)
    assert "actor" in caught.value.facts["fields"]
    with pytest.raises(Invalid):
        selectors.every(Filters(object=f"user:{name}"))


def test_a_number_alone_is_a_subject_and_no_account(ada: User) -> None:
    subject = f"#{ada.pk}"
    mine = event(user=ada, address="192.0.2.1")
    of_prompt = event(verb="prompts_changed", subject=subject, address="192.0.2.1")
    (entry,) = selectors.page(Filters(object=subject), limit=9)
    assert entry.id == of_prompt.pk
    assert services.erase_addresses(actor=None, filters=Filters(object=subject)) == 1
    assert EventAddress.objects.get().event == mine


def test_exports_are_read_back_and_run_no_formula() -> None:
    subject = '=HYPERLINK("http://x")'
    event(subject=subject, facts={"path": "a,b\n"}, address="192.0.2.1")
    event(subject="+1", source_name="@sum")
    entries = list(selectors.every(Filters()))
    lines = [json.loads(line) for line in export.as_json_lines(entries)]
    assert [line["subject"] for line in lines] == [subject, "+1"]
    rows = list(csv.DictReader("".join(export.as_csv(entries)).splitlines(keepends=True)))
    assert [row["subject"] for row in rows] == [f"'{subject}", "'+1"]
    assert (rows[1]["source_name"], rows[0]["address"]) == ("'@sum", "192.0.2.1")
    assert json.loads(rows[0]["facts"]) == {"path": "a,b\n"}
    assert rows[0].keys() == lines[0].keys()
    assert "".join(export.as_csv([])).startswith("id,time,verb,actor,")

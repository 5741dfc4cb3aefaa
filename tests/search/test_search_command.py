"""``manage.py search`` and the doctor's probe."""

from __future__ import annotations

import json
from io import StringIO
from typing import TYPE_CHECKING

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from hub.operations.doctor import PROBES
from registry.database import table_locks
from registry.jobs import leases
from registry.models import SearchDocument
from registry.search import schema, spelling

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.models import Adapter

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> tuple[str, int]:
    out = StringIO()
    try:
        call_command("search", *arguments, stdout=out, stderr=StringIO())
    except SystemExit as ended:
        return out.getvalue(), int(str(ended.code))
    return out.getvalue(), 0


def test_a_check_ends_with_an_error_until_a_rebuild(published: Callable[..., Adapter]) -> None:
    noir = published("noir")
    assert run("check")[1] == 0
    SearchDocument.objects.filter(pk=noir.pk).update(name="other")
    text, code = run("check")
    assert code == 1
    assert "missing: 0, stale: 1" in text
    assert "manage.py search rebuild" in text
    document, code = run("check", "--json")
    assert code == 1
    assert json.loads(document) == {
        "ok": False, "adapters": 1, "missing": 0, "stale": 1, "has_index": True,
        "has_spelling": True, "is_rebuilding": False,
    }  # fmt: skip
    assert json.loads(run("rebuild", "--json")[0]) == {"changed": 1}
    assert run("rebuild")[0].startswith("0 search documents changed")
    assert run("check")[1] == 0


def test_the_doctor_reports_missing_documents(published: Callable[..., Adapter]) -> None:
    noir = published("noir")
    (report,) = PROBES["search"]()
    assert report.state == "ok"
    SearchDocument.objects.filter(pk=noir.pk).delete()
    (report,) = PROBES["search"]()
    assert report.state == "error"
    assert "search rebuild" in report.hint


def test_check_and_doctor_tell_a_running_rebuild_from_an_interrupted_one(
    published: Callable[..., Adapter],
) -> None:
    published("noir")
    spelling.begin_rebuild()
    with leases.holding("search rebuild"):
        text, code = run("check")
        assert code == 1
        assert "A rebuild is running." in text
        assert "search rebuild" not in text
        (report,) = PROBES["search"]()
        assert report.state == "warning"
        assert "is running" in report.message
        with pytest.raises(CommandError, match="Another rebuild is running"):
            run("rebuild")
    assert not spelling.is_complete()
    text, code = run("check")
    assert code == 1
    assert "was interrupted.\nRun `manage.py search rebuild`." in text
    (report,) = PROBES["search"]()
    assert report.state == "error"
    assert "was interrupted" in report.message
    assert run("rebuild")[1] == 0
    assert run("check")[1] == 0
    (report,) = PROBES["search"]()
    assert report.state == "ok"


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_rebuild_waits_for_a_lock_without_keeping_others_waiting(
    published: Callable[..., Adapter], monkeypatch: pytest.MonkeyPatch
) -> None:
    published("noir")
    schema.remove(connection)
    monkeypatch.setattr(table_locks, "PAUSES_S", (0.1, 0.1))
    reader = connection.copy()
    try:
        reader.set_autocommit(False)
        with reader.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM registry_searchdocument")
            with pytest.raises(CommandError, match=r"search index got no lock in 3 tries"):
                run("rebuild")
            cursor.execute("SELECT count(*) FROM registry_searchdocument")
    finally:
        reader.close()
    assert run("check")[1] == 1
    run("rebuild")
    assert run("check")[1] == 0

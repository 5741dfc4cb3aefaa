"""``manage.py facets``, and the doctor's report on what it repairs."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection

from hub.operations import doctor
from registry.adapters import services as adapters
from registry.database import facet_counters, planner
from registry.models import Adapter, FacetChange, FacetCount, User

pytestmark = pytest.mark.django_db


def run(action: str) -> str:
    out = StringIO()
    call_command("facets", action, stdout=out)
    return out.getvalue()


def test_wrong_counters_are_reported_and_rebuilt() -> None:
    assert run("check") == "All counters are correct\n"
    assert [report.state for report in doctor.PROBES["facets"]()] == ["ok"]
    FacetCount.objects.create(field="tag", value="ink", count=3)
    [report] = doctor.PROBES["facets"]()
    assert (report.state, report.message) == (
        "error",
        "1 counter wrong, such as tag 'ink', off by +3.",
    )
    assert report.hint == "Run `manage.py facets rebuild`."
    with pytest.raises(SystemExit, match="1"):
        run("check")
    assert run("rebuild") == "1 counter corrected\n"
    assert run("check") == "All counters are correct\n"
    assert not FacetCount.objects.exists()
    assert not FacetChange.objects.exists()


def test_permissions_that_another_release_wrote_are_renewed(ada: User) -> None:
    for name, licence in (("one", "MIT"), ("two", "personal use only"), ("three", "mit")):
        adapters.create(actor=ada, name=name, licence=licence)
    assert run("check") == "All counters are correct\n"
    Adapter.objects.update(permissions="")
    with pytest.raises(SystemExit, match="1"):
        run("check")
    assert "Licence permissions updated: 2 adapters" in run("rebuild")
    assert run("check") == "All counters are correct\n"
    assert Adapter.objects.exclude(permissions="").count() == 2


def test_a_counting_trigger_that_is_missing_is_reported() -> None:
    with connection.cursor() as cursor:
        table = facet_counters.COUNTERS[0].table
        on = f' ON "{table}"' if connection.vendor == "postgresql" else ""
        cursor.execute(f'DROP TRIGGER "{facet_counters.COUNTERS[0].trigger}"{on}')
    [report] = doctor.PROBES["guards"]()
    assert report.state == "error"
    assert "added" in report.message


def test_statistics_are_taken_of_every_table() -> None:
    planner.refresh(connection)
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM sqlite_stat1")
            assert cursor.fetchone()[0] > 0

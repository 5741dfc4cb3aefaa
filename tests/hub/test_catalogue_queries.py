"""Queries of the pages and lists that ``benchmarks.catalogue`` measures: their number and plans.

After a change that needs other queries, write their numbers anew:

    LORARY_TEST_WRITE=1 python -m pytest tests/hub/test_catalogue_queries.py -k numbers

They are the same on SQLite and PostgreSQL.
"""

from __future__ import annotations

import json
import os
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from benchmarks import catalogue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.test import Client

pytestmark = pytest.mark.django_db(transaction=True)

ADAPTERS, MORE = 300, 2_000
COUNTS = {
    "sqlite": Path(__file__).with_name("query_counts.json"),
    # A search asks PostgreSQL in two statements what it asks SQLite in one.
    "postgresql": Path(__file__).with_name("query_counts_postgresql.json"),
}
WRITE = "LORARY_TEST_WRITE"


@pytest.fixture
def fetch(client: Client) -> Callable[[str], bytes]:
    """Return a function that returns the body of a path."""

    def fetch(path: str) -> bytes:
        answer = client.get(path)
        assert answer.status_code == 200, (path, answer.status_code)
        return bytes(answer.getvalue())

    return fetch


def generate(adapters: int) -> None:
    call_command(
        "generate", f"--adapters={adapters}", "--seed=1", stdout=StringIO(), stderr=StringIO()
    )


def test_the_numbers_of_queries_are_the_written_ones(fetch: Callable[[str], bytes]) -> None:
    generate(ADAPTERS)
    found = {}
    for case, path in catalogue.addresses(fetch).items():
        fetch(path)  # the first request fills caches
        with CaptureQueriesContext(connection) as queries:
            fetch(path)
        found[case] = len(queries)
    counts = COUNTS[connection.vendor]
    if os.environ.get(WRITE):
        counts.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    known = json.loads(counts.read_text(encoding="utf-8"))
    changed = {
        case: f"{known.get(case)} queries are written down, {found.get(case)} were made"
        for case in {**known, **found}
        if known.get(case) != found.get(case)
    }
    assert not changed, f"{changed}\nIf that is meant, run this test with {WRITE}=1."


@pytest.mark.postgresql
def test_no_plan_reads_all_adapters(fetch: Callable[[str], bytes]) -> None:
    """PostgreSQL can answer each query without reading the whole table of adapters.

    With ``enable_seqscan = off`` it does so wherever it can, however few rows there are, so 2,000
    show what it can do with 100,000.
    """
    generate(MORE)
    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off")
    try:
        scanned = {
            f"{case}: {sql}"
            for case, path in catalogue.addresses(fetch).items()
            for sql in _statements(fetch, path)
            if "registry_adapter" in _scanned(sql)
        }
    finally:
        with connection.cursor() as cursor:
            cursor.execute("RESET enable_seqscan")
    assert not scanned


@pytest.mark.postgresql
@pytest.mark.django_db
@pytest.mark.parametrize(
    ("setting", "value"),
    [("jit", "off"), ("max_parallel_workers_per_gather", "0"), ("random_page_cost", "1.1")],
)
def test_connections_expect_short_queries(setting: str, value: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SHOW {setting}")
        assert cursor.fetchone() == (value,)


def _statements(fetch: Callable[[str], bytes], path: str) -> list[str]:
    with CaptureQueriesContext(connection) as queries:
        fetch(path)
    return [query["sql"] for query in queries if query["sql"].lstrip("( ").startswith("SELECT")]


def _scanned(sql: str) -> set[str]:
    """Return the tables that the plan of a query reads as a whole."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}")
        ((plans,),) = cursor.fetchall()
    return {
        node["Relation Name"]
        for plan in plans
        for node in _nodes(plan["Plan"])
        if node["Node Type"] == "Seq Scan"
    }


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from _nodes(part)

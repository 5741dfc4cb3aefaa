"""The stack report of the mixer."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

from registry.adapters import services as adapters
from registry.jobs import worker_process
from registry.models import Adapter, Version, VersionComparison
from tests import catalogue
from tests.builders.relatives import rewritten, write_original

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from django.test import Client
    from pytest_django import DjangoAssertNumQueries

    from registry.models import User

pytestmark = pytest.mark.django_db
RESTORED = "stack"
NAMES = ["ada/noir@v1", "bob/film@v1", "bob/ink@v1"]
PATH = "/mixer?" + "&".join(f"layer={name}" for name in NAMES)
REPORT = PATH.replace("/mixer", "/mixer/overlap")


def text(answer: Any) -> str:
    return str(answer.content.decode())


@pytest.fixture
def stack(ada: User, bob: User, tmp_path: Path) -> list[Version]:
    """An adapter, a copy of twice its strength, and another training."""
    paths = [tmp_path / f"{name}.safetensors" for name in ("noir", "film", "ink")]
    write_original(paths[0], "sd1", "kohya", seed=1, modules=8)
    rewritten(paths[0], paths[1], lambda name, one: one * (2 if "lora_up" in name else 1))
    write_original(paths[2], "sd1", "kohya", seed=2, modules=8)
    for owner, path in zip((ada, bob, bob), paths, strict=True):
        if not Version.objects.filter(adapter__name=path.stem).exists():  # from a snapshot
            adapter = adapters.create(
                actor=owner, name=path.stem, title=path.stem.title(), kind="style"
            )
            catalogue.release(adapter, path.read_bytes())
    Version.objects.update(family="sd1")
    return list(Version.objects.order_by("pk"))


def ask(client: Client) -> Any:
    return client.post("/mixer", {"layer": NAMES, "strength": ["0.4"] * 3, "do": "overlap"})


def test_pairs_are_compared_when_asked(client: Client, stack: list[Version]) -> None:
    del stack
    page = text(client.get(PATH))
    assert 'value="overlap"' in page
    assert not VersionComparison.objects.exists()
    assert ask(client).status_code == 302
    assert VersionComparison.objects.count() == 3
    page = text(client.get(PATH))
    assert 'data-hx-get="/mixer/overlap"' in page
    assert 'value="overlap"' not in page
    worker_process.drain("checks")
    report = text(client.get(REPORT))
    assert "hx-get" not in report
    assert "<summary>Noir and Film: 1.00</summary>" in report
    assert "<summary>Noir and Ink: 0.0" in report
    warning = (
        "“Noir” and “Film” change the weights in the same directions, most strongly in "
        "down_blocks.0 (1.00)"
    )
    assert report.count("note warning") == 1
    assert warning in report
    assert warning in text(client.get(PATH))  # before anything is rendered


def test_opposite_adapters_are_warned_about(client: Client, stack: list[Version]) -> None:
    blocks = [{"block": "mid_block", "cosine": -0.6, "energy": [1.0, 1.0], "moved": 1.0}]
    result = {"cosine": -0.1, "energy": [1.0, 1.0], "blocks": blocks, "metadata": {}}
    VersionComparison.objects.create(
        first=stack[0], second=stack[2], state="ready", result=result, used_at=stack[0].created_at
    )
    report = text(client.get(REPORT))
    warning = "“Noir” and “Ink” work against each other, most in mid_block (-0.60): there, they "
    assert f"{warning}weaken each other." in report
    assert 'value="overlap"' in report  # for the other two pairs


def test_one_adapter_has_no_report(client: Client, stack: list[Version]) -> None:
    del stack
    assert "Overlap of the weights" not in text(client.get("/mixer?layer=ada/noir@v1"))
    assert "<details" not in text(client.get("/mixer/overlap"))


def test_adapters_that_the_viewer_may_not_read_are_left_out(
    client: Client, stack: list[Version]
) -> None:
    ask(client)
    worker_process.drain("checks")
    Adapter.objects.filter(pk=stack[1].adapter_id).update(access="manual")
    report = text(client.get(REPORT))
    assert "Noir and Ink" in report
    assert "Film" not in report
    Adapter.objects.filter(pk=stack[1].adapter_id).update(access="open", visibility="private")
    for path in (REPORT, PATH):
        assert "Noir and Film" not in text(client.get(path))


def test_a_limit_is_told(
    client: Client, stack: list[Version], own_settings: Callable[..., None]
) -> None:
    del stack
    own_settings(derived_per_hour=1)
    answer = ask(client)
    assert answer.status_code == 429
    assert "You requested 1 new comparisons within an hour" in text(answer)
    assert VersionComparison.objects.count() == 1


def test_a_pair_that_was_refused_says_why(client: Client, stack: list[Version]) -> None:
    del stack
    ask(client)
    VersionComparison.objects.update(state="refused", reason="The module “x” is LoHa.")
    assert "Noir and Film: not compared. The module “x” is LoHa." in text(client.get(REPORT))


def test_a_pair_that_failed_can_be_requested_again(client: Client, stack: list[Version]) -> None:
    del stack
    ask(client)
    VersionComparison.objects.update(state="failed", reason="It took too long.")
    report = text(client.get(REPORT))
    assert "Noir and Film: not compared. It took too long." in report
    assert 'value="overlap"' in report
    VersionComparison.objects.update(used_at=timezone.now() - timedelta(minutes=11))
    ask(client)
    assert set(VersionComparison.objects.values_list("state", flat=True)) == {"queued"}


def test_the_report_takes_one_query_more(
    client: Client, stack: list[Version], django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    del stack
    ask(client)
    worker_process.drain("checks")
    with django_assert_max_num_queries(3 * 3 + 1):
        client.get(REPORT)

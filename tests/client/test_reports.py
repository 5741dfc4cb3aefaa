"""`lorary report` and `Hub.report`: figures in words, and in the hub's own document."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from lorary.client import Figure, Hub
from lorary.client.errors import BadAnswer

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.client.conftest import Ran
    from tests.client.fakehub import FakeHub

    Run = Callable[..., Ran]

PLACE = "adapters/studio/noir/versions/v3/report"


def answer(fake: FakeHub, status: int = 200, place: str = PLACE, **more: Any) -> None:
    figures = {
        "effect": {"value": 1.4, "error": 0.1},
        "consistency": {"value": 0.92, "error": 0.02},
        "leak": None,
        "drift": {"value": 0.1, "error": None},
        "subject_kept": {"value": 0.5, "error": 0.03},
        "method": 1,
    }
    document = {
        "state": "ready", "reason": "", "base": "sdxl", "encoder": "dinov2", "strength": 0.8,
        "figures": figures, "progress": {"done": 72, "total": 72}, "pictures": [],
        "range": {"begins": 0.2, "saturates": 0.7, "breaks": None, "ends": 1.0}, **more,
    }  # fmt: skip
    fake.answers.append((place, status, {}, json.dumps(document).encode()))


def test_figures_are_told_in_words_and_bars(run: Run, fake: FakeHub) -> None:
    answer(fake)
    ran = run("report", "studio/noir@v3")
    lines = {" ".join(line.split()).partition(" █")[0]: line for line in ran.out.splitlines()}
    assert (ran.code, ran.err) == (0, "")
    assert lines["keeps the subject"].endswith(f"{'█' * 10}{'·' * 10} 50 of 100")
    assert lines["leaves others alone"].endswith("90 of 100")
    assert "needs trigger words" not in ran.out
    assert "begins at 0.2, full effect at 0.7" in ran.out
    assert "at strength 0.8, sdxl, dinov2" in ran.out


def test_json_is_the_document_of_the_hub(run: Run, fake: FakeHub) -> None:
    answer(fake)
    told = run("report", "studio/noir@v3", "--json").document
    assert told["figures"]["consistency"] == {"value": 0.92, "error": 0.02}


def test_what_is_under_way_or_failed_is_said(run: Run, fake: FakeHub) -> None:
    answer(fake, state="running", figures=None, range=None, progress={"done": 8, "total": 72})
    ran = run("report", "studio/noir@v3")
    assert (ran.code, ran.out) == (0, "")
    assert "running, 8 of 72 pictures" in ran.err
    answer(fake, state="queued", figures=None, range=None, progress={"done": 72, "total": 72})
    assert "measures them when it is idle" in run("report", "studio/noir@v3").err
    answer(fake, state="failed", figures=None, reason="no encoder")
    assert "no encoder" in run("report", "studio/noir@v3").err


def test_earlier_figures_are_told_while_they_are_renewed(run: Run, fake: FakeHub) -> None:
    answer(fake, state="queued")
    ran = run("report", "studio/noir@v3")
    assert "50 of 100" in ran.out
    assert "these figures are from an earlier measurement; the new one is queued" in ran.err


def test_a_pack_has_its_own_address_and_a_variant(run: Run, fake: FakeHub) -> None:
    answer(fake, place="packs/studio/dusk/versions/latest/report\\?variant=sdxl$", variant="sdxl")
    told = run("report", "pack:studio/dusk", "--variant", "sdxl", "--json").document
    assert told["variant"] == "sdxl"


def test_without_a_report_it_is_not_found(run: Run, fake: FakeHub) -> None:
    problem = {"code": "not_found", "status": 404, "detail": "This version has no look report yet."}
    fake.answers.append((PLACE, 404, {}, json.dumps(problem).encode()))
    ran = run("report", "studio/noir@v3")
    assert ran.code == 3
    assert "no look report yet" in ran.err


def test_the_client_returns_values(fake: FakeHub) -> None:
    answer(fake)
    with Hub(fake.url) as hub:
        report = hub.report("studio/noir@v3")
    assert report.figures["drift"] == Figure(0.1)
    assert "leak" not in report.figures
    assert (report.done, report.total, report.range["ends"]) == (72, 72, 1.0)


@pytest.mark.parametrize("figures", [{"drift": {"value": "much"}}, ["drift"]])
def test_an_odd_answer_is_refused(fake: FakeHub, figures: Any) -> None:
    answer(fake, figures=figures)
    with Hub(fake.url) as hub, pytest.raises(BadAnswer):
        hub.report("studio/noir@v3")

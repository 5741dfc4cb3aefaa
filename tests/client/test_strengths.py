"""Strengths as ``lorary info`` tells them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.client.conftest import Ran
    from tests.client.fakehub import FakeHub

    Run = Callable[..., Ran]

NAME = "studio/noir"


def told(run: Run, fake: FakeHub, strength: dict[str, Any], advice: Any) -> dict[str, str]:
    """Lines of a version's page, by their label."""
    previews = {"state": "ready", "progress": {}, "images": [], "advice": advice}
    fake.publish(NAME, {"noir.safetensors": b"x"}, strength=strength, previews=previews)
    lines = run("info", f"{NAME}@v1").out.splitlines()
    return {line.split()[0]: " ".join(line.split()[1:]) for line in lines[1:] if line.strip()}


def side(**said: Any) -> dict[str, Any]:
    return {"begins": 0.15, "saturates": 0.62, "breaks": None, "ends": 1.0} | said


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ({"recommended": 0.9, "min": 0.7, "max": 1}, "0.9 (0.7 to 1)"),
        ({"recommended": 0.9, "min": None, "max": None}, "0.9"),
        ({"recommended": None, "min": -1, "max": 1.5}, "-1 to 1.5"),
    ],
)
def test_what_the_creator_recommends(
    run: Run, fake: FakeHub, said: dict[str, Any], line: str
) -> None:
    assert told(run, fake, said, None)["strength"] == line


@pytest.mark.parametrize(
    ("advice", "line"),
    [
        ({"positive": side(), "negative": None}, "begins at 0.15, full effect at 0.62"),
        (
            {"positive": side(saturates=None)},
            "begins at 0.15, still growing at 1",
        ),
        (
            {"positive": side(breaks=0.9), "negative": side(begins=None, ends=-1)},
            "begins at 0.15, full effect at 0.62, degrades from 0.9; hardly any change up to -1",
        ),
    ],
    ids=["full", "growing", "two sides"],
)
def test_what_was_measured(run: Run, fake: FakeHub, advice: dict[str, Any], line: str) -> None:
    assert told(run, fake, {}, advice)["measured"] == line


def test_what_nobody_said_has_no_line(run: Run, fake: FakeHub) -> None:
    assert {"strength", "measured"}.isdisjoint(told(run, fake, {}, None))

"""A short pass of what `cards.py` does for ten minutes."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from registry.models import CardProblem
from tools.fuzz import cards
from tools.fuzz.cards import Broken, Run, card, check, main

if TYPE_CHECKING:
    from pathlib import Path


def test_random_and_hostile_cards_break_no_rule() -> None:
    run = Run(1, done=1)
    while run.done < 61:
        run.next()
    assert run.answers["formatted"] > 30
    assert len(run.answers) >= 2
    assert set(run.answers) <= {"formatted", *CardProblem.values}


def test_cards_of_one_seed_are_always_the_same() -> None:
    first, second = (card(Random("1:7"), is_long=True) for _ in range(2))
    assert first == second
    assert len(first) == cards.LONGEST


@pytest.mark.parametrize(
    "html",
    [
        "<script>x</script>",
        '<p onclick="x">x</p>',
        '<img src="/media/images/../x">',
        '<a href="java\tscript:x" rel="nofollow ugc noopener">x</a>',
        '<a href="https://a.example">x</a>',
        "<p>the word is lost</p>",
        "x" * 1_000_001,
    ],
)
def test_each_rule_is_looked_at(monkeypatch: pytest.MonkeyPatch, html: str) -> None:
    monkeypatch.setattr("registry.cards.markdown.render", lambda _text: html)
    with pytest.raises(AssertionError):
        check("q1q")


def test_a_broken_rule_is_told_with_its_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("registry.cards.markdown.render", lambda _text: "<script>")
    with pytest.raises(Broken, match="Card 0 of seed 5"):
        main(["--seconds", "60", "--seed", "5", "--keep", str(tmp_path / "kept")])
    (kept,) = (tmp_path / "kept").iterdir()
    assert kept.read_bytes().decode() == Run(5).text_of(0)
    assert str(kept) in capsys.readouterr().out


def test_a_run_ends_with_its_time_and_reports(tmp_path: Path) -> None:
    assert main(["--seconds", "0.5", "--seed", "2", "--report", str(tmp_path)]) == 0
    (report,) = tmp_path.glob("*-fuzzing-cards.md")
    assert "No card broke a rule." in report.read_text("utf-8")

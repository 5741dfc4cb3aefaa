"""What a terminal shows while something takes long."""

from __future__ import annotations

import io
import re
import sys
from typing import TYPE_CHECKING

import pytest

from lorary.cli.output.progress import meter
from lorary.client.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable

    Lines = Callable[..., list[str]]


class Terminal(io.StringIO):
    """Standard error that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Lines:
    """Return the lines that stand there after some reports."""

    def draw_all(*told: Progress) -> list[str]:
        screen = Terminal()
        monkeypatch.setattr(sys, "stderr", screen)
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", "100")
        with meter() as draw:
            for report in told:
                draw(report)
        frames = screen.getvalue().split("\r\x1b[2K")
        lines = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line).strip() for line in frames]
        return [line for line in lines if line]

    return draw_all


def test_steps_of_a_render_are_not_called_bytes(drawn: Lines) -> None:
    line = drawn(Progress("render", "the stack", 3, 8))[-1]
    assert line.startswith("Rendering the stack")
    assert " 3/8 " in line
    assert "bytes" not in line


def test_files_are_counted_in_bytes(drawn: Lines) -> None:
    assert "0.5/1.0 MB" in drawn(Progress("fetch", "noir.safetensors", 500_000, 1_000_000))[-1]


def test_a_wait_counts_nothing_and_leaves_no_bar_when_it_is_over(drawn: Lines) -> None:
    wait = Progress("wait", "for its worker", 0, 0)
    line = drawn(wait)[-1]
    assert line.startswith("Waiting for its worker")
    assert not re.search(r"bytes|/", line)
    *_, last = drawn(wait, Progress("render", "the stack", 8, 8))
    assert "8/8" in last
    assert "Waiting" not in last


def test_each_thing_done_to_a_file_has_a_bar_with_what_was_told_last(drawn: Lines) -> None:
    check = [Progress("check", "a\n", 0, 0), Progress("check", "a\n", 3, 9)]
    text = "\n".join(drawn(*check, Progress("send", "a\n", 1_000_000, 2_000_000)))
    assert re.search(r"Checking a .*3/9 ", text)
    assert re.search(r"Sending a .*1.0/2.0 MB", text)

"""Dated reports of runs, and their progress on the terminal."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from benchmarks.results import machine

if TYPE_CHECKING:
    from collections import Counter
    from pathlib import Path


def write(folder: Path, *, name: str, title: str, module: str, body: str) -> Path:
    """Write a report of today with the facts of the machine, and return its path.

    Args:
        folder: Where reports are kept; it is made if needed.
        name: End of the file's name, after the day.
        title: Start of the heading, before the day.
        module: What was run, such as ``tools.fuzz.cards``.
        body: What came out, in Markdown.
    """
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    facts = "".join(f"* {fact}\n" for fact in machine())
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{day}-{name}.md"
    path.write_text(
        f"# {title} of {day}\n\n"
        f"Written by `python -m {module}`; what is checked is in [fuzzing.md](../fuzzing.md).\n\n"
        f"{facts}\n{body}",
        encoding="utf-8",
    )
    return path


def table(answers: Counter[str], of: str) -> str:
    """Return how often each answer was given, as Markdown, the most frequent first."""
    rows = "".join(f"| `{code}` | {count:,} |\n" for code, count in answers.most_common())
    return f"| answer | {of} |\n| --- | --- |\n{rows}"


def say(text: str) -> None:
    """Print a line of progress at once."""
    print(text, flush=True)  # noqa: T201 - its progress

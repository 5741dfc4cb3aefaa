"""What a benchmark says: a figure, its reference, their ratio and the limit of that."""

from __future__ import annotations

import os
import platform
import statistics
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.setup.speed import template_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


class Absent(Exception):
    """Something that a benchmark needs is not on this machine; the text says what."""


@dataclass(frozen=True, slots=True)
class Result:
    """One line of the table.

    Attributes:
        bench: Name of the benchmark.
        case: What was measured.
        value: Its figure; less is better, unless there is a floor.
        reference: The figure of what it is compared with.
        against: What that is.
        unit: Of both figures.
        limit: Highest accepted ratio; None where there is none.
        floor: Lowest accepted ratio; with neither the ratio only informs.
    """

    bench: str
    case: str
    value: float
    reference: float
    against: str
    unit: str
    limit: float | None = None
    floor: float | None = None

    @property
    def ratio(self) -> float:
        """How many times the reference it is."""
        return self.value / self.reference if self.reference else float("inf")

    @property
    def is_kept(self) -> bool:
        """Whether the ratio is within its bound."""
        is_low = self.limit is None or self.ratio <= self.limit
        return is_low and (self.floor is None or self.ratio >= self.floor)

    @property
    def bound(self) -> str:
        """The limit or the floor in words; "" where the ratio only informs."""
        bounds = (("<=", self.limit), (">=", self.floor))
        return " ".join(f"{sign} {bound:g} x" for sign, bound in bounds if bound is not None)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "bench": self.bench,
            "case": self.case,
            "value": self.value,
            "against": self.against,
            "reference": self.reference,
            "unit": self.unit,
            "ratio": self.ratio,
            "limit": self.limit,
            "floor": self.floor,
            "is_kept": self.is_kept,
        }


def medians(*measures: Callable[[], float], rounds: int) -> list[float]:
    """Call the measures in turn, round by round, and return the median of each.

    Taking turns lets a busy machine slow all of them alike.
    """
    return [statistics.median(figures) for figures in _in_rounds(measures, rounds)]


def least(*measures: Callable[[], float], rounds: int) -> list[float]:
    """Do the same and return the least of each.

    For CPU seconds of work that writes much: memory that a virtual machine's host has taken back
    meanwhile costs its next user up to a second a GB, which is nobody's work.
    """
    return [min(figures) for figures in _in_rounds(measures, rounds)]


def _in_rounds(measures: Sequence[Callable[[], float]], rounds: int) -> list[list[float]]:
    taken: list[list[float]] = [[] for _ in measures]
    for _ in range(rounds):
        for figures, measure in zip(taken, measures, strict=True):
            figures.append(measure())
    return taken


TITLES = ("bench", "case", "measured", "against", "reference", "ratio", "bound", "")


def table(results: Iterable[Result], *, is_markdown: bool = False) -> str:
    """Return the results as lines of text or as a Markdown table."""
    rows = [TITLES, *(_cells(result) for result in results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(TITLES))]
    lines = [_line(row, widths, is_markdown=is_markdown) for row in rows]
    if is_markdown:
        lines.insert(1, _line(["-" * width for width in widths], widths, is_markdown=True))
    return "\n".join(lines)


def _cells(result: Result) -> tuple[str, ...]:
    return (
        result.bench,
        result.case,
        f"{result.value:.3g} {result.unit}",
        result.against,
        f"{result.reference:.3g} {result.unit}",
        f"{result.ratio:.2f} x",
        result.bound,
        "" if not result.bound else "ok" if result.is_kept else "BROKEN",
    )


def _line(cells: Sequence[str], widths: Sequence[int], *, is_markdown: bool) -> str:
    padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
    return "| " + " | ".join(padded) + " |" if is_markdown else "  ".join(padded).rstrip()


PACKAGES = ("Django", "gunicorn", "safetensors", "torch", "diffusers")


def write_report(folder: Path, results: Sequence[Result], notes: Sequence[str] = ()) -> Path:
    """Write the report of today and return its path; one of the same day is replaced."""
    now = datetime.now(UTC)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{now:%Y-%m-%d}-benchmarks.md"
    lines = [
        f"# Benchmarks of {now:%Y-%m-%d}",
        "",
        "Written by `make bench ARGS='--report docs/reports'`; what the lines mean is in",
        "[benchmarks.md](../benchmarks.md).",
        "",
        *(f"* {fact}" for fact in machine()),
        "",
        table(results, is_markdown=True),
        "",
        *(f"* {note}" for note in notes),
    ]
    path.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    return path


def machine() -> list[str]:
    """Return what a reader must know of this machine to compare figures."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    versions = ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    return [
        f"{_processor()}, {os.cpu_count()} cores; {platform.system()} {platform.release()}",
        f"Python {platform.python_version()}; {versions}",
        f"Django renders a table of 10,000 cells in {template_ms():.1f} CPU ms",
        f"load of the machine at the end of the run: {load:.1f}",
    ]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "absent"

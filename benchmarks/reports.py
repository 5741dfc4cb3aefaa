"""A run as a dated page, with the machine it ran on."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.results import table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.results import Result

PACKAGES = ("Django", "gunicorn", "safetensors", "torch", "diffusers")


def write(folder: Path, results: Sequence[Result], notes: Sequence[str] = ()) -> Path:
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

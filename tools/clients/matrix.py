"""The calls of ``probe.py`` with versions of ``huggingface_hub`` that people have.

    python -m tools.clients.matrix --report docs/reports

Makes an environment for each version below ``build/clients`` (once; pip asks its index), starts a
hub, and says what passed. Each runs as a default install does: by Xet where it knows that.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING

from benchmarks.results import machine
from tests.clients.programs import Programs
from tests.running import ROOT, RunningHub
from tools.clients.passes import PART_BYTES, write_files
from tools.clients.probe import CASES

if TYPE_CHECKING:
    from collections.abc import Sequence

NEWEST = "newest"
VERSIONS = ("0.25.2", "0.36.2", "1.0.1", "1.33.0", NEWEST)
LIMIT_S = 600


@dataclass(frozen=True, slots=True)
class Column:
    """What one version did."""

    name: str
    told: dict[str, str]

    @property
    def passed(self) -> list[str]:
        """Names of the cases that went well."""
        return [case for case in CASES if self.told.get(case) == ""]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and report; 1 when a case failed."""
    options = _parser().parse_args(arguments)
    folder = Path(mkdtemp(prefix="lorary-clients-"))
    columns = []
    with RunningHub(
        folder / "data", "--queues", "checks", UPLOAD_PART_BYTES=str(PART_BYTES)
    ) as hub:
        token = hub.manage("token", "--user", "ada", "--create").strip()
        for version in options.versions or VERSIONS:
            _say(f"huggingface_hub {version} …")
            columns.append(_column(hub, token, version, folder))
            _say(f"  {len(columns[-1].passed)} of {len(CASES)} passed")
    lines = _lines(columns)
    _say("\n".join(lines))
    if options.report:
        place = options.report / f"{datetime.now(UTC):%Y-%m-%d}-clients.md"
        place.write_text("\n".join(lines) + "\n", encoding="utf-8")
        _say(f"written: {place}")
    shutil.rmtree(folder, ignore_errors=True)
    return 0 if all(len(column.passed) == len(CASES) for column in columns) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.clients.matrix", description=__doc__)
    parser.add_argument("--report", type=Path, metavar="FOLDER", help="also write a dated page")
    parser.add_argument("versions", nargs="*", help="instead of those that are always tried")
    return parser


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _column(hub: RunningHub, token: str, version: str, folder: Path) -> Column:
    interpreter = _environment(version)
    programs = Programs(hub, folder / version, token)
    files = [f"ada/probe-{version}", *write_files(programs.folder, version)]
    output = programs.command([interpreter, str(Path(__file__).with_name("probe.py")), *files])
    results = json.loads(output.rpartition("\n")[2])
    return Column(results.pop("version"), results)


def _environment(version: str) -> str:
    """Return the interpreter of an environment with this version and what it asks for."""
    place = ROOT / "build" / "clients" / version
    interpreter = place / "bin" / "python"
    if not (place / "complete").exists():
        shutil.rmtree(place, ignore_errors=True)
        venv.create(place, with_pip=False, symlinks=True)
        wanted = "huggingface_hub" if version == NEWEST else f"huggingface_hub=={version}"
        options = ["--quiet", "--no-compile", "--disable-pip-version-check"]
        command = [sys.executable, "-m", "pip", "--python", str(interpreter), "install", *options]
        subprocess.run([*command, wanted], check=True, timeout=LIMIT_S, env=dict(os.environ))
        (place / "complete").touch()
    return str(interpreter)


def _lines(columns: Sequence[Column]) -> list[str]:
    lines = [
        f"# Versions of huggingface_hub, {datetime.now(UTC):%Y-%m-%d}",
        "",
        "Written by `make test-clients`. What each case does stands in `tools/clients/probe.py`.",
        "",
        *(f"* {fact}" for fact in machine()),
        "",
        f"| case | {' | '.join(column.name for column in columns)} |",
        f"|---|{'---|' * len(columns)}",
    ]
    for case in CASES:
        cells = ["passed" if column.told.get(case) == "" else "failed" for column in columns]
        lines.append(f"| {case.replace('_', ' ')} | {' | '.join(cells)} |")
    for column in columns:
        failed = {case: text for case, text in column.told.items() if text}
        if failed:
            lines += ["", f"Failed with {column.name}:", ""]
            lines += [
                f"* {case}: `{text.partition(chr(10))[0][:300]}`" for case, text in failed.items()
            ]
    return lines


if __name__ == "__main__":
    sys.exit(main())

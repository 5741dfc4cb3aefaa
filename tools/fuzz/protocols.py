"""Sends thousands of invalid and random requests to both protocols of a running hub.

    python -m tools.fuzz.protocols --requests 20000 --seed 1 --report docs/reports

It checks that there is no 5xx, no traceback and no unauthenticated write. An anonymous client, a
user who may only read, ada with a token to read, and another user who may write send requests for
ada's adapters to all addresses of the protocols, and garbage that is not HTTP. Each request is
determined by the seed and its number; a broken promise is reported with both, and its request is
stored in `--keep`. Exit code 1: a promise was broken.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import django

from benchmarks.results import machine
from tests.running import RunningHub

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Lines of one broken promise each that are printed; the others are counted.
SHOWN = 20
NEWLINE = "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and report; 1 when a promise is broken."""
    options = _parser().parse_args(arguments)
    with TemporaryDirectory(prefix="lorary-protocols-") as place:
        # Each anonymous request has its own address, as behind a proxy, so that no limit applies.
        hub = RunningHub(Path(place) / "hub", "--queues", "checks", TRUST_PROXY="1")
        os.environ.clear()
        os.environ.update(hub.environ, DJANGO_SETTINGS_MODULE="hub.settings.base")
        django.setup()
        from tools.fuzz.endpoints.visit import visit  # noqa: PLC0415 - models need the settings

        found = visit(
            hub, requests=options.requests, seed=options.seed, keep=options.keep, say=_say
        )
    if options.report:
        _say(f"written: {_write(found, options.report)}")
    if options.json:
        sys.stdout.write(json.dumps(found) + "\n")
    else:
        sys.stdout.write("\n".join(_lines(found)) + "\n")
    return 1 if found["faults"] else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.fuzz.protocols",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--report", type=Path, metavar="FOLDER", help="also write a dated page")
    parser.add_argument("--keep", type=Path, default=Path("test-results"), help="for bad requests")
    parser.add_argument("--json", action="store_true", help="one line of JSON in place of a table")
    return parser


def _lines(found: dict[str, Any], first: str = "") -> list[str]:
    """Return the table, and what is to say about it."""
    classes = sorted({name for row in found["counts"] for name in row["answers"]})
    head = ["protocol", "method", "requests", *classes]
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    for row in found["counts"]:
        cells = [f"{row['answers'].get(name, 0):,}" for name in classes]
        total = f"{sum(row['answers'].values()):,}"
        lines.append(f"| {' | '.join([row['protocol'], row['method'], total, *cells])} |")
    faults = found["faults"]
    shown = [f"* {fault}" for fault in faults[:SHOWN]]
    more = [f"* and {len(faults) - SHOWN:,} more"] if len(faults) > SHOWN else []
    return [first or _summary(found), "", *lines, "", f"broken promises: {len(faults)}", *shown,
            *more]  # fmt: skip


def _summary(found: dict[str, Any]) -> str:
    callers = ", ".join(f"{count:,} by the {name}" for name, count in found["callers"].items())
    return (
        f"{found['requests']:,} requests (seed {found['seed']}) in {found['seconds']:,.0f} s: "
        f"{callers}; {found['garbage']:,} pieces of garbage on bare lines; {found['twins']:,} "
        f"requests about the private adapter, each asked again about one that is not there. "
        f"{len(found['asked'])} of {found['addresses']} addresses were asked."
    )


def _write(found: dict[str, Any], folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{datetime.now(UTC):%Y-%m-%d}-protocols.md"
    lines = [
        f"# Both protocols under random requests, {datetime.now(UTC):%Y-%m-%d}",
        "",
        "Written by `python -m tools.fuzz.protocols`; what is promised is in",
        "[fuzzing.md](../fuzzing.md#protocols-of-other-hubs).",
        "",
        *(f"* {fact}" for fact in machine()),
        "",
        *_lines(found),
        "",
        f"Rows compared before and after: {found['rows']:,}. Files of ada's whose bytes were read",
        f"again: {found['files']}.",
    ]
    path.write_text(NEWLINE.join(lines) + NEWLINE, encoding="utf-8")
    return path


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())

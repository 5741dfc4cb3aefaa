"""``python -m benchmarks [NAME …]``: runs benchmarks and prints a table.

The exit code is 1 if a bound is broken or a benchmark fails; the others run.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.results import Absent, Result, table, write_report

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Modules of this package with a ``run() -> list[Result]``, in the order of the table.
MODULES = (
    "headers", "folders", "transfers.download", "transfers.small", "transfers.upload", "checks",
    "transfers.passage", "transfers.pushes", "transfers.pulls", "clients", "pages", "catalogue",
    "previews", "algebra", "algebra.converting", "algebra.recognition",
)  # fmt: skip
BENCHES = {module.rpartition(".")[2]: f"benchmarks.{module}" for module in MODULES}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for and return the exit code."""
    options = _parser().parse_args(arguments)
    results: list[Result] = []
    notes: list[str] = []
    has_failed = False
    for name in [*options.names, *(options.only or [])] or BENCHES:
        began = time.monotonic()
        try:
            results += _run(name)
        except Absent as reason:
            notes.append(f"{name} was not run: {reason}.")
            _say(notes[-1])
        except Exception:  # noqa: BLE001 - half an hour of other results would be lost
            _say(traceback.format_exc())
            notes.append(f"{name} failed.")
            has_failed = True
        _say(f"{name}: {time.monotonic() - began:.0f} s")
    if options.json:
        print(json.dumps({"results": [one.to_dict() for one in results], "notes": notes}))
    else:
        print(table(results))
    if options.report:
        _say(f"written: {write_report(Path(options.report), results, notes)}")
    return 0 if not has_failed and all(result.is_kept for result in results) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", type=_name, metavar="NAME", help=", ".join(BENCHES))
    parser.add_argument(
        "--only", action="append", type=_name, metavar="NAME", help="the same, once for each"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument(
        "--report", metavar="FOLDER", help="also write a dated report, for example to docs/reports"
    )
    return parser


def _name(text: str) -> str:
    if text not in BENCHES:
        msg = f"no benchmark is called {text!r}; there are {', '.join(BENCHES)}"
        raise argparse.ArgumentTypeError(msg)
    return text


def _run(name: str) -> list[Result]:
    module = BENCHES[name]
    if importlib.util.find_spec(module) is None:
        msg = "it does not exist yet"
        raise Absent(msg)
    results: list[Result] = importlib.import_module(module).run()
    return results


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

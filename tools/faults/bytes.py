"""Bytes under fire: what was acknowledged must be there, whatever is broken meanwhile.

    python -m tools.faults.bytes --seed 1 --kills 300 --report docs/reports
    python -m tools.faults.bytes --database postgres --broker redis --only kills --only crowd

Each scenario starts hubs of its own in real processes, talks to them as clients do, breaks one
kind of thing, and compares what is there in the end with what was acknowledged. Everything random
comes from the seed, but not when processes get their turns. Exit code 1: a promise was broken.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import signal
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING

from benchmarks.results import machine
from tools.faults.scenarios import (
    bad_inputs,
    brokers,
    catalogue,
    crowd,
    full_disk,
    kills,
    long_queue,
    nodes,
    s3,
)
from tools.faults.servers.environment import Environment
from tools.faults.trials import Plan, Skipped, Trial

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SCENARIOS: dict[str, Callable[[Plan, Trial], None]] = {
    "kills": kills.run,
    "disk-full": full_disk.run,
    "s3": s3.run,
    "brokers": brokers.run,
    "crowd": crowd.run,
    "bad-inputs": bad_inputs.run,
    "catalogue": catalogue.run,
    "long-queue": long_queue.run,
    "nodes": nodes.run,
}
#: What a short pass leaves out: a bucket in a bad mood is waited for, again and again, and ten
#: thousand jobs are what they are.
LONG_ONLY = frozenset({"s3", "long-queue", "nodes"})
#: Kills and minutes of a short pass.
SHORT_KILLS, SHORT_MINUTES = 5, 0.1
#: Scenarios of a short pass at a time: they wait more than they work.
SHORT_AT_ONCE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and report; 1 when a promise is broken."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING)
    logging.getLogger("tools").setLevel(logging.INFO)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended
    for name in ("DATABASE_URL", "BROKER_URL"):  # the options say what hubs stand on
        os.environ.pop(f"LORARY_TEST_{name}", None)
    folder = Path(mkdtemp(prefix="lorary-faults-"))
    _say(options, f"seed {options.seed}")
    trials = []
    with Environment(folder, options.database, options.broker, options.storage) as environment:
        plan = Plan(
            seed=options.seed,
            folder=folder,
            environment=environment,
            kills=min(options.kills, SHORT_KILLS) if options.short else options.kills,
            most_s=60 * options.most,
            minutes=min(options.minutes, SHORT_MINUTES) if options.short else options.minutes,
            is_short=options.short,
        )
        names = options.only or [n for n in SCENARIOS if not (options.short and n in LONG_ONLY)]
        with ThreadPoolExecutor(SHORT_AT_ONCE) as pool:
            run = pool.map if options.short else map
            for trial in run(lambda name: _try(name, plan), names):
                trials.append(trial)
                _tell(options, trial)
                if options.report:
                    _say(options, f"  written: {_write(trials, options, environment.description)}")
    is_broken = any(trial.faults for trial in trials)
    if is_broken:
        _say(options, f"kept to look into: {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if is_broken else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.faults.bytes",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seed", type=int, default=int(datetime.now(UTC).strftime("%Y%m%d")))
    parser.add_argument("--kills", type=int, default=300, help="processes to kill (300)")
    parser.add_argument("--most", type=float, default=60, metavar="MINUTES", help="of kills (60)")
    parser.add_argument("--minutes", type=float, default=5, help="length of the crowd (5)")
    parser.add_argument(
        "--database", default="", metavar="URL", help="a server's; “postgres” starts one (SQLite)"
    )
    parser.add_argument(
        "--broker", default="", metavar="URL", help="“redis” or “rabbitmq” starts one (embedded)"
    )
    parser.add_argument(
        "--storage", default="", metavar="URL", help="“s3” starts one (local files)"
    )
    parser.add_argument("--report", type=Path, metavar="FOLDER", help="also write a dated page")
    parser.add_argument("--only", action="append", choices=SCENARIOS, help="just this; repeatable")
    parser.add_argument("--short", action="store_true", help="a small pass, as the tests do it")
    parser.add_argument("--json", action="store_true", help="one line of JSON for each scenario")
    return parser


def _try(name: str, plan: Plan) -> Trial:
    trial = Trial(name)
    with trial.timed():
        try:
            SCENARIOS[name](plan, trial)
        except Skipped as reason:
            trial.skipped = str(reason)
        except Exception:  # noqa: BLE001 - the other scenarios are worth their run
            trial.faults.append(f"the scenario itself broke:\n{traceback.format_exc()}")
    return trial


def _say(options: argparse.Namespace, line: str) -> None:
    stream = sys.stderr if options.json else sys.stdout
    stream.write(f"{line}\n")
    stream.flush()


def _tell(options: argparse.Namespace, trial: Trial) -> None:
    if options.json:
        sys.stdout.write(json.dumps(trial.document()) + "\n")
        sys.stdout.flush()
    else:
        _say(options, "\n".join([f"\n{trial.name}", *(f"  {line}" for line in trial.lines())]))


def _write(trials: Sequence[Trial], options: argparse.Namespace, words: str) -> Path:
    """Write the page of today on this database, broker and storage.

    What other runs of the day found there with other scenarios or seeds stays.
    """
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    options.report.mkdir(parents=True, exist_ok=True)
    slug = words.lower().replace("the ", "").replace(", ", "-").replace(" ", "-")
    path: Path = options.report / f"{day}-bytes-under-fire-{slug}.md"
    sections = _sections(path.read_text(encoding="utf-8")) if path.exists() else {}
    for trial in trials:
        lines = "\n".join(f"* {line}" for line in trial.lines())
        sections[f"{trial.name}, seed {options.seed}"] = f"\n{lines}\n"
    head = [
        f"# Bytes under fire, {day}: {words}",
        "",
        "Written by `python -m tools.faults.bytes --report docs/reports` (`make faults`).",
        "",
        *(f"* {fact}" for fact in machine()),
        "",
    ]
    text = "\n".join(f"## {title}\n{body}" for title, body in sorted(sections.items()))
    path.write_text("\n".join(head) + f"\n{text}", encoding="utf-8")
    return path


def _sections(page: str) -> dict[str, str]:
    """Return title → text of the sections of a page."""
    found = {}
    for section in page.split("\n## ")[1:]:
        title, _newline, body = section.partition("\n")
        found[title] = body.rstrip("\n") + "\n"
    return found


if __name__ == "__main__":
    sys.exit(main())

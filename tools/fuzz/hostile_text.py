"""Regular expressions over hostile text: what an inspection costs, whatever is written in a header.

    python -m tools.fuzz.hostile_text --minutes 10 --seed 1 --report docs/reports

Texts are made of the parts of our own patterns (``pumping.py``) and stand in metadata, in names of
tensors, in the name of the file and in JSON inside of metadata. Each input runs in a process of its
own, which measures what it took: an inspection takes at most ``MEMORY_BYTES`` and ``MEMORY_TIMES``
times the header, and CPU time in proportion to its length. Every second input is given to one
pattern alone; this also covers those that read READMEs, pictures and names. An input that breaks a
limit ends the run and is kept.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import struct
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from lorary.anatomy import inspect_bytes
from tools.fuzz import reports
from tools.fuzz.patterns import compiled
from tools.fuzz.pumping import pumped
from tools.fuzz.seeds import CONFIGS, KEYS, entries, layout

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tools.fuzz.patterns import Found

#: Memory that an inspection may take, beside the bytes themselves.
MEMORY_BYTES, MEMORY_TIMES = 64 * 2**20, 20
#: CPU time that an inspection may take: a fixed part, and so much for each byte of the header.
CPU_S, CPU_S_PER_BYTE = 2.0, 4e-6
#: The same of one pattern, which may go back 1,024 characters at each place.
PATTERN_S_PER_CHAR = 40e-6
#: Lengths of texts, in characters.
SIZES = (2_000, 50_000, 300_000, 1_000_000, 3_000_000)
SHORT_SIZES = (2_000, 20_000, 200_000)
NAME_CHARS = 500


class Breach(AssertionError):
    """An input took more than it may."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What an input took.

    Attributes:
        cpu_s: CPU time.
        rss_bytes: What the resident memory of its process grew by at most.
    """

    cpu_s: float
    rss_bytes: int


def measured(act: Callable[[], object], *, cpu_s: float) -> Spent:
    """Do something in a process of its own.

    Args:
        act: What to do.
        cpu_s: CPU time after which the process is ended.

    Raises:
        Breach: it was ended, or raised.
    """
    readable, writable = os.pipe()
    child = os.fork()
    if not child:
        os.close(readable)
        _report(act, writable, int(cpu_s) + 2)
    os.close(writable)
    with os.fdopen(readable) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    if not text:
        msg = f"ended after {cpu_s:.0f} s of CPU time, or killed"
        raise Breach(msg)
    result = json.loads(text)
    if "error" in result:
        raise Breach(result["error"])
    return Spent(**result)


def _report(act: Callable[[], object], writable: int, cpu_s: int) -> None:
    """Do it, say what it took, and end this process."""
    now = int(sum(os.times()[:2]))
    resource.setrlimit(resource.RLIMIT_CPU, (now + cpu_s, now + cpu_s + 1))
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # forgets the highest memory so far
    memory, began = _resident(), time.process_time()
    try:
        act()
        result: dict[str, Any] = {
            "cpu_s": time.process_time() - began,
            "rss_bytes": max(0, _resident() - memory),
        }
    except BaseException as error:  # noqa: BLE001 - whatever it is, the parent tells it
        result = {"error": f"{type(error).__name__}: {error}"[:500]}
    os.write(writable, json.dumps(result).encode())
    os._exit(0)


def _resident() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def header(random: Random, sizes: Sequence[int] = SIZES) -> tuple[bytes, str]:
    """Return the beginning of a file with hostile text in it, and a name for the file."""
    trees = [found.tree for found in random.choices(compiled(), k=4)]

    def text(size: int) -> str:
        return pumped(random, random.choice(trees), size)

    kind, size = random.randrange(4), random.choice(sizes)
    made: dict[str, Any] = layout(entries(random))
    if kind == 0:
        made = layout({f"{text(NAME_CHARS - 9)}{n}": ("F16", [4, 4]) for n in range(size // 500)})
    metadata = {random.choice(KEYS): text(size) for _ in range(random.choice((1, 1, 2)))}
    if kind == 1:
        metadata = {f"{n}{text(60)}": text(60) for n in range(size // 120)}
    if kind == 2:
        metadata = {random.choice(KEYS): json.dumps(_nested(random, text, size))}
    raw = json.dumps({"__metadata__": metadata, **made}).encode("utf-8", "surrogatepass")
    raw += b" " * (-len(raw) % 8)
    return struct.pack("<Q", len(raw)) + raw, f"{text(200)}.safetensors"


def _nested(random: Random, text: Callable[[int], str], size: int) -> Any:
    """JSON inside of metadata, as trainers write it, with hostile texts as names and values."""
    tags = {text(random.choice((20, 100))) or "a": 1 + n % 9 for n in range(size // 400)}
    return random.choice(
        (
            {f"10_{text(60)}": tags},
            [{"subsets": [{"image_dir": text(size // 2), "class_tokens": text(size // 2)}]}],
            {"concepts": [{"path": text(200), "name": text(200)} for _ in range(size // 500)]},
            {"r": 8, "target_modules": [text(100) for _ in range(size // 120)], "x": text(size)},
        )
    )


@dataclass
class Run:
    """What a run has seen.

    Attributes:
        seed: Of all inputs.
        inputs: How many there were.
        cpu_share: Highest share of the CPU time allowed that an inspection took.
        slowest_s: CPU time of the slowest inspection.
        slowest_bytes: Length of its header.
        most_bytes: Most memory that an inspection took.
        memory_share: Highest share of the memory allowed.
        pattern_share: Highest share of the CPU time allowed that one pattern took.
        pattern: That pattern's place.
    """

    seed: int
    inputs: int = 0
    cpu_share: float = 0.0
    slowest_s: float = 0.0
    slowest_bytes: int = 0
    most_bytes: int = 0
    memory_share: float = 0.0
    pattern_share: float = 0.0
    pattern: str = ""

    def next(self, sizes: Sequence[int]) -> None:
        """Try one more input.

        Raises:
            Breach: it took more than it may; the message says how to make it again.
        """
        random = Random(f"{self.seed}:{self.inputs}")
        try:
            if self.inputs % 2:
                found = compiled()[(self.inputs // 2) % len(compiled())]
                self._pattern(found, pumped(random, found.tree, random.choice(sizes)))
            else:
                self._inspection(*header(random, sizes), random.choice((None, *CONFIGS)))
        except Breach as breach:
            msg = f"input {self.inputs} of seed {self.seed}: {breach}"
            raise Breach(msg) from breach
        self.inputs += 1

    def _inspection(self, data: bytes, name: str, config: bytes | None) -> None:
        allowed = CPU_S + CPU_S_PER_BYTE * len(data)
        room = MEMORY_BYTES + MEMORY_TIMES * len(data)
        spent = measured(lambda: _inspect(data, name, config), cpu_s=allowed)
        if spent.cpu_s > self.slowest_s:
            self.slowest_s, self.slowest_bytes = spent.cpu_s, len(data)
        self.cpu_share = max(self.cpu_share, spent.cpu_s / allowed)
        self.most_bytes = max(self.most_bytes, spent.rss_bytes)
        self.memory_share = max(self.memory_share, spent.rss_bytes / room)
        if spent.cpu_s > allowed or spent.rss_bytes > room:
            msg = f"{spent} for a header of {len(data):,} bytes; {allowed:.1f} s, {room:,} allowed"
            raise Breach(msg)

    def _pattern(self, found: Found, text: str) -> None:
        allowed = CPU_S + PATTERN_S_PER_CHAR * len(text)
        try:
            spent = measured(lambda: _search(found, text), cpu_s=allowed)
        except Breach as breach:
            msg = f"{found.place}, {len(text):,} characters of {text[:60]!r}: {breach}"
            raise Breach(msg) from breach
        if spent.cpu_s / allowed > self.pattern_share:
            self.pattern_share, self.pattern = spent.cpu_s / allowed, found.place
        if spent.cpu_s > allowed or spent.rss_bytes > MEMORY_BYTES + MEMORY_TIMES * len(text):
            msg = f"{found.place} took {spent} for {len(text):,} characters of {text[:60]!r}"
            raise Breach(msg)


def _inspect(data: bytes, name: str, config: bytes | None) -> None:
    size = 8 + int.from_bytes(data[:8], "little") + _data_bytes(data)
    json.dumps(inspect_bytes(data, name=name, size=size, config=config).to_dict())


def _data_bytes(data: bytes) -> int:
    made = json.loads(data[8:])
    ends = [entry["data_offsets"][1] for name, entry in made.items() if name != "__metadata__"]
    return int(max(ends, default=0))


def _search(found: Found, text: str) -> None:
    subject: Any = text.encode("utf-8", "surrogatepass") if found.is_bytes else text
    for _match in found.pattern.finditer(subject):
        pass
    found.pattern.fullmatch(subject)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run for a time or for so many inputs, and report."""
    options = _parser().parse_args(arguments)
    run, began = Run(options.seed), time.monotonic()
    compiled()
    while run.inputs < options.inputs and time.monotonic() < began + 60 * options.minutes:
        try:
            run.next(SHORT_SIZES if options.short else SIZES)
        except Breach as breach:
            reports.say(f"BREACH: {breach}")
            return 1
        if run.inputs % 500 == 0:
            reports.say(_summary(run))
    reports.say(_summary(run))
    if options.report:
        reports.say(f"written: {_write(run, options.report, time.monotonic() - began)}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.fuzz.hostile_text", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--inputs", type=int, default=10**9)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--short", action="store_true", help="texts of at most 200,000 characters")
    parser.add_argument("--report", type=Path, help="folder for a dated report")
    return parser


def _summary(run: Run) -> str:
    return (
        f"{run.inputs:,} inputs (seed {run.seed}): an inspection took at most"
        f" {run.slowest_s:.2f} s of CPU time (for {run.slowest_bytes:,} bytes), {run.cpu_share:.0%}"
        f" of what is allowed, and {run.most_bytes / 2**20:.0f} MiB, {run.memory_share:.0%} of what"
        f" is allowed; one pattern took at most {run.pattern_share:.0%} ({run.pattern})"
    )


def _write(run: Run, folder: Path, seconds: float) -> Path:
    body = f"""\
{seconds / 60:.0f} minutes, {len(compiled())} patterns. {_summary(run)}.
"""
    return reports.write(
        folder,
        name="hostile-text",
        title="Hostile text",
        module="tools.fuzz.hostile_text",
        body=body,
    )


if __name__ == "__main__":
    sys.exit(main())

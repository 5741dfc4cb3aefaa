"""CPU time and memory of processes, from ``/proc``.

``schedstat`` counts nanoseconds for each living thread, ``stat`` hundredths of a second for all
that ever lived; the larger of both is taken, for the checks hash in threads that end with them.
"""

from __future__ import annotations

import os
import statistics
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.results import Absent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

PROC = Path("/proc")
#: Seconds without work after which a process is idle.
IDLE_S = 5.0
#: Reading a process or a thread that has ended raises one of these.
_ENDED = (FileNotFoundError, ProcessLookupError)


def cpu_s(pids: Iterable[int]) -> float:
    """Return user and system CPU seconds of processes since their start.

    Raises:
        Absent: there is no ``/proc`` here.
    """
    if not (PROC / "self" / "stat").exists():
        msg = "CPU time of other processes is read from /proc, which is not here"
        raise Absent(msg)
    return sum(max(_of_threads(pid), _of_process(pid)) for pid in pids)


def cpu_of_tree_s(root: int) -> float:
    """Return user and system CPU seconds of a process and its children, ended ones included."""
    ended = sum(map(int, _fields(PROC / str(root))[13:15])) / os.sysconf("SC_CLK_TCK")
    total = cpu_s([root]) + ended
    for pid in tree(root)[1:]:
        with suppress(*_ENDED):  # the next call counts it
            total += cpu_s([pid])
    return total


def spent_by(pids: Iterable[int], act: Callable[[], object], *, roots: Iterable[int] = ()) -> float:
    """Return the CPU seconds that processes spend while something is done.

    Args:
        pids: Processes that live on.
        act: What is done.
        roots: Processes that count with their children, such as a database server, which has
            a process for each connection. The time of ended children is known to 0.01 s.
    """
    watched, trees = list(pids), list(roots)

    def total_s() -> float:
        return cpu_s(watched) + sum(map(cpu_of_tree_s, trees))

    before = total_s()
    act()
    return total_s() - before


def wait_idle(pids: Iterable[int], *, roots: Iterable[int] = ()) -> None:
    """Return when processes have spent almost no CPU time for some seconds; see ``spent_by``."""
    watched, trees = list(pids), list(roots)
    while spent_by(watched, lambda: time.sleep(IDLE_S), roots=trees) > IDLE_S / 10:
        pass


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds by the clock, and seconds of CPU time in the processes that were watched."""

    wall_s: float
    cpu_s: float


def in_turn(*works: tuple[Iterable[int], Callable[[], object]], rounds: int) -> list[Spent]:
    """Do each work in turn, round by round, and return the medians of what each costs.

    Args:
        works: Processes to watch, and what is done meanwhile.
        rounds: How often; a first one, which fills caches, is not counted.
    """
    taken: list[list[Spent]] = [[] for _ in works]
    for _ in range(rounds + 1):
        for figures, (pids, act) in zip(taken, works, strict=True):
            began = time.perf_counter()
            cpu = spent_by(pids, act)
            figures.append(Spent(time.perf_counter() - began, cpu))
    return [
        Spent(
            statistics.median(one.wall_s for one in figures[1:]),
            statistics.median(one.cpu_s for one in figures[1:]),
        )
        for figures in taken
    ]


def resident_mb(pid: int) -> float:
    """Return what a process has in memory now, in MB."""
    return _status_mb(pid, "VmRSS")


def peak_mb(pid: int) -> float:
    """Return the most that a process had in memory since ``reset_peak``, in MB."""
    return _status_mb(pid, "VmHWM")


def reset_peak(pid: int) -> None:
    """Forget the peak of a process.

    Raises:
        Absent: the system does not let us, or has no ``/proc``.

    Source: proc_pid_clear_refs(5), value 5.
    """
    try:
        (PROC / str(pid) / "clear_refs").write_text("5")
    except OSError as error:
        msg = f"peaks of memory are reset through /proc/PID/clear_refs, which fails ({error})"
        raise Absent(msg) from error


class Watched:
    """Processes by name, and the most that one of each had above its idle memory, in MB."""

    def __init__(self, pids: dict[str, list[int]]) -> None:
        self.pids = pids
        self._idle = {pid: resident_mb(pid) for own in pids.values() for pid in own}
        self.above_mb = dict.fromkeys(pids, 0.0)
        for pid in self._idle:
            reset_peak(pid)

    def look(self) -> None:
        """Keep the highest peaks so far."""
        for name, pids in self.pids.items():
            self.above_mb[name] = max(peak_mb(pid) - self._idle[pid] for pid in pids)


def _status_mb(pid: int, name: str) -> float:
    lines = (PROC / str(pid) / "status").read_text().splitlines()
    [found] = [line for line in lines if line.startswith(f"{name}:")]
    return int(found.split()[1]) * 1024 / 1e6


def tree(root: int) -> list[int]:
    """Return a process and all that descend from it."""
    found, parents = [root], _parents()
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def parent(pid: int) -> int:
    """Return the parent of a process."""
    return int(_fields(PROC / str(pid))[1])


def _parents() -> dict[int, int]:
    parents = {}
    for folder in PROC.glob("[0-9]*"):
        with suppress(*_ENDED):
            parents[int(folder.name)] = int(_fields(folder)[1])
    return parents


def _fields(folder: Path) -> list[str]:
    """Return the fields of ``stat`` after the name: state, parent, ..."""
    return (folder / "stat").read_text().rpartition(") ")[2].split()


def _of_threads(pid: int) -> float:
    total = 0
    for file in (PROC / str(pid) / "task").glob("*/schedstat"):
        with suppress(*_ENDED):
            total += int(file.read_text().split()[0])
    return total / 1e9


def _of_process(pid: int) -> float:
    user, system = _fields(PROC / str(pid))[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

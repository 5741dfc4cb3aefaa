"""CPU time of processes, from ``/proc``.

``schedstat`` counts nanoseconds for each living thread, ``stat`` hundredths of a second for all
that ever lived; the larger of both is taken, for the checks hash in threads that end with them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.results import Absent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["cpu_s", "spent_by", "tree"]

PROC = Path("/proc")


def cpu_s(pids: Iterable[int]) -> float:
    """Return user and system CPU seconds of processes since their start.

    Raises:
        Absent: there is no ``/proc`` here.
    """
    if not (PROC / "self" / "stat").exists():
        msg = "CPU time of other processes is read from /proc, which is not here"
        raise Absent(msg)
    return sum(max(_of_threads(pid), _of_process(pid)) for pid in pids)


def spent_by(pids: Iterable[int], act: Callable[[], object]) -> float:
    """Return the CPU seconds that processes spend while something is done."""
    watched = list(pids)
    before = cpu_s(watched)
    act()
    return cpu_s(watched) - before


def tree(root: int) -> list[int]:
    """Return a process and all that descend from it."""
    found, parents = [root], _parents()
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def _parents() -> dict[int, int]:
    parents = {}
    for folder in PROC.glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int(_fields(folder)[1])
        except FileNotFoundError:
            continue
    return parents


def _fields(folder: Path) -> list[str]:
    """Return the fields of ``stat`` after the name: state, parent, ..."""
    return (folder / "stat").read_text().rpartition(") ")[2].split()


def _of_threads(pid: int) -> float:
    files = (PROC / str(pid) / "task").glob("*/schedstat")
    return sum(int(file.read_text().split()[0]) for file in files) / 1e9


def _of_process(pid: int) -> float:
    user, system = _fields(PROC / str(pid))[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

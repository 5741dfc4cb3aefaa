"""nginx, which sending files is compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.results import Absent
from benchmarks.setup.processes import tree
from tests.nginx import Nginx, program

if TYPE_CHECKING:
    from pathlib import Path


def alone(folder: Path, root: Path) -> Nginx:
    """Return one that sends the files below ``root`` by sendfile.

    Raises:
        Absent: it is not installed.
    """
    require()
    return Nginx.alone(folder, root)


def before(folder: Path, hub_port: int, data: Path) -> Nginx:
    """Return one in front of a hub that leaves the sending to it.

    Raises:
        Absent: it is not installed.
    """
    require()
    return Nginx.before(folder, hub_port, data)


def pids_of(nginx: Nginx) -> list[int]:
    """Return master and worker."""
    assert nginx.process is not None
    return tree(nginx.process.pid)


def require() -> None:
    """See that it is installed.

    Raises:
        Absent: it is not.
    """
    if program() is None:
        msg = "nginx, which it is compared with, is not installed"
        raise Absent(msg)

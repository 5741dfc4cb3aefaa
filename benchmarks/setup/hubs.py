"""A hub to measure: in real processes, with its data in a folder that goes with it."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tests.e2e.talk import Caller, caller
from tests.running import RunningHub

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Measured:
    """A hub, somebody with a token, and a folder for files.

    Attributes:
        hub: The processes.
        ada: The caller.
        folder: Emptied at the end.
    """

    def __init__(self, hub: RunningHub, ada: Caller, folder: Path) -> None:
        self.hub, self.ada, self.folder = hub, ada, folder

    @property
    def web(self) -> list[int]:
        """Processes that answer requests."""
        return [pid for pid, words in self.hub.pids().items() if "gunicorn" in words]

    @property
    def checks(self) -> list[int]:
        """The process that checks files."""
        return [self.hub.pid_of("worker --queues checks")]

    @property
    def blobs(self) -> Path:
        """Folder of the stored files."""
        return self.hub.data / "files" / "blobs"

    @contextmanager
    def deciding(self) -> Iterator[Measured]:
        """Start a second server on the same data, which leaves the sending to nginx."""
        with self.hub.beside("--no-worker", ACCEL="/blobs/") as hub:
            yield Measured(hub, self.ada, self.folder)


@contextmanager
def measured_hub() -> Iterator[Measured]:
    """Start a hub as ``manage.py up`` does, without the renderer."""
    with TemporaryDirectory(prefix="lorary-bench-") as place:
        folder = Path(place)
        with RunningHub(folder / "hub", "--queues", "checks") as hub:
            yield Measured(hub, caller(hub, "ada"), folder)


def weights_of(version: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the files of a version without its README.md."""
    return [file for file in version["files"] if file["path"] != "README.md"]


def path_of(url: str) -> str:
    """Return an absolute address of the API without its host."""
    return "/api" + url.partition("/api")[2]

"""A hub to measure: in real processes, with its data in a folder that goes with it."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from benchmarks.setup.adapters import write_adapter
from tests.e2e.talk import Caller, caller, sent_from
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
    """Start a hub as ``manage.py up`` does, without the renderer and the limit of requests."""
    with TemporaryDirectory(prefix="lorary-bench-") as place:
        folder = Path(place)
        with RunningHub(folder / "hub", "--queues", "checks", ANONYMOUS_PER_MINUTE="0") as hub:
            yield Measured(hub, caller(hub, "ada"), folder)


def weights_of(version: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the files of a version without its README.md."""
    return [file for file in version["files"] if file["path"] != "README.md"]


#: Files that a version gets at most; 64 are allowed.
AT_ONCE = 50


def publish_files(
    measured: Measured,
    full_name: str,
    count: int,
    *,
    seed: int,
    rank: int,
    tensors: int | None = None,
) -> list[dict[str, Any]]:
    """Publish different adapters as the versions of one; return the files as the API has them.

    Args:
        measured: The hub.
        full_name: ``ada/name``.
        count: How many; one version has at most `AT_ONCE`.
        seed: Of the first file.
        rank: Of all modules.
        tensors: See ``write_adapter``.
    """
    path, name = measured.folder / "small.safetensors", full_name.rpartition("/")[2]
    made = measured.ada.post("/api/v1/adapters", {"name": name})
    assert made.status == 201, made.body
    files = list[dict[str, Any]]()
    for first in range(0, count, AT_ONCE):
        uploads = []
        for number in range(first, min(first + AT_ONCE, count)):
            size = write_adapter(path, seed=seed + number, rank=rank, tensors=tensors)
            sent = sent_from(path)
            uploads.append(measured.ada.sent_stream(sent, size, f"{name}-{number:03}.safetensors"))
        assert {measured.ada.final_state(upload) for upload in uploads} == {"accepted"}
        version = measured.ada.post(f"/api/v1/adapters/{full_name}/versions", {"uploads": uploads})
        assert version.status == 201, version.body
        files += weights_of(version.document)
    return files


def path_of(url: str) -> str:
    """Return an absolute address of the API without its host."""
    return "/api" + url.partition("/api")[2]

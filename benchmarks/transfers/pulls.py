"""`lorary pull` against what people would type instead: curl, aria2c and `hf download`.

All of them download into an empty folder from one hub and compare digests, so that they do the
same. They take turns, round by round.
"""

from __future__ import annotations

import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.results import Absent, Result
from benchmarks.setup.adapters import write_large
from benchmarks.setup.hubs import measured_hub, path_of, publish_files, weights_of
from tests.clients.programs import Programs
from tests.e2e.talk import sent_from

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.setup.hubs import Measured

ROUNDS = 5
#: Of the fastest of the others: highest wall time. Of curl and sha256sum: highest CPU time.
SLOWEST = DEAREST = 1.1
#: Ten references, of one.
SEVERAL = 1.5
#: Seconds that a sync with nothing to do may take, and a start; the latter also of `hf --help`.
NO_OP_S, START_S, START = 0.5, 0.2, 0.1
FOLDERS, FILES = 2, 50
SYNCED = 20
LIMIT_S = 300
HF = f"{sys.prefix}/bin/hf"


@dataclass(frozen=True, slots=True)
class Taken:
    """Wall and CPU seconds of a program and the programs that it started."""

    wall_s: float
    cpu_s: float


def run() -> list[Result]:
    """Measure one large file, a hundred small ones, several references, syncs and starts."""
    for program in ("curl", "aria2c", "sha256sum"):
        if shutil.which(program) is None:
            msg = f"{program} is not on this machine"
            raise Absent(msg)
    with measured_hub() as measured:
        client = Programs(measured.hub, measured.folder / "client")
        client.environ["LORARY_ENDPOINT"] = measured.hub.url
        source = measured.folder / "large.safetensors"
        size = write_large(source)
        large = measured.ada.publish_stream(sent_from(source), size, "large").document
        names = [f"ada/small-{number}" for number in range(FOLDERS)]
        small = [
            file
            for number, name in enumerate(names)
            for file in publish_files(measured, name, FILES, seed=FILES * number, rank=1)
        ]
        return [
            *_compared("500 MB", client, ["ada/large"], weights_of(large)),
            *_compared(f"{len(small)} files of 5 MB", client, names, small),
            _several(measured, client),
            _nothing_to_do(measured, client),
            *_starts(client),
        ]


def _compared(
    case: str, client: Programs, names: Sequence[str], files: Sequence[Mapping[str, Any]]
) -> list[Result]:
    url = client.environ["LORARY_ENDPOINT"]
    addresses = [url + path_of(file["download_url"]) for file in files]
    pairs = list(zip(addresses, files, strict=True))
    curl = "".join(f"url = {address}\noutput = {file['path']}\n" for address, file in pairs)
    sums = "".join(f"{file['sha256']}  {file['path']}\n" for file in files)
    aria = "".join(
        f"{address}\n  out={file['path']}\n  checksum=sha-256={file['sha256']}\n"
        for address, file in pairs
    )
    inputs = client.folder / "inputs"
    inputs.mkdir(exist_ok=True)
    for name, text in (("curl", curl), ("sums", sums), ("aria", aria)):
        (inputs / name).write_text(text)
    shell = ["sh", "-c"]
    commands = {
        "lorary pull": [*_lorary("pull"), *names, "--to", "."],
        "curl and sha256sum": [*shell, "curl -sfK ../inputs/curl && sha256sum -c ../inputs/sums"],
        "aria2c -x4": ["aria2c", "-q", "-x4", "-j4", "-i", "../inputs/aria"],
        "hf download": [*shell, " && ".join(f"{HF} download {name}" for name in names)],
    }
    taken = _in_turn(client, commands)
    ours = taken.pop("lorary pull")
    best = min(taken, key=lambda name: taken[name].wall_s)
    curls = taken["curl and sha256sum"]
    return [
        Result(
            "pulls", case, ours.wall_s, taken[best].wall_s, f"the fastest: {best}", "s", SLOWEST
        ),
        Result("pulls", case, ours.cpu_s, curls.cpu_s, "curl and sha256sum", "CPU s", DEAREST),
    ]


def _several(measured: Measured, client: Programs) -> Result:
    names = [f"ada/tiny-{number}" for number in range(10)]
    for number, name in enumerate(names):
        publish_files(measured, name, 1, seed=number, rank=1, tensors=60)
    commands = {
        "ten": [*_lorary("pull"), *names, "--to", "."],
        "one": [*_lorary("pull"), names[0], "--to", "."],
    }
    taken = _in_turn(client, commands)
    ten, one = taken["ten"].wall_s, taken["one"].wall_s
    return Result("pulls", "10 references in one call", ten, one, "one reference", "s", SEVERAL)


def _nothing_to_do(measured: Measured, client: Programs) -> Result:
    names = [f"ada/synced-{number}" for number in range(SYNCED)]
    for number, name in enumerate(names):
        publish_files(measured, name, FILES, seed=FILES * number, rank=1, tensors=6)
    project = client.folder / "project"
    project.mkdir()
    wanted = "".join(f'"{name}" = "*"\n' for name in names)
    (project / "lorary.toml").write_text(f"[adapters]\n{wanted}")
    for words in (["lock"], ["sync"]):
        _run(client, [*_lorary(*words)], project)
    count = len(list(project.rglob("*.safetensors")))
    assert count == SYNCED * FILES, count
    synced = [_run(client, _lorary("sync", "--frozen"), project).wall_s for _ in range(ROUNDS)]
    case = f"sync of {count:,} files that are there"
    return Result("pulls", case, statistics.median(synced), NO_OP_S, "people's patience", "s", 1.0)


def _starts(client: Programs) -> list[Result]:
    commands = {
        "lorary --help": _lorary("--help"),
        "lorary pull --help": _lorary("pull", "--help"),
        "import lorary": [sys.executable, "-c", "import lorary"],
        "hf --help": [HF, "--help"],
    }
    taken = _in_turn(client, commands)
    other = taken.pop("hf --help").wall_s
    results = [
        Result("pulls", name, one.wall_s, START_S, "people's patience", "s", 1.0)
        for name, one in taken.items()
    ]
    ours = taken["lorary --help"].wall_s
    return [*results, Result("pulls", "lorary --help", ours, other, "hf --help", "s", START)]


def _lorary(*words: str) -> list[str]:
    return [f"{sys.prefix}/bin/lorary", *words]


def _in_turn(client: Programs, commands: Mapping[str, Sequence[str]]) -> dict[str, Taken]:
    """Return the median of what each command takes in an empty folder and with empty caches."""
    figures: dict[str, list[Taken]] = {name: [] for name in commands}
    for _ in range(ROUNDS + 1):
        for name, command in commands.items():
            figures[name].append(_anew(client, command))
    return {
        name: Taken(
            statistics.median(one.wall_s for one in each[1:]),
            statistics.median(one.cpu_s for one in each[1:]),
        )
        for name, each in figures.items()
    }


def _anew(client: Programs, command: Sequence[str]) -> Taken:
    target = client.folder / "target"
    for folder in (target, client.folder / ".lorary", Path(client.environ["HF_HOME"])):
        _put_away(folder, client.folder / "old")
    target.mkdir()
    return _run(client, command, target)


def _put_away(folder: Path, old: Path) -> None:
    """Empty the files of a folder, and move it.

    They are not deleted: for minutes after it, ext4 looks at each deleted inode again whenever it
    creates a file, which the next command would pay for.
    """
    if not folder.exists():
        return
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            os.truncate(path, 0)
    old.mkdir(exist_ok=True)
    folder.rename(tempfile.mkdtemp(dir=old))


def _run(client: Programs, command: Sequence[str], folder: Path) -> Taken:
    began, before = time.perf_counter(), _children_s()
    subprocess.run(
        command, cwd=folder, env=client.environ, check=True, timeout=LIMIT_S, capture_output=True
    )
    return Taken(time.perf_counter() - began, _children_s() - before)


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime

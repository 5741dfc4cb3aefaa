"""Memory of a hub while the Hub's own library pushes 1 GB to it: through Xet, and through LFS.

What counts is the most that a process has in memory above what it had before anybody came. Xet
brings a file in xorbs of 64 MiB, LFS in parts of 16; one that were held in memory would show.
Values are random throughout, so that all bytes travel.
"""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from benchmarks.results import Result
from benchmarks.setup.adapters import LARGE_RANK, write_adapter
from benchmarks.setup.hubs import measured_hub
from benchmarks.setup.processes import Watched
from tests.clients.programs import Programs

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.setup.hubs import Measured

#: Makes about 1 GB.
RANK = 2 * LARGE_RANK
#: MB above idle of one web process. A xorb held in memory would be 67.
WEB_MB = 60.0
#: Environment of the client for each way.
WAYS: dict[str, dict[str, str]] = {"Xet": {}, "LFS": {"HF_HUB_DISABLE_XET": "1"}}
#: Seconds that a push may take on a busy machine.
LIMIT_S = 900

PUSH = """
from huggingface_hub import HfApi
api = HfApi()
repo = api.create_repo({name!r}).repo_id
api.upload_file(path_or_fileobj={path!r}, path_in_repo="huge.safetensors", repo_id=repo)
"""


def run() -> list[Result]:
    """Push a file each way, to a hub that was just started."""
    return [_pushed(way, seed) for seed, way in enumerate(WAYS)]


def _pushed(way: str, seed: int) -> Result:
    with measured_hub() as measured:
        source = measured.folder / "huge.safetensors"
        size = write_adapter(source, rank=RANK, seed=seed, is_unique=True)
        watched = Watched({"web": measured.web})
        _push(measured, way, source)
        watched.look()
        left = list((measured.hub.data / "xet").rglob("*/*"))
        assert not left, left
    case = f"web, {size / 1e9:.1f} GB pushed by {way}"
    return Result(
        "pushes", case, watched.above_mb["web"], WEB_MB, "the bound", "MB above idle", 1.0
    )


def _push(measured: Measured, way: str, source: Path) -> None:
    token = measured.hub.manage("token", "--user", "ada", "--create").strip()
    client = Programs(measured.hub, measured.folder / "client", token)
    code = PUSH.format(name=f"by-{way.lower()}", path=str(source))
    environ = client.environ | WAYS[way]
    subprocess.run([sys.executable, "-c", code], env=environ, timeout=LIMIT_S, check=True)

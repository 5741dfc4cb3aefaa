"""One pass of all clients over a hub: Hugging Face's by Xet and by LFS, ours, Civitai's."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.setup.adapters import write_adapter
from tests.clients.programs import Programs

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.running import RunningHub

HERE = Path(__file__).parent
#: Weights of 11 MB: by LFS and by parts they come in three parts. And tensors of a small file.
RANK, FEW, PART_BYTES = 2, 60, 5 * 2**20

CIVITAI = """
from civitapy import CivitAIClient
hub = CivitAIClient(base_url={url!r} + "/api/v1", token={token!r}, download_dir="out")
version = hub.model_versions_by_hash({digest!r})
tell(hub.download_model_version(version["id"], verify_hash=True))
"""


@dataclass
class Clients:
    """Programs of one user, with new files, homes and caches in each pass.

    Attributes:
        civitai: Interpreter of the environment of ``tests/clients/civitai.txt``.
        published: What our client published: adapter → sha256 of its file.
    """

    hub: RunningHub
    folder: Path
    token: str
    civitai: str
    published: dict[str, str] = field(default_factory=dict)

    def run(self, number: int) -> dict[str, str]:
        """Call everything once; return what went wrong, by the name of the call.

        Three programs run at a time; Civitai's client fetches what ours published.
        """
        with ThreadPoolExecutor() as pool:
            by_xet = pool.submit(self._told, "Xet", self._by_xet, number)
            by_lfs = pool.submit(self._told, "LFS", self._by_lfs, number)
            faults = self._told("parts", self._by_parts, number)
            faults |= self._told("Civitai", self._by_civitai, number)
        return by_xet.result() | by_lfs.result() | faults

    def _told(
        self, way: str, call: Callable[[Programs, int], dict[str, str]], number: int
    ) -> dict[str, str]:
        programs = self._programs(f"{way}-{number}")
        try:
            told = call(programs, number)
        except (AssertionError, subprocess.TimeoutExpired) as error:
            told = {"": str(error)[-2000:]}
        shutil.rmtree(programs.folder)
        return {f"{way} {case}".strip(): text for case, text in told.items() if text}

    def _programs(self, name: str) -> Programs:
        programs = Programs(self.hub, self.folder / name, self.token)
        programs.environ |= {"LORARY_ENDPOINT": self.hub.url, "LORARY_TOKEN": self.token}
        return programs

    def _by_xet(self, programs: Programs, number: int) -> dict[str, str]:
        return self._probed(programs, "ada/xet", number)

    def _by_lfs(self, programs: Programs, number: int) -> dict[str, str]:
        programs.environ["HF_HUB_DISABLE_XET"] = "1"
        return self._probed(programs, "ada/lfs", number)

    def _probed(self, programs: Programs, name: str, number: int) -> dict[str, str]:
        weights, small = write_files(programs.folder, f"{name} {number}")
        probe = [sys.executable, str(HERE / "probe.py"), f"{name}-{number}", weights, small]
        output = programs.command(probe)
        told: dict[str, str] = json.loads(output.rpartition("\n")[2])
        told.pop("version")
        return told

    def _by_parts(self, programs: Programs, number: int) -> dict[str, str]:
        adapter = f"ada/parts-{number}"
        weights, _small = write_files(programs.folder, adapter)
        push = ["push", weights, "--to", adapter, "--kind", "style", "--yes"]
        programs.command([sys.executable, "-m", "lorary", *push])
        self.published[adapter] = _sha256(Path(weights))
        pull = ["pull", adapter, "--to", "back"]
        programs.command([sys.executable, "-m", "lorary", *pull])
        (back,) = (programs.folder / "back").glob("*.safetensors")
        is_same = _sha256(back) == self.published[adapter]
        return {} if is_same else {"pull": "other bytes came back"}

    def _by_civitai(self, programs: Programs, number: int) -> dict[str, str]:
        digest = self.published.get(f"ada/parts-{number}")
        assert digest, "nothing was published"
        code = CIVITAI.format(url=self.hub.url, token=self.token, digest=digest)
        (path,) = programs.python(code, interpreter=self.civitai)
        is_same = _sha256(programs.folder / path) == digest
        return {} if is_same else {"download": "other bytes came back"}


def write_files(folder: Path, name: str) -> list[str]:
    """Write weights and small ones that only this name has: bytes of others are not sent again."""
    seed = zlib.crc32(name.encode())
    paths = [folder / "noir.safetensors", folder / "small.safetensors"]
    for path, tensors in zip(paths, (None, FEW), strict=True):
        write_adapter(path, rank=RANK, tensors=tensors, seed=seed, is_unique=True)
    return [str(path) for path in paths]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

"""The process that makes derived files: which refusals it reports."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from registry.confined import inside
from registry.derived import process
from tests.builders.adapters import DENOISERS, kohya

if TYPE_CHECKING:
    from pathlib import Path

#: Runs the process with a limit of a page for every file that it writes.
SMALL = """
import resource, sys
from pathlib import Path
from registry.confined import inside
from registry.derived import process
inside.confine = lambda *_: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
folder = Path(sys.argv[1])
inside.main(folder, [folder / process.SOURCE], process.make)
"""


def outcome(folder: Path, data: bytes, *command: str) -> dict[str, Any]:
    order = {"naming": "comfyui", "family": "sd1", "max_rank": 0, "strip": False, "seconds": 60}
    (folder / "in").mkdir()
    (folder / process.SOURCE).write_bytes(data)
    (folder / inside.ORDER).write_text(json.dumps(order), "utf-8")
    subprocess.run([sys.executable, *command, str(folder)], check=True)
    found: dict[str, Any] = json.loads((folder / inside.OUTCOME).read_text("utf-8"))
    return found


def test_a_damaged_file_has_the_code_of_the_header_reader(tmp_path: Path) -> None:
    data = kohya(DENOISERS["sd1", "diffusers"], rank=4)[:-1]
    assert outcome(tmp_path, data, "-m", process.__name__)["refused"] == "file_truncated"


def test_a_file_above_the_size_limit_is_refused(tmp_path: Path) -> None:
    data = kohya(DENOISERS["sd1", "diffusers"], rank=16)
    assert outcome(tmp_path, data, "-c", SMALL)["refused"] == "too_large"

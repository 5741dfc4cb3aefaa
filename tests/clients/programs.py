"""Programs that know nothing of this project, in processes of their own, against a running hub."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.running import RunningHub

LIMIT_S = 180
#: What of this process's environment programs need.
KEPT = ("PATH", "LANG", "LC_ALL", "TMPDIR", "OMP_NUM_THREADS")


class Programs:
    """Runs Python code and commands as one user with one home, and a cache in it.

    ```
    programs = Programs(hub, tmp_path, token)
    assert programs.python("from huggingface_hub import whoami; tell(whoami()['name'])") == "ada"
    ```

    Attributes:
        folder: Where they run; what they write is found there.
        environ: Their environment; add to it what a test needs.
        output: What the last one wrote, to both streams.
    """

    def __init__(self, hub: RunningHub, folder: Path, token: str = "") -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.output = ""
        self.environ = {name: os.environ[name] for name in KEPT if name in os.environ} | {
            "HOME": str(folder),
            "HF_HOME": str(folder / "home"),
            "HF_ENDPOINT": hub.url,
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "NO_PROXY": "127.0.0.1",
        }
        if token:
            self.environ["HF_TOKEN"] = token

    def python(self, code: str, *, interpreter: str = sys.executable, **environ: str) -> Any:
        """Run code, and return what it told with ``tell``; it must end well.

        Args:
            code: May be indented; ``tell(value)`` hands a JSON value back.
            interpreter: Of the environment whose packages it uses.
            **environ: More variables.
        """
        told = self.folder / "told.json"
        told.unlink(missing_ok=True)
        prelude = (
            "import json, pathlib\n"
            f"def tell(value): pathlib.Path({str(told)!r}).write_text(json.dumps(value))\n"
        )
        self._run([interpreter, "-c", prelude + textwrap.dedent(code)], 0, environ)
        return json.loads(told.read_text()) if told.exists() else None

    def command(self, command: Sequence[str], *, expected: int = 0, **environ: str) -> str:
        """Run a command, and return what it wrote to its standard output."""
        return self._run(command, expected, environ)

    def _run(self, command: Sequence[str], expected: int, environ: Mapping[str, str]) -> str:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environ | dict(environ),
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        self.output = done.stdout + done.stderr
        assert done.returncode == expected, self.output
        return done.stdout

    def tool(self, name: str, *arguments: str, expected: int = 0, **environ: str) -> str:
        """Run a command that a package put beside this interpreter, such as ``hf``."""
        place = str(Path(sys.executable).parent / name)
        return self._run([place, *arguments], expected, environ)

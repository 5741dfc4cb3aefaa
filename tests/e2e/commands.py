"""The real ``lorary`` command, run as a person on another machine would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from tests.running import RunningHub


@dataclass(frozen=True)
class CommandLine:
    """A home directory of the client with a hub's address and perhaps a token."""

    hub: RunningHub
    home: Path
    token: str = ""

    @property
    def environ(self) -> dict[str, str]:
        """Environment of a command."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("LORARY_")}
        own = {"LORARY_ENDPOINT": self.hub.url, "LORARY_HOME": str(self.home)}
        return kept | own | ({"LORARY_TOKEN": self.token} if self.token else {})

    def run(self, *arguments: str, code: int = 0, timeout_s: float = 180) -> str:
        """Run a command, expect an exit code, and return what it printed."""
        result = subprocess.run(
            [sys.executable, "-m", "lorary", *arguments],
            env=self.environ,
            cwd=self.home.parent,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert result.returncode == code, (result.returncode, result.stdout, result.stderr)
        return result.stdout

    def ask(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        """Do the same with ``--json`` and return the one line as a document."""
        lines = self.run(*arguments, "--json", code=code).splitlines()
        assert len(lines) == 1, lines
        document: dict[str, Any] = json.loads(lines[0])
        return document

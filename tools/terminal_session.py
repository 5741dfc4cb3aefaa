"""Records a session of the command line as docs/images/terminal.svg.

The commands run for real, one after the other in an empty folder, against a hub with the demo
adapters. Their output goes to a pseudo-terminal, as that of a person's would.
"""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import shlex
import struct
import subprocess
import sys
import termios
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.text import Text

from tests.running import RunningHub

FILE = Path(__file__).parents[1] / "docs" / "images" / "terminal.svg"
COLUMNS, LINES = 118, 40
LIMIT_S = 120
SESSION = (
    "lorary search charcoal",
    "lorary pull lorary/charcoal lorary/zorbi --layout comfyui --root ComfyUI",
    "lorary scan ComfyUI",
    "lorary list",
    "lorary pack export lorary/zorbi-picture-book --for comfyui --out workflow.json",
    "lorary resolve workflow.json --dir ComfyUI",
    "lorary lock --init --layout comfyui --root ComfyUI",
    "lorary resolve workflow.json --lock",
    "lorary sync",
)
#: Rich's picture names fonts on a server; a picture in a repository asks no server.
_FONT_FACES = re.compile(r"@font-face \{[^}]{0,2000}\}")


def record() -> str:
    """Run the session and return it as SVG."""
    console = Console(width=COLUMNS, record=True, file=io.StringIO(), force_terminal=True)
    with TemporaryDirectory(prefix="l-") as place:
        folder = Path(place)
        with RunningHub(folder / "hub", "--queues", "checks") as hub:
            hub.manage("demo")
            environ = {
                "PATH": f"{sys.prefix}/bin{os.pathsep}{os.environ['PATH']}",
                "HOME": str(folder),
                "LANG": "C.UTF-8",
                "TERM": "xterm-256color",
                "LORARY_ENDPOINT": hub.url,
            }
            project = folder / "art"
            project.mkdir()
            for command in SESSION:
                shown = _run(command, project, environ)
                console.print(Text(f"$ {command}", style="bold"))
                shown = shown.replace(hub.url, "https://hub.example").replace(place, "~")
                console.print(Text.from_ansi(shown))
    return _FONT_FACES.sub("", console.export_svg(title="lorary"))


def _run(command: str, folder: Path, environ: dict[str, str]) -> str:
    """Return what a command writes; progress bars are left out."""
    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    with subprocess.Popen(
        shlex.split(command), cwd=folder, env=environ, stdout=side, stderr=subprocess.PIPE
    ) as process:
        os.close(side)
        written = b""
        try:
            while block := os.read(main, 65536):
                written += block
        except OSError:  # how a pseudo-terminal ends on Linux
            pass
        os.close(main)
        _, remarks = process.communicate(timeout=LIMIT_S)
    if process.returncode:
        msg = f"{command}: {remarks.decode()}"
        raise RuntimeError(msg)
    return (written + remarks).decode().replace("\r\n", "\n")


if __name__ == "__main__":
    FILE.write_text(record(), encoding="utf-8")
    sys.stdout.write(f"{FILE}\n")

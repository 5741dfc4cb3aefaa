"""Completion in shells: what the script asks the program, and what it answers."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.client.conftest import Ran

    Run = Callable[..., Ran]


@pytest.mark.parametrize(
    ("line", "offered", "not_offered"),
    [
        ("lorary ca", {"cache "}, {"pull"}),
        ("lorary pull --lay", {"--layout "}, {"--to"}),
        ("lorary pull --layout com", {"comfyui "}, {"flat"}),
        ("lorary cache p", {"path", "prune"}, {"ls"}),
        ("lorary sync --off", {"--offline "}, set()),
        ("lorary config set la", {"layout "}, {"root"}),
        ("lorary config get ", {"layout", "root", "jobs"}, set()),
        ("lorary pull a/b --sidecars a", {"a1111 "}, {"civitai"}),
        ("lorary pull a/b --sidecars a1111,sw", {"a1111,swarmui "}, {"civitai"}),
    ],
)
def test_the_program_completes_a_line(
    environment: dict[str, str],
    tmp_path: Path,
    line: str,
    offered: set[str],
    not_offered: set[str],
) -> None:
    answer = tmp_path / "answer"
    asked = {
        "_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": "\n", "COMP_LINE": line,
        "COMP_POINT": str(len(line)), "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
    }  # fmt: skip
    command = [sys.executable, "-m", "lorary"]
    subprocess.run(command, env={**environment, **asked}, check=True, capture_output=True)
    found = set(answer.read_text().split("\n"))
    assert offered <= found
    assert not not_offered & {text.strip() for text in found}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_each_shell_has_a_script(run: Run, tmp_path: Path, shell: str) -> None:
    ran = run("completion", shell)
    assert (ran.code, "lorary" in ran.out, "_ARGCOMPLETE" in ran.out) == (0, True, True)
    if shell == "bash" and shutil.which("bash"):
        script = tmp_path / "script"
        script.write_text(ran.out)
        subprocess.run(["bash", "-n", script], check=True)


def test_without_the_extra_it_says_what_to_install(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "lorary.cli.completion", raising=False)
    monkeypatch.setitem(sys.modules, "argcomplete", None)
    ran = run("completion", "bash")
    assert (ran.code, "lorary[completion]" in ran.err) == (2, True)

"""Completes commands and options in a shell, by argcomplete (the extra ``lorary[completion]``).

The script of a shell calls the program with ``_ARGCOMPLETE`` at each press of the key.
"""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, cast

import argcomplete
from argcomplete.shell_integration import shellcode

from lorary.cli.app import COMMANDS, add_common, load

if TYPE_CHECKING:
    from lorary.cli.command import Parser


def script(shell: str) -> str:
    """Return the script that a shell runs at its start."""
    return shellcode(["lorary"], shell=shell)


def complete() -> None:
    """Answer the shell and end the process."""
    argcomplete.autocomplete(_parser(os.environ.get("COMP_LINE", "").split()))


def _parser(words: list[str]) -> argparse.ArgumentParser:
    """Return a parser of all commands; only those of the line know their options."""
    parser = argparse.ArgumentParser(prog="lorary")
    parser.add_argument("--version", action="store_true")
    commands = parser.add_subparsers()
    for name, (_, what) in COMMANDS.items():
        sub = commands.add_parser(name, help=what)
        if name in words:
            add_common(cast("Parser", sub))
            load(name).configure(cast("Parser", sub))
    return parser

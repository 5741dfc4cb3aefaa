"""Completes commands and options in a shell, by argcomplete (the extra ``lorary[completion]``).

The script of a shell calls the program with ``_ARGCOMPLETE`` each time Tab is pressed.
"""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, cast

import argcomplete
from argcomplete.shell_integration import shellcode

from lorary.cli.app import COMMANDS, add_common, load
from lorary.library.settings import CHECKS
from lorary.library.sidecars.formats import ENDINGS

if TYPE_CHECKING:
    from lorary.cli.command import Parser


def _settings(parsed_args: argparse.Namespace, **_: object) -> list[str]:
    """Return the keys of settings, where one is due."""
    is_due = parsed_args.action != "list" and not parsed_args.words
    return [*CHECKS] if is_due else []


def _tools(prefix: str, **_: object) -> list[str]:
    """Return completions of a comma-separated list of tools, each with one more tool."""
    before, comma, _last = prefix.rpartition(",")
    return [f"{before}{comma}{tool}" for tool in ENDINGS if tool not in before.split(",")]


_COMPLETERS = {("config", "words"): _settings, ("pull", "sidecars"): _tools}


def script(shell: str) -> str:
    """Return the script that a shell runs at its start."""
    return shellcode(["lorary"], shell=shell)


def complete() -> None:
    """Answer the shell and end the process."""
    argcomplete.autocomplete(_parser(os.environ.get("COMP_LINE", "").split()))


def _parser(words: list[str]) -> argparse.ArgumentParser:
    """Return a parser of all commands, with options only for those on the command line."""
    parser = argparse.ArgumentParser(prog="lorary")
    parser.add_argument("--version", action="store_true")
    commands = parser.add_subparsers()
    for name, (_, what) in COMMANDS.items():
        sub = commands.add_parser(name, help=what)
        if name in words:
            add_common(cast("Parser", sub))
            load(name).configure(cast("Parser", sub))
            for action in sub._actions:  # noqa: SLF001 - argparse has no public list of them
                if completer := _COMPLETERS.get((name, action.dest)):
                    action.completer = completer  # type: ignore[attr-defined] # argcomplete's
    return parser

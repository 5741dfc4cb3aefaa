"""Writes the man page of ``lorary`` from the parsers of its commands: ``make man``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import lorary
from lorary.cli import app
from lorary.cli.command import Parser

#: Where the wheel takes it from; pip installs it in ``share/man/man1``.
PAGE = Path(__file__).resolve().parents[1] / "sdk" / "data" / "share" / "man" / "man1" / "lorary.1"


def page() -> str:
    """Return the man page."""
    common = Parser(prog="lorary", description="", epilog="")
    app.add_common(common)
    lines = [
        f'.TH LORARY 1 "" "lorary {lorary.__version__}"',
        ".SH NAME",
        r"lorary \- inspect, upload and download LoRA adapters",
        ".SH SYNOPSIS",
        ".B lorary",
        ".I COMMAND",
        "[options]",
        ".SH OPTIONS OF ALL COMMANDS",
        *_options(common),
        ".SH COMMANDS",
    ]
    for name in app.COMMANDS:
        lines += _command(name)
    for part in app._EPILOG.split("\n\n"):
        title, _colon, body = part.partition(":\n")
        if body:
            lines += [f".SH {title.upper()}", *_literal(body.splitlines())]
    return "\n".join(lines) + "\n"


def _command(name: str) -> Iterator[str]:
    command = app.load(name)
    parser = Parser(prog=f"lorary {name}", description="", epilog="")
    command.configure(parser)
    words = [_operand(one) for one in parser._actions if not one.option_strings]
    yield f".SS {_escaped(' '.join(['lorary', name, '[options]', *words]))}"
    for line in command.description.splitlines():
        yield _escaped(line) or ".PP"
    yield from _options(parser, without="help")
    yield from (".PP", "Examples:", *_literal(command.example.splitlines()))


def _options(parser: Parser, without: str = "") -> Iterator[str]:
    formatter = parser._get_formatter()
    for action in parser._actions:
        if action.help == argparse.SUPPRESS or action.dest == without:
            continue
        value = "" if action.nargs == 0 or not action.option_strings else f" {_operand(action)}"
        yield ".TP"
        yield f".B {_escaped(', '.join(action.option_strings) + value or _value(action))}"
        yield _escaped(formatter._expand_help(action) if action.help else "")


def _value(action: argparse.Action) -> str:
    if isinstance(action.metavar, str):
        return action.metavar
    return "|".join(map(str, action.choices)) if action.choices else action.dest.upper()


def _operand(action: argparse.Action) -> str:
    forms = {"?": "[{}]", "*": "[{} ...]", "+": "{} ..."}
    return forms.get(str(action.nargs), "{}").format(_value(action))


def _literal(lines: list[str]) -> Iterator[str]:
    """Yield lines that stay as they are."""
    yield from (".PP", ".nf", *map(_escaped, lines), ".fi", ".PP")


def _escaped(text: str) -> str:
    r"""Return a line of text for roff, in which ``\`` and a ``.`` or ``'`` at the start act."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{text}" if text.startswith((".", "'")) else text


if __name__ == "__main__":
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page(), "utf-8")
    sys.stdout.write(f"{PAGE}\n")

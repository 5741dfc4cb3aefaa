"""The definition of a command."""

from __future__ import annotations

import argparse
import importlib
import re
import sys
import textwrap
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from lorary.limits import JOBS, MAX_JOBS

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

_SIZE = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,6})?) ?([kmgt]?|[kmgt]i)b?", re.IGNORECASE)
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12,
          "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}  # fmt: skip

#: Width at which descriptions are wrapped; shorter lines are kept as they are.
_COLUMNS = 88


class UsageError(Exception):
    """The arguments are invalid."""


class Parser(argparse.ArgumentParser):
    """A parser that raises UsageError instead of exiting, and accepts no abbreviated options."""

    def __init__(
        self,
        *,
        prog: str,
        description: str,
        epilog: str,
        usage: str | None = None,
    ) -> None:
        super().__init__(
            prog=prog,
            usage=usage,
            description="\n".join(_wrapped(description)),
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        """Raise UsageError for invalid arguments."""
        msg = f"{message} (see {self.prog} --help)"
        raise UsageError(msg)

    def _print_message(self, message: str, file: SupportsWrite[str] | None = None) -> None:
        """Write help or version; argparse would hide write errors."""
        (file or sys.stderr).write(message)


def _wrapped(text: str) -> list[str]:
    return [part for line in text.splitlines() for part in textwrap.wrap(line, _COLUMNS) or [""]]


class Command(NamedTuple):  # `dataclasses` would take a tenth of the start
    """A command of the command line."""

    description: str  # one or two sentences
    example: str  # example command lines
    configure: Callable[[Parser], None]  # adds its options
    run: Callable[[argparse.Namespace], int]  # runs it and returns the exit code


def exit_code(error: Exception) -> int:
    """Return the exit code for an error; the module that knows them is imported only now."""
    messages = importlib.import_module("lorary.cli.output.messages")
    code: int = messages.exit_code(error)
    return code


def add_jobs(parser: Parser) -> None:
    """Add ``--jobs``."""
    parser.add_argument(
        "--jobs",
        type=_jobs,
        default="",  # a text is converted, but only when the option is not given
        metavar="N",
        help=(
            "number of items to process at the same time; default: that of `lorary config`, "
            f"else {JOBS}"
        ),
    )


def _jobs(text: str) -> int:
    if not text:
        return _remembered_jobs()
    if not text.isdecimal() or not 1 <= int(text) <= MAX_JOBS:
        message = f"“{text}” is not a number from 1 to {MAX_JOBS}"
        raise argparse.ArgumentTypeError(message)
    return int(text)


def _remembered_jobs() -> int:
    """Return the number of jobs where no option is given; the settings are imported only now."""
    try:
        return int(importlib.import_module("lorary.library.settings").setting("jobs").value)
    except ValueError as error:  # argparse would hide its text
        raise argparse.ArgumentTypeError(str(error)) from error


def add_limit(parser: Parser, most: int, verb: str = "") -> None:
    """Add ``--limit``.

    Args:
        most: Its default.
        verb: The verb that takes it, with a colon.
    """
    parser.add_argument(
        "--limit",
        type=_limit,
        default=most,
        metavar="N",
        help=f"{verb}maximum number (default {most}, 0: all)",
    )


def _limit(text: str) -> int:
    if not text.isdecimal():
        message = f"“{text}” is not a whole number of at least 0"
        raise argparse.ArgumentTypeError(message)
    return int(text)


def size(text: str) -> int:
    """Return a number of bytes, such as 5000000, 5MB or 2 GiB."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        message = f"“{text}” is not a size such as 500MB or 20GB"
        raise argparse.ArgumentTypeError(message)
    return int(float(found[1]) * _UNITS[found[2].lower()])


def add_endpoint(parser: Parser) -> None:
    """Add ``--endpoint``, which ``--hub`` is another word for."""
    parser.add_argument(
        "--endpoint", "--hub", metavar="URL|NAME", help="address of the hub, or its name"
    )

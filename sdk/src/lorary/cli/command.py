"""What a command is."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

#: Where descriptions are broken; a line that is shorter stays as it is.
_COLUMNS = 88


class UsageError(Exception):
    """The arguments cannot be understood."""


class Parser(argparse.ArgumentParser):
    """A parser that raises instead of ending the process, and takes no abbreviations."""

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
        """Refuse the arguments."""
        msg = f"{message} (see {self.prog} --help)"
        raise UsageError(msg)

    def _print_message(self, message: str, file: SupportsWrite[str] | None = None) -> None:
        """Write help or version; argparse would hide that it cannot be written."""
        (file or sys.stderr).write(message)


def _wrapped(text: str) -> list[str]:
    return [part for line in text.splitlines() for part in textwrap.wrap(line, _COLUMNS) or [""]]


@dataclass(frozen=True, slots=True)
class Command:
    """A command of the command line."""

    description: str  # what it does, in a sentence or two
    example: str  # lines to copy
    configure: Callable[[Parser], None]  # adds its options
    run: Callable[[argparse.Namespace], int]  # does it and returns the exit code


def add_endpoint(parser: Parser) -> None:
    """Add ``--endpoint``."""
    parser.add_argument("--endpoint", metavar="URL", help="address of the hub")

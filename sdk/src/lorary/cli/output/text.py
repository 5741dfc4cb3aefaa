"""Writing to standard output and standard error.

Text that comes from a hub or a file is hostile: what could steer a terminal is made visible.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from lorary.cli.output.finding_advice import ADVICE

if TYPE_CHECKING:
    from rich.console import Console

    from lorary.anatomy import Finding

_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
SEVERITY_STYLES = {"error": "red", "warning": "yellow", "info": "cyan"}
"""Severity of a finding to the style of its word."""

_PLAIN_SIGNS = {
    "—": "-", "·": "-", "×": "x", "→": "->", "≠": "!=", "…": "~", "“": '"', "”": '"',
}  # fmt: skip

_MOST_COLUMNS = 100  # longer lines are hard to read
_LEAST_COLUMNS = 40
_WIDEST = 100_000  # nothing is folded


def emit(result: Mapping[str, object]) -> None:
    """Write a result as one compact line of JSON, in ASCII so that no terminal setting matters."""
    sys.stdout.write(f"{json.dumps(result, separators=(',', ':'))}\n")


def show(lines: str | Iterable[str]) -> None:
    """Write lines for people."""
    for line in [lines] if isinstance(lines, str) else lines:
        sys.stdout.write(f"{_writable(line, sys.stdout.encoding or 'utf-8')}\n")


def _writable(text: str, encoding: str) -> str:
    """Return text that an encoding has, as of an old console or the C locale."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        # A question mark would say something else where it stands for a sign of ours.
        known = "".join(_PLAIN_SIGNS.get(char, char) for char in text)
        return known.encode(encoding, "replace").decode(encoding)
    return text


def note(text: str) -> None:
    """Write a line that is no result."""
    sys.stderr.write(f"{text}\n")


def plain(value: object) -> str:
    """Return text on one line, with control and invisible characters replaced."""
    text = " ".join(str(value).split())
    return "".join(char if char.isprintable() else "�" for char in text)


def strong(text: str) -> str:
    """Return text in bold, on a terminal that wants it."""
    return styled(text, "bold")


def styled(text: str, *styles: str) -> str:
    """Return text in styles, on a terminal that wants them (https://no-color.org)."""
    if not text or not styles or not _has_colour():
        return text
    return f"\x1b[{';'.join(_STYLES[style] for style in styles)}m{text}\x1b[0m"


def _has_colour() -> bool:
    wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return wanted and os.name == "posix" and sys.stdout.isatty()


def terminal_columns() -> int | None:
    """Return how wide the terminal is, None where there is none."""
    if not sys.stdout.isatty():
        return None
    return max(_LEAST_COLUMNS, shutil.get_terminal_size().columns)


def columns() -> int:
    """Return how wide lines for people to read may be; 80 in a pipe."""
    return min(_MOST_COLUMNS, terminal_columns() or 80)


def count_bytes(size: int) -> str:
    """Return a size for people, in powers of 1000 as shops and file managers write them."""
    amount = float(size)
    for unit in ("bytes", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{size} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def share_of_bytes(part: int, whole: int) -> str:
    """Return ``3.2 of 5.0 GB``; both units where they differ."""
    had, total = count_bytes(part), count_bytes(whole)
    amount, _, unit = had.partition(" ")
    return f"{amount if total.endswith(f' {unit}') else had} of {total}"


def pairs(facts: Iterable[tuple[str, object]]) -> list[str]:
    """Return aligned lines of names and values; empty values are left out."""
    kept = [(name, plain(value)) for name, value in facts if value not in (None, "", (), [])]
    width = max((len(name) for name, _ in kept), default=0)
    return [f"  {name:{width}}  {value}" for name, value in kept]


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows with aligned columns, folded where the terminal is too narrow for them."""
    from rich.table import Table  # noqa: PLC0415 - takes 0.05 s, for tables alone

    wide = terminal_columns()
    grid = Table.grid(padding=(0, 2, 0, 0))
    for _ in rows[0] if rows else ():
        grid.add_column(overflow="fold", no_wrap=wide is None)
    for row in rows:
        grid.add_row(*map(plain, row))
    console = _console()
    with console.capture() as captured:
        console.print(grid, width=wide or _WIDEST)
    return [line.rstrip() for line in captured.get().split("\n")[:-1]]


def wrap(text: str, wide: int) -> list[str]:
    """Return text on lines of at most so many columns, broken between words where it can be."""
    from rich.text import Text  # noqa: PLC0415 - takes 0.05 s, for pages alone

    lines = Text(plain(text), overflow="fold").wrap(_console(), wide)
    return [line.plain.rstrip() for line in lines]


@lru_cache(maxsize=1)
def _console() -> Console:
    """Return what lays text out; it writes nothing itself."""
    from rich.console import Console  # noqa: PLC0415 - as above

    return Console(color_system=None, width=_WIDEST, markup=False, emoji=False, highlight=False)


def finding_lines(findings: Iterable[Finding], *, shown: str = "") -> list[str]:
    """Return a line for each finding: what it is, and what to do about an error.

    Args:
        shown: Text that was printed before; messages in it are not repeated.
    """
    return [
        f"  {styled(f'{found.severity:7}', SEVERITY_STYLES.get(found.severity, 'dim'))}  "
        f"{': '.join([plain(found.code), *_explained(found, shown)])}"
        for found in findings
    ]


def _explained(found: Finding, shown: str) -> list[str]:
    message = "" if found.message in shown else plain(found.message)
    advice = ADVICE.get(found.code, "") if found.severity == "error" else ""
    text = " ".join(part for part in (message, advice) if part)
    return [text] if text else []

"""Writing to standard output and standard error.

Text that comes from a hub or a file is hostile: what could steer a terminal is made visible.
"""

from __future__ import annotations

import json
import os
import sys
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lorary.anatomy import Finding

__all__ = [
    "count_bytes", "emit", "finding_lines", "note", "pairs", "plain", "show", "strong", "table",
]  # fmt: skip

_SEVERITY_COLOURS = {"error": "31", "warning": "33", "info": "36"}


def emit(result: Mapping[str, object]) -> None:
    """Write a result as one compact line of JSON, in ASCII so that no terminal setting matters."""
    sys.stdout.write(f"{json.dumps(result, separators=(',', ':'))}\n")


def show(lines: str | Iterable[str]) -> None:
    """Write lines for people."""
    for line in [lines] if isinstance(lines, str) else lines:
        text = f"{line}\n"
        encoding = sys.stdout.encoding or "utf-8"
        sys.stdout.write(text.encode(encoding, "replace").decode(encoding))


def note(text: str) -> None:
    """Write a line that is no result."""
    sys.stderr.write(f"{text}\n")


def plain(value: object) -> str:
    """Return text on one line, with control and invisible characters replaced."""
    text = " ".join(str(value).split())
    return "".join(char if char.isprintable() else "�" for char in text)


def strong(text: str) -> str:
    """Return text in bold, on a terminal that wants it."""
    return _styled(text, "1")


def _styled(text: str, code: str) -> str:
    wanted = sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.name == "posix"
    return f"\x1b[{code}m{text}\x1b[0m" if wanted else text


def count_bytes(size: int) -> str:
    """Return a size for people, in powers of 1000 as shops and file managers write them."""
    amount = float(size)
    for unit in ("bytes", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{size} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def pairs(facts: Iterable[tuple[str, object]]) -> list[str]:
    """Return aligned lines of names and values; empty values are left out."""
    kept = [(name, plain(value)) for name, value in facts if value not in (None, "", (), [])]
    width = max((len(name) for name, _ in kept), default=0)
    return [f"  {name:{width}}  {value}" for name, value in kept]


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows with aligned columns; the last column is as long as it is."""
    cells = [[plain(cell) for cell in row] for row in rows]
    widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(
            cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in cells
    ]


def _width(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    return sum(0 if unicodedata.combining(char) else 2 if _is_wide(char) else 1 for char in text)


def _is_wide(char: str) -> bool:
    return unicodedata.east_asian_width(char) in {"W", "F"}


def finding_lines(findings: Iterable[Finding]) -> list[str]:
    """Return a line for each finding."""
    return [
        f"  {_styled(f'{found.severity:7}', _SEVERITY_COLOURS.get(found.severity, '0'))}  "
        f"{plain(found.code)}: {plain(found.message)}"
        for found in findings
    ]

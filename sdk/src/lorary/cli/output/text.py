"""Writes to standard output and standard error.

Text from hubs and files is untrusted: `plain` makes control and invisible characters visible.
`show` and `note` do so again for whatever was not passed through it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from lorary.sizes import count_bytes

if TYPE_CHECKING:
    from rich.console import Console

    from lorary.anatomy import Finding


_AGAIN = "Save or download it again."
_DECEIT = "Save it again with a current library; if it came from a stranger, do not trust it."
_CONVERT = "Convert it to safetensors on an isolated machine."
_TRIM = "Remove pictures and datasets from the metadata."
_TENSORS_COUNT = "Trust the tensors."

ADVICE: Mapping[str, str] = MappingProxyType(
    {
        "adapter_leftovers": "Nothing, unless you meant to share an adapter.",
        "alpha_differs": _TENSORS_COUNT,
        "alpha_invalid": "Check the trainer's settings: the effect is zero or far too strong.",
        "alpha_orphan": "Nothing: loaders skip it.",
        "checkpoint_leftovers": "Save only the adapter.",
        "claims_conflict": _TENSORS_COUNT,
        "config_conflict": "Put the adapter_config.json beside the file that it describes.",
        "config_unreadable": "Repair it: without it PEFT cannot load the adapter.",
        "dtype_unknown": "Save it again with a current library.",
        "duplicate_key": _DECEIT,
        "family_ambiguous": "If you know which one it is, mention it where you share the file.",
        "family_unknown": "If you know the base model, mention it where you share the file.",
        "file_empty": _AGAIN,
        "file_truncated": _AGAIN,
        "full_weights": "Mention it where you share it, or save only the adapter.",
        "fused_and_split": "Keep one of the two: otherwise the change is applied twice.",
        "hash_differs": "Update or remove the hash: programs look up files by it.",
        "hash_placeholder": "Remove it, or replace it with the real hash.",
        "header_bad_padding": _AGAIN,
        "header_bad_start": "Check where it comes from: it may not be a safetensors file.",
        "header_invalid_json": _AGAIN,
        "header_not_utf8": _AGAIN,
        "header_too_complex": _DECEIT,
        "header_too_large": f"Check that it is a safetensors file. {_TRIM}",
        "hole": _DECEIT,
        "hostile_text": "It is shown as plain text here; remove it before you share the file.",
        "is_archive": "Unpack it and use the .safetensors file inside.",
        "is_gguf": "Use the original safetensors file.",
        "is_hdf5": "Convert it to safetensors.",
        "is_html": "Download the file again; sign in first if necessary.",
        "is_image": "Look for the weights; this is a picture.",
        "is_json": "Download the file again: this is a server's response or a configuration file.",
        "is_lfs_pointer": "Run git lfs pull.",
        "is_other_model": "Export it as safetensors.",
        "is_pdf": "Look for the weights; this is a document.",
        "is_pickle": _CONVERT,
        "is_text": "Choose the file that the trainer wrote.",
        "is_zip": _CONVERT,
        "magnitude_mismatch": "Save the adapter again.",
        "metadata_conflict": _TENSORS_COUNT,
        "metadata_invalid": "Save it again with text values.",
        "metadata_large": "Remove unused metadata.",
        "metadata_too_large": _TRIM,
        "metadata_unreadable": "Nothing, or repair the value.",
        "module_twice": "Keep one of the two: otherwise the change is applied twice.",
        "modules_saved": "Nothing, if the tool you use knows them.",
        "modules_unknown": "Check which base model the trainer used; loaders skip these.",
        "not_an_adapter": "Use the file of a LoRA adapter instead.",
        "offsets_invalid": _DECEIT,
        "overlap": _DECEIT,
        "pair_incomplete": "Save the adapter again, or remove what is left of these modules.",
        "prefix_repeated": "Rename the tensors without the repeated prefix, or save it again.",
        "privacy_config": "Remove it before you share the file.",
        "privacy_email": "Remove it before you share the file, unless it is meant to be public.",
        "privacy_path": "Remove them before you share the file.",
        "privacy_secret": "Revoke the secret, then remove it: anyone with the file can read it.",
        "privacy_user": "Remove it before you share the file.",
        "rank_differs": _TENSORS_COUNT,
        "rank_mismatch": "Save the adapter again.",
        "shape_invalid": _DECEIT,
        "size_mismatch": _AGAIN,
        "tensor_empty": "Save the adapter again.",
        "tensor_fields_invalid": _DECEIT,
        "tensor_name_invalid": "Rename the tensor; if it came from a stranger, do not trust it.",
        "tensor_not_float": "Save it as F16, BF16, F32 or F8.",
        "thumbnail_left_out": "Nothing: pictures inside metadata are never shown.",
        "too_many_tensors": "Save each adapter in its own file.",
        "trailing_bytes": _DECEIT,
        "unknown_keys": "Nothing, if the tool you use knows them.",
    }
)
"""Finding code to a sentence of advice."""


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
    """Write a result as one compact line of JSON, in ASCII to be independent of the locale."""
    sys.stdout.write(f"{json.dumps(result, separators=(',', ':'))}\n")


#: What this program writes itself between printable characters: styles, and ends of lines.
_OWN = re.compile(r"(\x1b\[[0-9;]{0,32}m|[\n\t])")


def show(lines: str | Iterable[str]) -> None:
    """Write lines of text."""
    for line in [lines] if isinstance(lines, str) else lines:
        sys.stdout.write(f"{_writable(_visible(line), sys.stdout.encoding or 'utf-8')}\n")


def _writable(text: str, encoding: str) -> str:
    """Return text that an encoding supports, e.g. of an old console or in the C locale."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        # A question mark would change the meaning of the symbols that this program prints.
        known = "".join(_PLAIN_SIGNS.get(char, char) for char in text)
        return known.encode(encoding, "replace").decode(encoding)
    return text


def note(text: str) -> None:
    """Write a message to standard error."""
    sys.stderr.write(f"{_visible(text)}\n")


def answer_to(question: str) -> str:
    """Ask a person at the terminal, and return the answer."""
    sys.stderr.write(question)
    sys.stderr.flush()
    return sys.stdin.readline().strip()


def is_confirmed(question: str) -> bool:
    """Ask a person at the terminal; anything but a yes means no."""
    return answer_to(f"{question} [y/N] ").casefold() in {"y", "yes"}


def plain(value: object) -> str:
    """Return text on one line, with control and invisible characters replaced."""
    return _printable(" ".join(str(value).split()))


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "�" for char in text)


def _visible(text: str) -> str:
    """Return text with control characters replaced, except those of this program."""
    parts = enumerate(_OWN.split(text))
    return "".join(part if number % 2 else _printable(part) for number, part in parts)


def strong(text: str) -> str:
    """Return bold text, if the terminal supports it."""
    return styled(text, "bold")


def styled(text: str, *styles: str) -> str:
    """Return styled text, if the terminal supports it (https://no-color.org)."""
    if not text or not styles or not _has_colour():
        return text
    return f"\x1b[{';'.join(_STYLES[style] for style in styles)}m{text}\x1b[0m"


def _has_colour() -> bool:
    wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return wanted and os.name == "posix" and sys.stdout.isatty()


def terminal_columns() -> int | None:
    """Return the width of the terminal; None without a terminal."""
    if not sys.stdout.isatty():
        return None
    return max(_LEAST_COLUMNS, shutil.get_terminal_size().columns)


def columns() -> int:
    """Return the maximum width of text lines; 80 in a pipe."""
    return min(_MOST_COLUMNS, terminal_columns() or 80)


def count_of(count: int, noun: str) -> str:
    """Return a number with its noun: ``1 file``, ``1,200 files``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def share_of_bytes(part: int, whole: int) -> str:
    """Return ``3.2 of 5.0 GB``; with both units if they differ."""
    had, total = count_bytes(part), count_bytes(whole)
    amount, _, unit = had.partition(" ")
    return f"{amount if total.endswith(f' {unit}') else had} of {total}"


def pairs(facts: Iterable[tuple[str, object]]) -> list[str]:
    """Return aligned lines of names and values; empty values are left out."""
    kept = [(plain(name), plain(value)) for name, value in facts if value not in (None, "", (), [])]
    width = max((len(name) for name, _ in kept), default=0)
    return [f"  {name:{width}}  {value}" for name, value in kept]


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows with aligned columns, wrapped if the terminal is too narrow."""
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


def entries(
    rows: Sequence[tuple[Sequence[str], Sequence[str]]], *, between: str = "; ", margin: int = 0
) -> list[str]:
    """Return a table of columns and facts, or if the terminal is too narrow, a block for each row.

    A block never breaks a column or a fact, so that paths in it can be copied.

    Args:
        rows: The columns of each row, and facts for its last column.
        between: What separates facts.
        margin: Spaces before each line.
    """
    from rich.cells import cell_len  # noqa: PLC0415 - as in `table`

    wide = terminal_columns()
    whole = [[*map(plain, columns), between.join(map(plain, facts))] for columns, facts in rows]
    widths = [max(map(cell_len, column)) for column in zip(*whole, strict=True)]
    if wide is None or margin + sum(widths) + 2 * (len(widths) - 1) <= wide:
        lines: Iterable[str] = table(whole)
    else:
        room = wide - margin
        lines = (line for columns, facts in rows for line in _block(columns, facts, between, room))
    return [f"{' ' * margin}{line}" for line in lines]


def _block(columns: Sequence[str], facts: Sequence[str], between: str, wide: int) -> Iterator[str]:
    first, *rest = _filled([plain(one) for one in columns if one], "  ", wide)
    yield first
    for line in [*rest, *_filled([plain(one) for one in facts if one], between, wide - 2)]:
        yield f"  {line}"


def _filled(parts: Sequence[str], between: str, wide: int) -> list[str]:
    """Return parts joined in lines of this many columns; a longer part has a line of its own."""
    from rich.cells import cell_len  # noqa: PLC0415 - as in `table`

    lines: list[str] = []
    for part in parts:
        line = f"{lines[-1]}{between}{part}" if lines else part
        if lines and cell_len(line) <= wide:
            lines[-1] = line
        else:
            lines.append(part)
    return lines


def wrap(text: str, wide: int) -> list[str]:
    """Return text wrapped to this many columns, between words if possible."""
    from rich.text import Text  # noqa: PLC0415 - takes 0.05 s, for pages alone

    lines = Text(plain(text), overflow="fold").wrap(_console(), wide)
    return [line.plain.rstrip() for line in lines]


@lru_cache(maxsize=1)
def _console() -> Console:
    """Return a rich console for layout; it writes nothing."""
    from rich.console import Console  # noqa: PLC0415 - as above

    return Console(color_system=None, width=_WIDEST, markup=False, emoji=False, highlight=False)


def finding_lines(findings: Iterable[Finding], *, shown: str = "") -> list[str]:
    """Return a line for each finding: its message, and for an error what to do about it.

    Args:
        shown: Text that was printed before; its messages are not repeated.
    """
    return [
        f"  {styled(f'{found.severity:7}', SEVERITY_STYLES.get(found.severity, 'dim'))}  "
        f"{': '.join([plain(found.code), *_explained(found, shown)])}"
        for found in findings
    ]


def _explained(found: Finding, shown: str) -> list[str]:
    advice = ADVICE.get(found.code, "") if found.severity == "error" else ""
    is_shown = bool(advice) and found.message in shown  # nothing would follow the code otherwise
    message = "" if is_shown else plain(found.message)
    text = " ".join(part for part in (message, advice) if part)
    return [text] if text else []

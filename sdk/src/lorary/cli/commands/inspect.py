"""inspect."""

from __future__ import annotations

import sys
from argparse import Namespace

from rich.cells import cell_len

from lorary.anatomy.claims.lineages import VARIABLE, LineageError, load_lineages
from lorary.cli.command import Command, Parser, UsageError
from lorary.cli.commands.inspect_many import CODES, NOT_FOUND, Form, inspect_all
from lorary.cli.input_files import Found, find
from lorary.cli.output.inspect_lines import columns_for
from lorary.cli.output.progress import counting
from lorary.cli.output.text import note, plain, show, terminal_columns


def _configure(parser: Parser) -> None:
    parser.add_argument(
        "places",
        nargs="+",
        metavar="FILE|DIR|URL",
        help="files, URLs, or folders with their .safetensors files",
    )


def _inspect(args: Namespace) -> int:
    _require_lineages()
    codes: set[int] = set()
    found: list[Found] = []
    for place in args.places:
        here = find(place)
        if not here:
            note(f"lorary: {plain(place)} contains no .safetensors file.")
            codes.add(NOT_FOUND)
        found += here
    longest = max((cell_len(plain(one.name)) for one in found if one.is_listed), default=0)
    results = inspect_all(found, Form(args.json, columns_for(longest, terminal_columns())))
    failures = 0
    with counting("Inspecting", len(found)) as count:
        count.step(0)
        for number, (one, (text, code)) in enumerate(zip(found, results, strict=True)):
            codes.add(code)
            failures += code != 0
            if sys.stdout.isatty():
                count.clear()
            is_page = not (args.json or one.is_listed)
            show(f"\n{text}" if is_page and number else text)
            count.step(number + 1)
    if any(one.is_listed for one in found) and sys.stderr.isatty() and not args.json:
        note(_summary(len(found), failures))
    return next((code for code in CODES if code in codes), 0)


def _summary(count: int, failures: int) -> str:
    """Return what a long list adds up to."""
    files = "One file" if count == 1 else f"{count:,} files"
    rest = f"{failures:,} refused or unreadable" if failures else "none refused"
    return f"{files}, {rest}."


def _require_lineages() -> None:
    """Refuse to work with a table of lineages that would silently be left out."""
    try:
        load_lineages()
    except LineageError as error:
        message = f"{VARIABLE}: {error}. Correct the file, or unset the variable."
        raise UsageError(message) from error


COMMANDS = {
    "inspect": Command(
        "Inspect files without a hub: base model with its evidence, method, rank, trigger\n"
        "words and findings. Only headers are read, nothing is loaded or run.\n\n"
        "exit codes:\n"
        "  0   every file could be read, whatever it contains\n"
        "  1   a file was refused, or could not be read\n"
        "  2   for a URL, the stored login or a LORARY_ variable is invalid\n"
        "  3   a path does not exist, or a folder has no .safetensors file\n"
        "  4   a URL needs a token\n"
        "  5   a server did not answer correctly",
        "  lorary inspect noir.safetensors\n"
        "  lorary inspect loras/ --json | jq -r '[.file.name, .base.family] | @tsv'\n"
        "  lorary inspect https://host.example/noir.safetensors",
        _configure,
        _inspect,
    ),
}

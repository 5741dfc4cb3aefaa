"""inspect."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from lorary.anatomy import (
    Inspection,
    Refusal,
    file_name,
    inspect_file,
    inspect_url,
    url_name,
)
from lorary.cli.command import Command
from lorary.cli.meter import counting
from lorary.cli.output import columns, emit, note, plain, show
from lorary.cli.page import line_of, page_of
from lorary.cli.places import Found, find
from lorary.safetensors import SourceError

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Sequence

    from lorary.cli.command import Parser

__all__ = ["COMMANDS"]

_REFUSED, _NOT_FOUND, _NOT_ALLOWED, _NETWORK = 1, 3, 4, 5
_CODES = {"not_found": _NOT_FOUND, "denied": _NOT_ALLOWED, "bad_url": _NOT_FOUND}
_LEAST_NAME = 16
_REST_OF_LINE = 53  # columns that a line needs for everything but the name


def _configure(parser: Parser) -> None:
    parser.add_argument(
        "places",
        nargs="+",
        metavar="FILE|DIR|URL",
        help="files and addresses; of a folder, every .safetensors file in it and below",
    )


def _inspect(args: Namespace) -> int:
    codes: set[int] = set()
    found: list[Found] = []
    for place in args.places:
        here = find(place)
        if not here:
            note(f"lorary: {plain(place)} holds no .safetensors file.")
            codes.add(_NOT_FOUND)
        found += here
    write = _emitted if args.json else _shown(found)
    with counting("Inspecting", len(found)) as count:
        for number, one in enumerate(found):
            count.step(number)
            inspection, code = _look(one)
            codes.add(code)
            if sys.stdout.isatty():
                count.clear()
            write(one, inspection)
    return next(
        (code for code in (_REFUSED, _NOT_FOUND, _NOT_ALLOWED, _NETWORK) if code in codes), 0
    )


def _look(one: Found) -> tuple[Inspection, int]:
    """Look into one place; whatever is wrong with it becomes its result."""
    try:
        if one.error is not None:
            raise one.error
        if one.is_url:
            inspection = inspect_url(one.place)
        else:
            inspection = inspect_file(one.place, name=one.name)
    except OSError as error:
        return _unreadable(one, error)
    return inspection, _REFUSED if inspection.anatomy is None else 0


def _unreadable(one: Found, error: OSError) -> tuple[Inspection, int]:
    reason = str(error.strerror or error).rstrip(".")
    name = file_name(url_name(one.place) if one.is_url else one.name)
    refusal = Refusal(name, "unreadable", f"It cannot be read: {reason}.", None)
    if isinstance(error, SourceError):
        code = _CODES.get(error.code, _NETWORK)
    else:
        is_missing = not one.is_listed and isinstance(error, FileNotFoundError)
        code = _NOT_FOUND if is_missing else _REFUSED
    return Inspection(None, (), None, refusal), code


def _emitted(_one: Found, inspection: Inspection) -> None:
    emit(inspection.to_dict())


def _shown(found: Sequence[Found]) -> Callable[[Found, Inspection], None]:
    """Give a function that writes a page about a file, a line about one of a folder's."""
    names = [len(one.name) for one in found if one.is_listed]
    wide = max(names, default=0)
    if sys.stdout.isatty():
        wide = min(wide, max(_LEAST_NAME, columns() - _REST_OF_LINE))
    was_page = False

    def write(one: Found, inspection: Inspection) -> None:
        nonlocal was_page
        if was_page:
            show("")
        was_page = not one.is_listed
        show(
            line_of(one.name, inspection, wide) if one.is_listed else page_of(one.place, inspection)
        )

    return write


COMMANDS = {
    "inspect": Command(
        "Look into files without a hub: base model and how it is known, method, rank, trigger\n"
        "words, and what is wrong. Only headers are read, nothing is loaded or run.\n\n"
        "exit codes:\n"
        "  0   every file could be read; what it holds does not matter\n"
        "  1   a file was refused, or could not be read\n"
        "  3   a place is not there, or a folder holds no .safetensors file\n"
        "  4   an address wants a token\n"
        "  5   an address did not answer as it has to",
        "  lorary inspect noir.safetensors\n"
        "  lorary inspect loras/ --json | jq -r '[.file.name, .base.family] | @tsv'\n"
        "  lorary inspect https://host.example/noir.safetensors",
        _configure,
        _inspect,
    ),
}

"""inspect."""

from __future__ import annotations

import functools
import gc
import json
import multiprocessing
import signal
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.cells import cell_len

from lorary.anatomy import Inspection, Refusal, file_name, inspect_file, inspect_url, url_name
from lorary.anatomy.claims.lineages import VARIABLE, LineageError, load_lineages
from lorary.cli.command import Command, Parser, UsageError
from lorary.cli.input_files import Found, find
from lorary.cli.output.base_marks import HELP as MARKS
from lorary.cli.output.inspect_lines import Columns, columns_for, line_of
from lorary.cli.output.inspect_page import page_of
from lorary.cli.output.progress import counting
from lorary.cli.output.text import note, plain, show, terminal_columns
from lorary.limits import processors
from lorary.safetensors import SourceError

if TYPE_CHECKING:
    from lorary.client.config import FoundToken
    from lorary.client.errors import SettingInvalid

    Access = FoundToken | SettingInvalid | None
    Result = tuple[str, int]


REFUSED, SETTING, NOT_FOUND, DENIED, NETWORK = 1, 2, 3, 4, 5
#: Exit codes of results, by priority: the first one that occurs is returned.
CODES = (REFUSED, SETTING, NOT_FOUND, DENIED, NETWORK)
_URL_CODES = {
    "bad_url": NOT_FOUND,
    "denied": DENIED,
    "not_found": NOT_FOUND,
    "offline": NOT_FOUND,
}

_FIRST_ALONE = 16  # files to inspect first, to fill the tables that other processes inherit
_WORTH_IT = 200  # minimum number of files for which several processes are faster
_MOST_PROCESSES = 8
_CHUNK = 8
_OBJECTS_OF_SEVERAL_FILES = 50_000


@dataclass(frozen=True, slots=True)
class Form:
    """The output format of results."""

    is_json: bool  # JSON documents, one per line
    columns: Columns  # the columns of the text output

    def text(self, one: Found, inspection: Inspection) -> str:
        """Return a result in this format, without the trailing line break."""
        if self.is_json:
            document = {**inspection.to_dict(), "path": one.place}
            return json.dumps(document, separators=(",", ":"))
        if one.is_listed:
            return line_of(one.name, inspection, self.columns)
        return "\n".join(page_of(one.place, inspection))


def inspect_all(found: Sequence[Found], form: Form) -> Iterator[Result]:
    """Yield result and exit code of each file or URL, in order.

    Tokens are looked up first and in this process, so that a warning about one is shown once.
    """
    return _results(found, [_token_for(one) for one in found], form)


def _results(found: Sequence[Found], tokens: Sequence[Access], form: Form) -> Iterator[Result]:
    inspect = functools.partial(_result_of, form)
    processes = min(processors(), _MOST_PROCESSES)
    if len(found) < _WORTH_IT or processes < 2:
        yield from map(inspect, found, tokens)
        return
    yield from map(inspect, found[:_FIRST_ALONE], tokens)
    _collect_seldom()
    rest = found[_FIRST_ALONE:], tokens[_FIRST_ALONE:]
    with _pool(processes) as pool:
        try:
            yield from pool.map(inspect, *rest, chunksize=_CHUNK)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _pool(processes: int) -> ProcessPoolExecutor:
    # Forked processes start fast and inherit the tables; elsewhere fork is unsafe or missing.
    method = "fork" if sys.platform == "linux" else "spawn"
    context = multiprocessing.get_context(method)
    return ProcessPoolExecutor(processes, context, initializer=_prepare)


def _prepare() -> None:
    """Prepare a process for its share of the files."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process handles Ctrl-C
    _collect_seldom()


def _collect_seldom() -> None:
    """Reduce garbage collection: the tables are permanent, and results contain no cycles."""
    gc.freeze()
    gc.set_threshold(_OBJECTS_OF_SEVERAL_FILES)


def _result_of(form: Form, one: Found, token: Access) -> Result:
    """Inspect one file or URL; an error becomes its result."""
    if isinstance(token, Exception):
        return form.text(one, _unread(one, token.detail)), SETTING
    try:
        if one.error is not None:
            raise one.error
        if token is not None:
            inspection = inspect_url(one.place, headers=token.headers)
        else:
            inspection = inspect_file(one.place, name=one.name)
    except OSError as error:
        inspection, code = _unreadable(one, error, token)
    else:
        code = REFUSED if inspection.anatomy is None else 0
    return form.text(one, inspection), code


def _token_for(one: Found) -> Access:
    """Return the token for a URL, or why there is none; None for a file."""
    if not one.is_url:
        return None
    from lorary.client.config import token_for  # noqa: PLC0415 - takes 40 ms, for addresses alone
    from lorary.client.errors import SettingInvalid  # noqa: PLC0415 - the same

    try:
        return token_for(one.place)
    except SettingInvalid as error:
        return error


def _unreadable(one: Found, error: OSError, token: FoundToken | None) -> tuple[Inspection, int]:
    if isinstance(error, SourceError):
        message = f"{error.detail}{_way_in(error, token)}"
        code = _URL_CODES.get(error.code, NETWORK)
    else:
        message = f"It cannot be read: {str(error.strerror or error).rstrip('.')}."
        is_missing = not one.is_listed and isinstance(error, FileNotFoundError)
        code = NOT_FOUND if is_missing else REFUSED
    return _unread(one, message), code


def _unread(one: Found, message: str) -> Inspection:
    name = file_name(url_name(one.place) if one.is_url else one.name)
    return Inspection(None, (), None, Refusal(name, "unreadable", message, None))


def _way_in(error: SourceError, token: FoundToken | None) -> str:
    """Return advice for a file that is not public."""
    if token is not None and token.place:
        helps = {401} if token.secret else {401, 403, 404}
        if error.status in helps:
            return f" {token.place}"
    return (
        " Sign in, download the file, and inspect the local copy." if error.code == "denied" else ""
    )


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
    """Return the summary line of a long list."""
    files = "One file" if count == 1 else f"{count:,} files"
    rest = f"{failures:,} refused or unreadable" if failures else "none refused"
    return f"{files}, {rest}."


def _require_lineages() -> None:
    """Raise an error if the file of lineages is invalid; otherwise it would be ignored silently."""
    try:
        load_lineages()
    except LineageError as error:
        message = f"{VARIABLE}: {error}. Correct the file, or unset the variable."
        raise UsageError(message) from error


COMMANDS = {
    "inspect": Command(
        "Inspect files without a hub: base model with its evidence, method, rank, trigger\n"
        "words and findings. Only headers are read; nothing is loaded or run.\n\n"
        "signs in the lines of a folder:\n" + MARKS + "\n"
        "  !  an upload would refuse the file\n\n"
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

"""Inspection of many files and URLs, in one process or several."""

from __future__ import annotations

import functools
import gc
import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lorary.anatomy import Inspection, Refusal, file_name, inspect_file, inspect_url, url_name
from lorary.cli.output.inspect_lines import Columns, line_of
from lorary.cli.output.inspect_page import page_of
from lorary.safetensors import SourceError

if TYPE_CHECKING:
    from lorary.cli.input_files import Found
    from lorary.client.config import FoundToken
    from lorary.client.errors import SettingInvalid

    Access = FoundToken | SettingInvalid | None
    Result = tuple[str, int]

REFUSED, SETTING, NOT_FOUND, DENIED, NETWORK = 1, 2, 3, 4, 5
#: Exit codes of results; of several the first one counts.
CODES = (REFUSED, SETTING, NOT_FOUND, DENIED, NETWORK)
_URL_CODES = {"bad_url": NOT_FOUND, "denied": DENIED, "not_found": NOT_FOUND}

_FIRST_ALONE = 16  # fills the tables that the other processes inherit
_WORTH_IT = 200  # files, below which starting processes takes longer than they save
_MOST_PROCESSES = 8
_CHUNK = 8
_OBJECTS_OF_SEVERAL_FILES = 50_000


@dataclass(frozen=True, slots=True)
class Form:
    """How results are written."""

    is_json: bool  # as documents, a line each
    columns: Columns  # what has room in lines for people

    def text(self, one: Found, inspection: Inspection) -> str:
        """Return a result as it is written, without its last line break."""
        if self.is_json:
            document = {**inspection.to_dict(), "path": one.place}
            return json.dumps(document, separators=(",", ":"))
        if one.is_listed:
            return line_of(one.name, inspection, self.columns)
        return "\n".join(page_of(one.place, inspection))


def inspect_all(found: Sequence[Found], form: Form) -> Iterator[Result]:
    """Yield result and exit code of each file or URL, in order.

    Tokens are looked up at once and here, so that a warning about one is given a single time.
    """
    return _results(found, [_token_for(one) for one in found], form)


def _results(found: Sequence[Found], tokens: Sequence[Access], form: Form) -> Iterator[Result]:
    inspect = functools.partial(_inspect, form)
    processes = min(_processors(), _MOST_PROCESSES)
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
    # A fork starts at once and has the tables; elsewhere it is not safe or not there.
    method = "fork" if sys.platform == "linux" else "spawn"
    context = multiprocessing.get_context(method)
    return ProcessPoolExecutor(processes, context, initializer=_prepare)


def _prepare() -> None:
    """Make a process ready for its share of the files."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process answers the keyboard for all
    _collect_seldom()


def _collect_seldom() -> None:
    """Save the collector work that finds nothing: the tables stay, and results hold no cycles."""
    gc.freeze()
    gc.set_threshold(_OBJECTS_OF_SEVERAL_FILES)


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _inspect(form: Form, one: Found, token: Access) -> Result:
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
    """Return what an address is shown, or why nobody knows; None for a file."""
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
        message = f"{error.message}{_way_in(error, token)}"
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
    """Return what to do about a file that is not for everyone."""
    if token is not None and token.place:
        helps = {401} if token.secret else {401, 403, 404}
        if error.status in helps:
            return f" {token.place}"
    return (
        " Sign in, download the file, and inspect the local copy." if error.code == "denied" else ""
    )
